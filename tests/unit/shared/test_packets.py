"""Sockets without the standard library's wrapper: what it would have done, these do too."""

import array
import os
import socket

import pytest

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


def test_a_packet_comes_with_what_the_kernel_says_of_it():
    one, other = pair()
    for packet in (b"whole", b"longer than there is room", b""):
        one.send(packet)
    assert other.receive_packet(5) == (b"whole", False, False)
    assert other.receive_packet(6) == (b"longer", True, False)
    assert other.receive_packet(6) == (b"", False, False)
    with pytest.raises(BlockingIOError):
        other.setblocking(False)
        other.receive_packet(6)
    one.close()
    assert other.receive_packet(6) == (b"", False, False), "the end looks like an empty packet"
    other.close()


def test_descriptors_that_come_with_a_packet_are_told_of_and_not_taken():
    one, other = pair()
    reader, writer = os.pipe()
    one.sendmsg([b"packet"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))])
    os.close(writer)
    assert other.receive_packet(100) == (b"packet", False, True)
    assert os.read(reader, 1) == b"", "no end of the pipe is left"
    for end in (one, other):
        end.close()
    os.close(reader)


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
