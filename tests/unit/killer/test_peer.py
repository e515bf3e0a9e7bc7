"""The connection to the monitor, over real sockets: everything that is not exactly right ends it."""

import array
import os
import socket

import pytest

from bustd_killer.peer import Disconnected, Peer, credentials
from bustd_protocol import codec, limits
from bustd_protocol.errors import LocalProtocolError, OtherVersion, RemoteProtocolError
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    MonitorHello,
    Ping,
    Pong,
    Reason,
    Verdict,
    outcome_of,
)
from bustd_shared.daemon.packets import pair
from tests.unit.killer.making import request

HELLO = MonitorHello(1, 2, 2, 812)
ANSWER = KillerHello(1, 2, 640, 50, 0, 25, 2000, 5000, 0, 0, 0, 0, 0)


class Ends:
    """The killer's end as a Peer, and the monitor's end to say what it likes."""

    def __init__(self) -> None:
        ours, self.monitor = pair()
        self.peer = Peer(ours, 812, 998, 3000)

    def says(self, *messages: object):
        """What the Peer makes of these packets; the last one counts."""
        heard = None
        for message in messages:
            self.monitor.send(message if isinstance(message, bytes) else codec.encode(message))
            heard = self.peer.receive()
        return heard

    def close(self) -> None:
        self.peer.close()
        self.monitor.close()


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


@pytest.fixture
def greeted(ends):
    ends.says(HELLO)
    ends.peer.send(ANSWER)
    ends.monitor.recv(4096)
    return ends


def test_messages_come_one_at_a_time_and_in_order(greeted):
    for message in (Ping(2), request(id=3)):
        greeted.monitor.send(codec.encode(message))
    assert greeted.peer.receive() == Ping(2)
    assert greeted.peer.receive() == request(id=3)


def test_when_nothing_has_been_said_nothing_is_waited_for(ends):
    assert ends.peer.receive() is None
    assert not ends.peer.link.getblocking()


def test_a_peer_has_introduced_itself_once_it_has_said_hello(ends):
    assert ends.peer.hello_due_ms == 3000
    assert ends.says(HELLO) == HELLO
    assert ends.peer.hello_due_ms is None


@pytest.mark.parametrize("packet", [codec.encode(Ping(1)), codec.encode(request()), codec.encode(ANSWER)])
def test_a_peer_that_does_not_begin_with_hello_commits_a_violation(ends, packet):
    with pytest.raises(RemoteProtocolError):
        ends.says(packet)


@pytest.mark.parametrize("packet", [b"\xc1", b"\x93\x03\x02\x00", b"\x94\x03\x02\x02\x00", b"x" * limits.PACKET_BYTES])
def test_a_packet_that_is_no_message_is_a_violation(greeted, packet):
    with pytest.raises(RemoteProtocolError):
        greeted.says(packet)


def test_a_packet_that_was_cut_off_is_a_violation_whatever_its_beginning_says(greeted):
    with pytest.raises(RemoteProtocolError, match="oversized"):
        greeted.says(codec.encode(Ping(2)) + bytes(limits.PACKET_BYTES))


@pytest.mark.parametrize("packet", [codec.encode(Ping(2)), b""])
def test_descriptors_that_are_attached_are_a_violation_and_none_is_taken(greeted, packet):
    reader, writer = os.pipe()
    with socket.socket(fileno=greeted.monitor.detach()) as monitor:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))
        monitor.sendmsg([packet], [rights])
        os.close(writer)
        with pytest.raises(RemoteProtocolError, match="descriptors attached"):
            greeted.peer.receive()
        assert os.read(reader, 1) == b"", "the killer holds no end of the pipe"
    os.close(reader)


def test_credentials_that_are_attached_are_a_violation(greeted):
    with socket.socket(fileno=greeted.monitor.detach()) as monitor:
        greeted.peer.link.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        monitor.send(codec.encode(Ping(2)))
        with pytest.raises(RemoteProtocolError):
            greeted.peer.receive()


@pytest.mark.parametrize("last", [lambda ends: ends.monitor.close(), lambda ends: ends.monitor.send(b"")])
def test_an_end_of_file_or_an_empty_packet_is_the_end(greeted, last):
    last(greeted)
    with pytest.raises(Disconnected, match="end of file"):
        greeted.peer.receive()


def test_a_connection_that_was_reset_is_the_end(greeted):
    greeted.peer.send(Bye(0, Farewell.SHUTDOWN))
    greeted.monitor.close()  # with the Bye unread
    with pytest.raises(Disconnected):
        greeted.peer.receive()


def test_a_peer_of_another_version_is_told_so_in_its_own_words(ends):
    with pytest.raises(OtherVersion) as raised:
        ends.says(b"\x96\x01\x01\x07\x01\x01\x2a")  # the Hello of version 1
    assert raised.value.version == 1
    ends.peer.send_farewell_to(1)
    assert ends.monitor.recv(100) == b"\x94\x08\x01\x00\x02"


def test_a_peer_of_another_version_that_has_gone_is_told_nothing(ends):
    ends.monitor.close()
    ends.peer.send_farewell_to(1)


def test_a_peer_that_does_not_read_is_gone_and_is_not_waited_for(greeted):
    with pytest.raises(Disconnected):
        for count in range(100_000):
            greeted.says(Ping(count + 2))
            greeted.peer.send(Pong(count + 2))


def test_a_peer_that_has_gone_is_told_nothing(greeted):
    greeted.monitor.close()
    with pytest.raises(Disconnected):
        greeted.peer.send(Bye(0, Farewell.SHUTDOWN))


def test_what_the_session_does_not_permit_is_not_sent(greeted):
    with pytest.raises(LocalProtocolError):
        greeted.peer.send(Exited(5, Fate.GONE, 1))
    with pytest.raises(BlockingIOError):
        greeted.monitor.setblocking(False)
        greeted.monitor.recv(4096)


def test_only_a_peer_that_knows_of_the_kill_awaits_its_end(greeted):
    assert not greeted.peer.awaits_exit
    greeted.says(request(id=7))
    assert not greeted.peer.awaits_exit
    greeted.peer.send(Verdict(7, outcome_of(Reason.NONE), Reason.NONE, signalled_count=1))
    assert greeted.peer.awaits_exit
    greeted.peer.send(Exited(7, Fate.GONE, 5))
    assert not greeted.peer.awaits_exit


def test_the_credentials_are_those_of_the_process_that_connected(tmp_path):
    path = str(tmp_path / "socket")
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller,
    ):
        listener.bind(path)
        listener.listen()
        caller.connect(path)
        with listener.accept()[0] as link:
            assert credentials(link) == (os.getpid(), os.geteuid())
