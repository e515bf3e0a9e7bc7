"""The promise of the session: any sequence of messages leaves it in a state of the table, or is a violation.

And two honest ends never accuse one another, however their packets cross.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_protocol import limits
from bustd_protocol.codec import encode
from bustd_protocol.connection import Connection
from bustd_protocol.errors import LocalProtocolError, RemoteProtocolError
from bustd_protocol.members import packed_members
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Outcome,
    Ping,
    Pong,
    Reason,
    Scope,
    Signal,
    Verdict,
    outcome_of,
)
from bustd_protocol.session import TRANSITIONS, Cue, Phase, Role, Session, received, sent
from tests.fuzz.strategies import DEEP, FUZZ, exchanges

MONITOR_CUES = {MonitorHello: Cue.MONITOR_HELLO, Ping: Cue.PING, KillRequest: Cue.REQUEST, Bye: Cue.BYE}
KILLER_CUES = {Pong: Cue.PONG, Exited: Cue.EXITED, Bye: Cue.BYE}


def cue_of(role: Role, message: Message) -> Cue | None:
    """SPEC.md's table of cues, written down a second time."""
    if role is Role.MONITOR:
        return MONITOR_CUES.get(type(message))
    if isinstance(message, KillerHello):
        return Cue.KILLER_HELLO if message.flight_id == 0 else Cue.KILLER_HELLO_FLYING
    if isinstance(message, Verdict):
        return Cue.SIGNALLED if message.outcome is Outcome.SIGNALLED else Cue.NOT_SIGNALLED
    return KILLER_CUES.get(type(message))


def id_due(session: Session, message: Message) -> int | None:
    """The id that the message must carry where the session stands; None if it may carry any."""
    if session.phase is Phase.GREETED:
        return None
    return {Pong: session.ping_id, Verdict: session.asked_id, Exited: session.flight_id}.get(type(message))


@DEEP
@given(exchange=exchanges())
def test_every_message_leads_to_the_state_of_the_table_or_is_a_violation(exchange: list[tuple[Role, Message]]) -> None:
    session, hello_id = Session(), 0
    for role, drawn in exchange:
        message = drawn._replace(id=hello_id) if isinstance(drawn, KillerHello) else drawn
        try:
            after = received(session, role, message)
        except RemoteProtocolError as error:
            assert str(error).isprintable() and len(str(error)) < 200
            with pytest.raises(LocalProtocolError):
                sent(session, role, message)
            continue
        assert sent(session, role, message) == after
        cue = cue_of(role, message)
        assert cue is not None
        assert after.phase is TRANSITIONS[session.phase][cue]
        due = id_due(session, message)
        assert due is None or (due == message.id and due != 0)
        if isinstance(message, MonitorHello):
            assert message.lowest_version <= limits.VERSION <= message.highest_version
            hello_id = message.id
        if isinstance(message, KillerHello):
            assert message.spoken_version == limits.VERSION
        if isinstance(message, Ping):
            assert not session.ping_id
        if isinstance(message, Pong):
            assert not after.ping_id
        session = after


@DEEP
@given(exchange=exchanges())
def test_a_message_that_the_table_has_and_whose_id_and_version_fit_is_accepted(
    exchange: list[tuple[Role, Message]],
) -> None:
    session, hello_id = Session(), 0
    for role, message in exchange:
        cue = cue_of(role, message)
        due = id_due(session, message)
        if cue is None or cue not in TRANSITIONS[session.phase] or due == 0:
            continue
        if isinstance(message, Ping) and session.ping_id:
            continue
        if isinstance(message, MonitorHello):
            message, hello_id = message._replace(lowest_version=0, highest_version=limits.VERSION), message.id
        elif isinstance(message, KillerHello):
            message = message._replace(id=hello_id, spoken_version=limits.VERSION)
        elif due is not None:
            message = message._replace(id=due)
        target = TRANSITIONS[session.phase][cue]
        session = received(session, role, message)
        assert session.phase is target


@DEEP
@given(exchange=exchanges())
def test_an_id_is_due_exactly_in_the_phases_that_wait_for_its_answer(exchange: list[tuple[Role, Message]]) -> None:
    session = Session()
    for role, message in exchange:
        try:
            session = received(session, role, message)
        except RemoteProtocolError:
            continue
        assert (session.hello_id != 0) == (session.phase is Phase.GREETED)
        assert (session.asked_id != 0) == (session.phase in (Phase.ASKED, Phase.FLYING_ASKED))
        assert (session.flight_id != 0) == (session.phase in (Phase.FLYING, Phase.FLYING_ASKED))
        if session.phase in (Phase.START, Phase.CLOSED):
            assert session.ping_id == 0


@FUZZ
@given(
    role=st.sampled_from(Role),
    exchange=exchanges(),
    cut=st.sets(st.integers(0, 40), max_size=3),
    truncated=st.sets(st.integers(0, 40), max_size=3),
    with_descriptors=st.sets(st.integers(0, 40), max_size=3),
)
def test_a_connection_advances_with_each_message_and_stays_where_it_was_with_each_violation(
    role: Role, exchange: list[tuple[Role, Message]], cut: set[int], truncated: set[int], with_descriptors: set[int]
) -> None:
    end = Connection(role)
    for at, (sender, message) in enumerate(exchange):
        before = end.session
        if sender is role:
            try:
                assert end.send(message) == encode(message)
            except LocalProtocolError:
                assert end.session == before
            else:
                assert end.session == sent(before, role, message)
            continue
        packet = encode(message)[:-1] if at in cut else encode(message)
        try:
            heard = end.receive(packet, at in truncated, at in with_descriptors)
        except RemoteProtocolError as error:
            assert str(error).isprintable() and len(str(error)) < 200
            assert end.session == before
            continue
        assert at not in cut | truncated | with_descriptors
        assert end.session == received(before, sender, message)
        if heard is None:
            assert role is Role.MONITOR and before == end.session and before.phase is Phase.GREETED
        else:
            assert type(heard) is type(message) and heard == message


@FUZZ
@given(exchange=exchanges())
def test_what_one_end_may_send_the_other_may_receive(exchange: list[tuple[Role, Message]]) -> None:
    ends = {role: Connection(role) for role in Role}
    monitor, killer = ends[Role.MONITOR], ends[Role.KILLER]
    for sender, drawn in exchange:
        hello_id = monitor.session.hello_id
        message = drawn._replace(id=hello_id) if isinstance(drawn, KillerHello) and hello_id else drawn
        try:
            packet = ends[sender].send(message)
        except LocalProtocolError:
            continue
        heard = (killer if sender is Role.MONITOR else monitor).receive(packet, False, False)
        assert heard in (message, None)
        assert monitor.session == killer.session


Move = Callable[["Wire"], None]


class Wire:
    """Two honest ends and what is under way between them. Whatever accuses either end raises, and so fails the test."""

    def __init__(self) -> None:
        self.monitor = Connection(Role.MONITOR)
        self.killer = Connection(Role.KILLER)
        self.to_killer: deque[bytes] = deque()
        self.to_monitor: deque[bytes] = deque()
        self.in_flight = 0  # the killer's slot: it outlives sessions and connections
        self.taken: Message | None = None  # what the killer has received and not yet answered
        self.last_id = 0

    def fresh_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def monitor_sends(self, message: Message) -> None:
        self.to_killer.append(self.monitor.send(message))

    def killer_sends(self, message: Message) -> None:
        self.to_monitor.append(self.killer.send(message))

    def greet(self) -> None:
        if self.monitor.session.phase is Phase.START:
            self.monitor_sends(monitor_hello(self.fresh_id()))

    def ping(self) -> None:
        if self.monitor.is_open and not self.monitor.session.ping_id:
            self.monitor_sends(Ping(self.fresh_id()))

    def ask(self) -> None:
        if self.monitor.may_ask:
            self.monitor_sends(kill_request(self.fresh_id()))

    def ask_further(self) -> None:
        """A continuation: to the session it is a request like any other."""
        if self.monitor.may_ask and self.monitor.session.flight_id:
            self.monitor_sends(continuation(self.fresh_id()))

    def monitor_reads(self) -> None:
        if self.to_monitor and self.monitor.session.phase is not Phase.CLOSED:  # after Bye an end reads no more
            self.monitor.receive(self.to_monitor.popleft(), False, False)

    def monitor_reexecutes(self) -> None:
        if self.monitor.is_open or self.monitor.session.phase is Phase.GREETED:
            self.monitor = Connection(Role.MONITOR)
            self.greet()  # what the former self has not read is still under way

    def reconnect(self) -> None:
        self.monitor, self.killer, self.taken = Connection(Role.MONITOR), Connection(Role.KILLER), None
        self.to_killer.clear()
        self.to_monitor.clear()

    def monitor_leaves(self) -> None:
        if self.monitor.session.phase is not Phase.CLOSED:
            self.monitor_sends(Bye(0, Farewell.SHUTDOWN))

    def killer_leaves(self) -> None:
        if self.killer.session.phase is not Phase.CLOSED:
            self.killer_sends(Bye(0, Farewell.SHUTDOWN))
            self.taken = None

    def killer_takes(self) -> None:
        if self.taken is None and self.to_killer and self.killer.session.phase is not Phase.CLOSED:
            message = self.killer.receive(self.to_killer.popleft(), False, False)
            self.taken = None if isinstance(message, Bye) else message

    def killer_signals(self) -> None:
        if isinstance(self.taken, KillRequest):
            self.in_flight = self.in_flight or self.taken.id
            self.killer_answers(Reason.NONE)

    def killer_answers(self, reason: Reason = Reason.PROTECTED) -> None:
        if isinstance(self.taken, KillRequest):
            self.killer_sends(Verdict(self.taken.id, outcome_of(reason), reason))
        elif isinstance(self.taken, MonitorHello):
            self.killer_sends(killer_hello(self.taken.id, self.in_flight))
        elif isinstance(self.taken, Ping):
            self.killer_sends(Pong(self.taken.id))
        self.taken = None

    def victim_exits(self) -> None:
        if self.in_flight and self.killer.session.phase not in (Phase.START, Phase.CLOSED):
            self.killer_sends(Exited(self.in_flight, Fate.GONE, 7))
        self.in_flight = 0

    def ask_and_be_obeyed(self) -> None:
        self.ask()
        self.killer_takes()
        self.killer_signals()

    def ask_and_be_refused(self) -> None:
        self.ask()
        self.killer_takes()
        self.killer_answers()

    def continue_and_be_obeyed(self) -> None:
        self.ask_further()
        self.killer_takes()
        self.killer_signals()

    def continue_what_is_just_over(self) -> None:
        """Exited crosses the continuation, which puts the kill in flight again: now it has the continuation's id."""
        self.ask_further()
        self.victim_exits()
        self.killer_takes()
        self.killer_signals()

    def settle(self) -> None:
        """Let everything that is under way arrive and be answered."""
        for _ in range(2 + 2 * len(self.to_killer) + len(self.to_monitor)):
            self.killer_answers()
            self.killer_takes()
            self.monitor_reads()

    monitor_moves = (greet, ping, ask, monitor_reads, monitor_reads)
    killer_moves = (killer_takes, killer_signals, killer_answers, victim_exits)
    dialogues = (ask_and_be_obeyed, ask_and_be_refused, continue_and_be_obeyed, continue_what_is_just_over)
    common_moves = (*monitor_moves, ask_further, *killer_moves, *dialogues)
    rare_moves = (monitor_reexecutes, reconnect, monitor_leaves, killer_leaves)


def monitor_hello(new_id: int) -> MonitorHello:
    return MonitorHello(new_id, limits.VERSION, limits.VERSION, 100)


def killer_hello(new_id: int, flight_id: int) -> KillerHello:
    in_flight = (flight_id, 200, 5, 15) if flight_id else (0, 0, 0, 0)
    return KillerHello(new_id, limits.VERSION, 1, 50, 0, 25, 2000, 5000, *in_flight, 0)


def kill_request(new_id: int) -> KillRequest:
    return KillRequest(new_id, 200, 5, 0, b"leak", 1, Signal.TERM, Scope.PROCESS, b"floor", 1)


def continuation(new_id: int) -> KillRequest:
    return kill_request(new_id)._replace(scope=Scope.GROUP, members=packed_members([(201, 6), (202, 7)]))


@DEEP
@given(moves=st.lists(st.sampled_from(Wire.common_moves * 4 + Wire.rare_moves), min_size=20, max_size=60))
def test_honest_ends_never_accuse_one_another_and_agree_when_all_has_arrived(moves: list[Move]) -> None:
    wire = Wire()
    wire.greet()
    wire.settle()
    for move in moves:
        move(wire)
    wire.settle()
    if Phase.CLOSED in (wire.monitor.session.phase, wire.killer.session.phase):
        return
    assert wire.monitor.session == wire.killer.session
    if wire.monitor.is_open:
        assert wire.monitor.session.flight_id == wire.in_flight


@FUZZ
@given(
    said=st.lists(
        st.builds(monitor_hello, st.integers(1, 3))
        | st.builds(kill_request, st.integers(1, 3))
        | st.builds(continuation, st.integers(1, 3))
        | st.builds(Ping, st.integers(1, 3))
        | st.sampled_from([Bye(0, Farewell.UNABLE), Pong(1), Exited(1, Fate.STUCK, 0), killer_hello(1, 1)]),
        max_size=30,
    ),
    deeds=st.lists(st.sampled_from([Wire.killer_signals, Wire.killer_answers, Wire.victim_exits]), max_size=90),
)
def test_no_monitor_can_make_an_honest_killer_break_the_rules(said: list[Message], deeds: list[Move]) -> None:
    wire = Wire()
    todo = deque(deeds)
    for message in said:
        wire.to_killer.append(encode(message))
        try:
            wire.killer_takes()
        except RemoteProtocolError:
            wire.reconnect()
        if wire.killer.session.phase is Phase.CLOSED:
            wire.reconnect()
        for _ in range(min(3, len(todo))):
            todo.popleft()(wire)
        wire.killer_answers()
