"""The connection to the killer, over real sockets: what is said, what is heard, and what ends it."""

import array
import os
import socket

import pytest

from bustd_monitor.client import Client, Lost
from bustd_protocol import codec, limits
from bustd_protocol.errors import LocalProtocolError
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillRequest,
    MonitorHello,
    Ping,
    Pong,
    Reason,
    Scope,
    Signal,
)
from bustd_shared.daemon.packets import pair
from tests.unit.monitor.making import killer_hello, verdict

NOW = 50_000


def request(request_id: int) -> KillRequest:
    return KillRequest(request_id, 101, 5, 1000, b"leak", 1, Signal.TERM, Scope.PROCESS, b"floor", 1)


class Ends:
    """A client on one end of a socketpair, and the killer's end to say what it likes."""

    def __init__(self) -> None:
        ours, theirs = pair()
        self.killer = socket.socket(fileno=theirs.detach())
        self.client = Client("/unused", ours)
        self.hello: MonitorHello | None = None

    def says(self, *messages: object) -> None:
        for message in messages:
            self.killer.send(message if isinstance(message, bytes) else codec.encode(message))

    def hears(self) -> object:
        return codec.decode(self.killer.recv(4096))

    def connect(self, now_ms: int = NOW) -> "Ends":
        """As far as the monitor's Hello."""
        assert self.client.keep(now_ms) == ""
        self.hello = self.hears()
        return self

    def greet(self, **flight: object) -> "Ends":
        self.connect()
        self.says(killer_hello(self.hello.id, **flight))
        self.client.receive()
        return self

    def ask(self) -> int:
        number = self.client.next_id()
        self.client.send(request(number))
        self.hears()
        return number

    def close(self) -> None:
        if self.hello is None:  # it holds its end, but has not begun
            self.client.keep(NOW)
        self.client.lose(NOW, "the test is over")
        self.killer.close()


@pytest.fixture
def ends():
    made = Ends()
    yield made
    made.close()


def test_it_says_hello_as_soon_as_it_may(ends):
    assert ends.client.fileno() == -1
    assert ends.client.due_ms() == 0
    hello = ends.connect().hello
    assert (hello.lowest_version, hello.highest_version, hello.pid) == (limits.VERSION, limits.VERSION, os.getpid())
    assert ends.client.fileno() >= 0
    assert not ends.client.is_ready


def test_it_is_ready_when_the_killer_has_answered(ends):
    ends.connect()
    answer = killer_hello(ends.hello.id)
    ends.says(answer)
    assert ends.client.receive() == answer
    assert ends.client.is_ready
    assert ends.client.due_ms() is None
    assert ends.client.keep(NOW + 10**6) == ""


def test_when_nothing_has_been_said_nothing_is_waited_for(ends):
    assert ends.client.receive() is None
    assert ends.connect().client.receive() is None


def test_the_killer_of_a_pair_has_all_the_time_it_needs_to_answer_hello(ends):
    ends.connect()
    assert ends.client.due_ms() is None
    assert ends.client.keep(NOW + 10_000_000) == ""


def test_a_whole_exchange_goes_through(ends):
    ends.greet()
    client = ends.client
    client.send(Ping(client.next_id()))
    ping = ends.hears()
    ends.says(Pong(ping.id))
    assert client.receive() == Pong(ping.id)
    number = ends.ask()
    for message in (verdict(request_id=number), Exited(number, Fate.GONE, 4)):
        ends.says(message)
        assert client.receive() == message
    ends.says(Bye(0, Farewell.SHUTDOWN))
    assert client.receive() == Bye(0, Farewell.SHUTDOWN)
    assert not client.is_ready


def test_ids_are_never_zero_and_start_anew_after_the_highest(ends):
    ends.connect(now_ms=limits.ID_MAX - 3)
    numbers = [ends.hello.id, *(ends.client.next_id() for _ in range(4))]
    assert numbers == [limits.ID_MAX - 2, limits.ID_MAX - 1, limits.ID_MAX, 1, 2]


# A monitor that executed itself anew speaks on the socket of its former self


def test_what_the_killer_had_sent_to_the_former_self_is_discarded(ends):
    first = Ends()
    first.connect()
    ends.connect(NOW + 30_000)
    assert ends.hello.id != first.hello.id, "its Hello can be told from that of its former self"
    stale = (
        verdict(request_id=2),
        Exited(2, Fate.GONE, 1),
        Pong(3),
        killer_hello(first.hello.id, flight=(2, 9, 9, 15)),
    )
    ends.says(*stale)
    for _ in stale:
        assert ends.client.receive() is None
        assert not ends.client.is_ready
    ends.says(killer_hello(ends.hello.id))
    assert ends.client.receive() == killer_hello(ends.hello.id)
    assert ends.client.is_ready
    first.close()


def test_a_farewell_to_the_former_self_is_one_to_us_too(ends):
    ends.connect()
    ends.says(Bye(0, Farewell.UNABLE))
    assert ends.client.receive() == Bye(0, Farewell.UNABLE)


def test_the_kill_of_the_former_self_can_be_followed_to_its_end(ends):
    ends.greet(flight=(77, 101, 5, 15))
    ends.says(Exited(77, Fate.GONE, 9))
    assert ends.client.receive() == Exited(77, Fate.GONE, 9)


# What ends a connection


@pytest.mark.parametrize(
    "packet",
    [
        b"\xc1",
        codec.encode(verdict(request_id=99)),
        codec.encode(Exited(99, Fate.GONE, 1)),
        codec.encode(Pong(99)),
        codec.encode(killer_hello()),
        codec.encode(Ping(1)),
        codec.encode(request(1)),
        codec.encode(Ping(1)) + b"\x00",
        bytes(limits.PACKET_BYTES + 1),
        codec.encode(Pong(1)) + bytes(limits.PACKET_BYTES),
    ],
)
def test_a_killer_that_violates_the_protocol_is_lost(ends, packet):
    ends.greet()
    ends.says(packet)
    with pytest.raises(Lost, match="the killer violates the protocol"):
        ends.client.receive()


def test_a_verdict_on_another_request_is_a_violation(ends):
    number = ends.greet().ask()
    ends.says(verdict(Reason.PROTECTED, request_id=number + 1))
    with pytest.raises(Lost, match="violates the protocol"):
        ends.client.receive()


def test_descriptors_that_are_attached_are_a_violation_and_none_is_taken(ends):
    ends.greet()
    reader, writer = os.pipe()
    rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [writer]))
    ends.killer.sendmsg([codec.encode(Bye(0, Farewell.SHUTDOWN))], [rights])
    os.close(writer)
    with pytest.raises(Lost, match="descriptors attached"):
        ends.client.receive()
    assert os.read(reader, 1) == b"", "the monitor holds no end of the pipe"
    os.close(reader)


def test_a_killer_that_has_closed_the_connection_is_lost(ends):
    ends.greet()
    ends.killer.close()
    with pytest.raises(Lost, match="has closed the connection"):
        ends.client.receive()
    with pytest.raises(Lost, match="Broken pipe"):
        ends.client.send(Ping(ends.client.next_id()))


def test_a_connection_that_was_reset_is_lost(ends):
    ends.greet()
    ends.client.send(Ping(ends.client.next_id()))
    ends.killer.close()  # with the Ping unread
    with pytest.raises(Lost, match="Connection reset"):
        ends.client.receive()


def test_a_killer_that_does_not_read_is_lost_and_not_waited_for(ends):
    ends.connect()
    with pytest.raises(Lost, match="temporarily unavailable"):
        for count in range(100_000):
            ends.client.send(MonitorHello(count + 1, limits.VERSION, limits.VERSION, 812))


def test_without_a_connection_nothing_can_be_sent(ends):
    with pytest.raises(Lost, match="no connection"):
        ends.client.send(Ping(1))


@pytest.mark.parametrize("message", [Pong(1), request(2)])
def test_what_the_session_does_not_permit_is_not_sent(ends, message):
    ends.connect()
    with pytest.raises(LocalProtocolError):
        ends.client.send(message)
    ends.killer.setblocking(False)
    with pytest.raises(BlockingIOError):
        ends.killer.recv(4096)


def test_of_a_pair_there_is_no_other_killer(ends):
    ends.greet()
    assert ends.client.is_pair
    assert ends.client.lose(NOW, "gone") == "gone"
    with pytest.raises(Lost, match="the killer is gone"):
        ends.client.keep(NOW)


def test_a_pair_whose_killer_went_before_hello_is_lost_at_once(ends):
    ends.hello = MonitorHello(1, 1, 1, 1)  # there will be none
    ends.killer.close()
    assert "Broken pipe" in ends.client.keep(NOW)
    with pytest.raises(Lost, match="the killer is gone"):
        ends.client.keep(NOW + 10_000)
