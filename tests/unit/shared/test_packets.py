"""Sockets without the standard library's wrapper: what it would have done, these do too."""

import os

from bustd_shared.daemon.packets import AF_UNIX, SOCK_SEQPACKET, Socket, pair


def test_a_pair_keeps_packets_apart_and_is_not_inherited():
    one, other = pair()
    one.send(b"first")
    one.send(b"second")
    assert (other.recv(100), other.recv(100)) == (b"first", b"second")
    assert not os.get_inheritable(one.fileno())
    assert not os.get_inheritable(other.fileno())
    one.close()
    assert other.recv(100) == b""
    other.close()


def test_an_accepted_connection_is_one_of_these_sockets(tmp_path):
    listener, caller = Socket(AF_UNIX, SOCK_SEQPACKET), Socket(AF_UNIX, SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "socket"))
    listener.listen(1)
    caller.connect(str(tmp_path / "socket"))
    link = listener.accept()
    assert type(link) is Socket
    assert not os.get_inheritable(link.fileno())
    caller.send(b"hello")
    assert link.recv(100) == b"hello"
    for end in (link, caller, listener):
        end.close()
