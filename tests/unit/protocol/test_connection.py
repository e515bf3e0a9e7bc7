"""One end of a connection: what it encodes and decodes advances its state, and what it refuses changes nothing."""

from __future__ import annotations

import pytest

from bustd_protocol import codec, limits
from bustd_protocol.connection import Connection
from bustd_protocol.errors import LocalProtocolError, OtherVersion, RemoteProtocolError
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Ping,
    Pong,
    Reason,
    Scope,
    Signal,
    Verdict,
    outcome_of,
)
from bustd_protocol.session import Phase, Role, Session

HELLO = MonitorHello(1, limits.VERSION, limits.VERSION, 812)
ANSWER = KillerHello(1, limits.VERSION, 640, 50, 0, 25, 2000, 5000, 0, 0, 0, 0, 0)
REQUEST = KillRequest(2, 4711, 90125, 1000, b"leak", 1, Signal.TERM, Scope.PROCESS, b"floor", 1)
SIGNALLED = Verdict(2, outcome_of(Reason.NONE), Reason.NONE)
EXITED = Exited(2, Fate.GONE, 43)
BYE = Bye(0, Farewell.SHUTDOWN)


def ends() -> tuple[Connection, Connection]:
    return Connection(Role.MONITOR), Connection(Role.KILLER)


def carried(sender: Connection, receiver: Connection, *messages: Message) -> list[Message | None]:
    """What the receiver makes of these messages, each sent by the sender."""
    return [receiver.receive(sender.send(message), False, False) for message in messages]


def at_idle() -> tuple[Connection, Connection]:
    monitor, killer = ends()
    carried(monitor, killer, HELLO)
    carried(killer, monitor, ANSWER)
    return monitor, killer


def test_a_message_goes_out_as_the_codecs_packet_and_comes_in_as_itself() -> None:
    monitor, killer = ends()
    packet = monitor.send(HELLO)
    assert packet == codec.encode(HELLO)
    assert killer.receive(packet, False, False) == HELLO


def test_both_ends_stand_in_the_same_place_after_each_message() -> None:
    monitor, killer = ends()
    assert monitor.session == killer.session == Session()
    steps: list[tuple[Connection, Connection, Message, Phase]] = [
        (monitor, killer, HELLO, Phase.GREETED),
        (killer, monitor, ANSWER, Phase.IDLE),
        (monitor, killer, REQUEST, Phase.ASKED),
        (killer, monitor, SIGNALLED, Phase.FLYING),
        (killer, monitor, EXITED, Phase.IDLE),
        (monitor, killer, Ping(3), Phase.IDLE),
        (killer, monitor, Pong(3), Phase.IDLE),
        (monitor, killer, BYE, Phase.CLOSED),
    ]
    for sender, receiver, message, phase in steps:
        assert carried(sender, receiver, message) == [message]
        assert monitor.session == killer.session
        assert monitor.session.phase is phase


@pytest.mark.parametrize(
    "message",
    [REQUEST, ANSWER, HELLO._replace(id=0), HELLO._replace(pid=limits.PID_MAX + 1), HELLO._replace(highest_version=0)],
    ids=["out of place", "the peer's", "no id", "no such pid", "no common version"],
)
def test_what_may_not_be_sent_gives_no_packet_and_changes_nothing(message: Message) -> None:
    monitor, _ = ends()
    with pytest.raises(LocalProtocolError):
        monitor.send(message)
    assert monitor.session == Session()


def test_each_end_sends_what_its_role_sends_and_hears_what_the_others_does() -> None:
    monitor, killer = at_idle()
    with pytest.raises(LocalProtocolError, match="the killer may not send Ping"):
        killer.send(Ping(3))
    with pytest.raises(RemoteProtocolError, match="the killer may not send Ping"):
        monitor.receive(codec.encode(Ping(3)), False, False)
    with pytest.raises(RemoteProtocolError, match="the monitor may not send Pong"):
        killer.receive(codec.encode(Pong(3)), False, False)


@pytest.mark.parametrize(
    ("packet", "is_truncated", "has_ancillary"),
    [
        (codec.encode(Ping(2)), True, False),
        (codec.encode(Ping(2)), False, True),
        (b"", False, True),
        (b"", False, False),
        (b"\xc1", False, False),
        (codec.encode(Ping(2)) + b"\0", False, False),
        (codec.encode(ANSWER), False, False),
        (codec.encode(SIGNALLED), False, False),
    ],
)
def test_a_packet_that_is_not_one_message_in_its_place_is_a_violation_and_changes_nothing(
    packet: bytes, is_truncated: bool, has_ancillary: bool
) -> None:
    _, killer = at_idle()
    before = killer.session
    with pytest.raises(RemoteProtocolError):
        killer.receive(packet, is_truncated, has_ancillary)
    assert killer.session == before
    assert killer.receive(codec.encode(Ping(2)), False, False) == Ping(2)


def test_a_restarted_monitor_does_not_see_what_its_former_self_was_sent() -> None:
    former, killer = at_idle()
    carried(former, killer, REQUEST)
    crossing = [killer.send(SIGNALLED), killer.send(EXITED)]
    monitor = Connection(Role.MONITOR)
    carried(monitor, killer, HELLO._replace(id=9))
    assert [monitor.receive(packet, False, False) for packet in crossing] == [None, None]
    assert monitor.receive(codec.encode(ANSWER), False, False) is None, "it answers another Hello"
    assert not monitor.is_open
    answer = ANSWER._replace(id=9)
    assert carried(killer, monitor, answer) == [answer]
    assert monitor.is_open


def test_the_killer_sees_every_hello() -> None:
    monitor, killer = ends()
    again = HELLO._replace(id=9)
    assert carried(monitor, killer, HELLO, again) == [HELLO, again]


# Other versions


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_a_peer_of_another_version_is_told_so_in_its_own_and_then_nothing_more(version: int) -> None:
    _, killer = at_idle()
    hello = bytes([0x96, 1, *([version] if version < 128 else [0xCC, version]), 1, 0, 0, 7])
    with pytest.raises(OtherVersion) as caught:
        killer.receive(hello, False, False)
    assert killer.session.phase is Phase.IDLE
    assert killer.farewell_to(caught.value.version) == codec.farewell_to(version)
    assert killer.session == Session(Phase.CLOSED)
    with pytest.raises(LocalProtocolError):
        killer.send(Pong(2))
    assert killer.farewell_to(version) == codec.farewell_to(version), "nothing that a peer does raises here"


@pytest.mark.parametrize("way", [(), (HELLO,), (HELLO, ANSWER)], ids=["start", "greeted", "idle"])
def test_a_farewell_of_another_version_is_heard_as_bye_in_any_phase(way: tuple[Message, ...]) -> None:
    monitor, killer = ends()
    for message in way:
        carried(*((killer, monitor) if message is ANSWER else (monitor, killer)), message)
    assert monitor.receive(bytes.fromhex("94 08 03 00 05"), False, False) == Bye(0, Farewell.VERSION)
    assert monitor.session.phase is Phase.CLOSED


# What an end is asked


QUESTIONS = ("has_begun", "is_open", "may_ask", "awaits_exit")
ANSWERS = {
    Phase.START: set(),
    Phase.GREETED: {"has_begun"},
    Phase.IDLE: {"has_begun", "is_open", "may_ask"},
    Phase.ASKED: {"has_begun", "is_open"},
    Phase.FLYING: {"has_begun", "is_open", "may_ask", "awaits_exit"},
    Phase.FLYING_ASKED: {"has_begun", "is_open"},
    Phase.CLOSED: {"has_begun"},
}
WAYS: dict[Phase, tuple[Message, ...]] = {
    Phase.START: (),
    Phase.GREETED: (HELLO,),
    Phase.IDLE: (HELLO, ANSWER),
    Phase.ASKED: (HELLO, ANSWER, REQUEST),
    Phase.FLYING: (HELLO, ANSWER, REQUEST, SIGNALLED),
    Phase.FLYING_ASKED: (HELLO, ANSWER, REQUEST, SIGNALLED, REQUEST._replace(id=3, signal=Signal.KILL)),
    Phase.CLOSED: (HELLO, ANSWER, BYE),
}


@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_what_an_end_is_asked_follows_from_its_phase(phase: Phase) -> None:
    monitor, killer = ends()
    for message in WAYS[phase]:
        by_killer = isinstance(message, KillerHello | Verdict)
        carried(*((killer, monitor) if by_killer else (monitor, killer)), message)
    for end in (monitor, killer):
        assert end.session.phase is phase
        assert {question for question in QUESTIONS if getattr(end, question)} == ANSWERS[phase]


@pytest.mark.parametrize(
    ("message", "is_permitted"),
    [(REQUEST, "may_ask"), (Ping(7), "is_open")],
    ids=["a request", "a ping"],
)
def test_the_questions_of_the_monitor_foretell_what_it_may_send(message: Message, is_permitted: str) -> None:
    for way in WAYS.values():
        monitor, killer = ends()
        for said in way:
            by_killer = isinstance(said, KillerHello | Verdict)
            carried(*((killer, monitor) if by_killer else (monitor, killer)), said)
        if getattr(monitor, is_permitted):
            monitor.send(message)
        else:
            with pytest.raises(LocalProtocolError):
                monitor.send(message)
