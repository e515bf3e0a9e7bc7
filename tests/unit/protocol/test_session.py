"""The session: the table is whole, walks follow it, ids are held to, and what is not in it is a violation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bustd_protocol import limits
from bustd_protocol.errors import LocalProtocolError, RemoteProtocolError
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
from bustd_protocol.session import TRANSITIONS, Cue, Phase, Role, Session, received, sent

MONITOR, KILLER = Role.MONITOR, Role.KILLER


def hello(new_id: int = 1, lowest: int = limits.VERSION, highest: int = limits.VERSION) -> MonitorHello:
    return MonitorHello(new_id, lowest, highest, 812)


def answer(flight_id: int = 0, new_id: int = 1, version: int = limits.VERSION) -> KillerHello:
    return KillerHello(new_id, version, 640, 50, 0, 25, 2000, 5000, flight_id, 0, 0, 0, 0)


def request(new_id: int = 1, signal: Signal = Signal.TERM) -> KillRequest:
    return KillRequest(new_id, 4711, 90125, 1000, b"leak", 1, signal, Scope.PROCESS, b"floor", 1)


def verdict(of_id: int = 1, reason: Reason = Reason.NONE) -> Verdict:
    return Verdict(of_id, outcome_of(reason), reason)


def exited(of_id: int = 1) -> Exited:
    return Exited(of_id, Fate.GONE, 43)


BYE = Bye(0, Farewell.SHUTDOWN)

# Each cue as a message with id 1 and the side that sends it, and each phase with every id that can be due being 1.
SAID: dict[Cue, tuple[Role, Message]] = {
    Cue.MONITOR_HELLO: (MONITOR, hello()),
    Cue.KILLER_HELLO: (KILLER, answer()),
    Cue.KILLER_HELLO_FLYING: (KILLER, answer(flight_id=1)),
    Cue.PING: (MONITOR, Ping(1)),
    Cue.PONG: (KILLER, Pong(1)),
    Cue.REQUEST: (MONITOR, request()),
    Cue.SIGNALLED: (KILLER, verdict()),
    Cue.NOT_SIGNALLED: (KILLER, verdict(reason=Reason.PROTECTED)),
    Cue.EXITED: (KILLER, exited()),
    Cue.BYE: (KILLER, BYE),
}
STANDING: dict[Phase, Session] = {
    Phase.START: Session(),
    Phase.GREETED: received(Session(), MONITOR, hello()),
    Phase.IDLE: Session(Phase.IDLE),
    Phase.ASKED: Session(Phase.ASKED, asked_id=1),
    Phase.FLYING: Session(Phase.FLYING, flight_id=1),
    Phase.FLYING_ASKED: Session(Phase.FLYING_ASKED, asked_id=1, flight_id=1),
    Phase.CLOSED: Session(Phase.CLOSED),
}
SENDERS: dict[type[Message], set[Role]] = {
    MonitorHello: {MONITOR},
    KillerHello: {KILLER},
    Ping: {MONITOR},
    Pong: {KILLER},
    KillRequest: {MONITOR},
    Verdict: {KILLER},
    Exited: {KILLER},
    Bye: {MONITOR, KILLER},
}


def walked(*messages: Message, start: Session | None = None) -> Session:
    """Where these messages lead, each from the side that sends it, and to the same place for either observer."""
    session = start or Session()
    for message in messages:
        role = MONITOR if SENDERS[type(message)] == {MONITOR} else KILLER
        after = received(session, role, message)
        assert after == sent(session, role, message)
        session = after
    return session


def is_violation(session: Session, role: Role, message: Message) -> bool:
    """Whether the message is one; then it must be an error of the right kind for either observer."""
    try:
        received(session, role, message)
    except RemoteProtocolError:
        with pytest.raises(LocalProtocolError):
            sent(session, role, message)
        return True
    sent(session, role, message)
    return False


def test_every_phase_has_a_row_and_every_row_is_of_a_phase() -> None:
    assert list(TRANSITIONS) == list(Phase)


def test_every_transition_leads_from_a_cue_to_a_phase() -> None:
    for row in TRANSITIONS.values():
        assert all(isinstance(cue, Cue) and isinstance(after, Phase) for cue, after in row.items())


def test_every_cue_is_somewhere_in_the_table() -> None:
    assert {cue for row in TRANSITIONS.values() for cue in row} == set(Cue)


def test_every_phase_can_be_reached_from_the_start_by_real_messages() -> None:
    reached = {Phase.START: Session()}
    for _ in Phase:
        for session in list(reached.values()):
            for role, message in SAID.values():
                if not is_violation(session, role, message):
                    after = received(session, role, message)
                    reached.setdefault(after.phase, after)
    assert set(reached) == set(Phase)


def test_nothing_follows_the_end() -> None:
    assert TRANSITIONS[Phase.CLOSED] == {}
    assert all(is_violation(Session(Phase.CLOSED), role, message) for role, message in SAID.values())


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase is not Phase.CLOSED], ids=lambda p: p.value)
def test_either_side_may_leave_at_any_time(phase: Phase) -> None:
    for role in Role:
        assert received(STANDING[phase], role, BYE) == Session(Phase.CLOSED)
        assert sent(STANDING[phase], role, BYE) == Session(Phase.CLOSED)


@pytest.mark.parametrize("cue", Cue, ids=lambda cue: cue.value)
@pytest.mark.parametrize("phase", Phase, ids=lambda phase: phase.value)
def test_a_message_does_what_the_table_says_and_is_else_a_violation(phase: Phase, cue: Cue) -> None:
    role, message = SAID[cue]
    session = STANDING[phase]._replace(ping_id=1) if cue is Cue.PONG else STANDING[phase]
    target = TRANSITIONS[phase].get(cue)
    assert is_violation(session, role, message) == (target is None)
    if target is not None:
        assert received(session, role, message).phase is target


@pytest.mark.parametrize("role", Role, ids=lambda role: role.value)
@pytest.mark.parametrize("message", [message for _, message in SAID.values()], ids=repr)
def test_a_message_is_permitted_somewhere_exactly_to_those_who_send_it(message: Message, role: Role) -> None:
    sessions = [session._replace(ping_id=0 if isinstance(message, Ping) else 1) for session in STANDING.values()]
    permitted = any(not is_violation(session, role, message) for session in sessions)
    assert permitted == (role in SENDERS[type(message)])


def test_our_own_mistake_and_the_peers_are_two_errors() -> None:
    with pytest.raises(LocalProtocolError, match="kill request while start"):
        sent(Session(), MONITOR, request())
    with pytest.raises(RemoteProtocolError, match="kill request while start"):
        received(Session(), MONITOR, request())
    with pytest.raises(RemoteProtocolError, match="the monitor may not send Verdict"):
        received(STANDING[Phase.ASKED], MONITOR, verdict())


def test_a_violation_leaves_the_session_as_it_was() -> None:
    session = walked(hello(), answer(), request(3))
    before = tuple(session)
    assert is_violation(session, MONITOR, request(4))
    assert tuple(session) == before


def test_a_whole_kill_ends_where_it_began() -> None:
    idle = walked(hello(), answer())
    assert idle == Session(Phase.IDLE)
    assert walked(request(2), start=idle) == Session(Phase.ASKED, asked_id=2)
    assert walked(request(2), verdict(2), start=idle) == Session(Phase.FLYING, flight_id=2)
    assert walked(request(2), verdict(2), exited(2), start=idle) == idle


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE], ids=lambda r: r.name)
def test_a_request_without_a_signal_starts_no_kill(reason: Reason) -> None:
    assert walked(hello(), answer(), request(2), verdict(2, reason)) == Session(Phase.IDLE)
    flying = walked(hello(), answer(flight_id=9), request(2), verdict(2, reason))
    assert flying == Session(Phase.FLYING, flight_id=9)


def test_nobody_speaks_before_the_monitor_says_hello() -> None:
    permitted = [cue for cue, (role, message) in SAID.items() if not is_violation(Session(), role, message)]
    assert permitted == [Cue.MONITOR_HELLO, Cue.BYE]


def test_the_monitor_asks_nothing_before_the_killer_has_answered_its_hello() -> None:
    greeted = walked(hello())
    assert is_violation(greeted, MONITOR, Ping(2))
    assert is_violation(greeted, MONITOR, request(2))


def test_the_killer_says_hello_once() -> None:
    assert is_violation(walked(hello(), answer()), KILLER, answer())
    assert is_violation(walked(hello(), answer(flight_id=9)), KILLER, answer(flight_id=9))


def test_a_second_request_before_the_verdict_is_a_violation() -> None:
    assert is_violation(walked(hello(), answer(), request(2)), MONITOR, request(3))
    assert is_violation(walked(hello(), answer(flight_id=1), request(2)), MONITOR, request(3))


def test_a_verdict_that_nobody_asked_for_is_a_violation() -> None:
    assert is_violation(walked(hello(), answer()), KILLER, verdict(1))
    assert is_violation(walked(hello(), answer(), request(2), verdict(2)), KILLER, verdict(2))


def test_an_exit_without_a_kill_is_a_violation() -> None:
    assert is_violation(walked(hello(), answer()), KILLER, exited(1))
    assert is_violation(walked(hello(), answer(), request(2)), KILLER, exited(2))
    assert is_violation(walked(hello(), answer(), request(2), verdict(2), exited(2)), KILLER, exited(2))


def test_an_escalation_does_not_rename_the_kill_in_flight() -> None:
    flying = walked(hello(), answer(), request(2), verdict(2), request(3, Signal.KILL), verdict(3))
    assert flying == Session(Phase.FLYING, flight_id=2)
    assert is_violation(flying, KILLER, exited(3))
    assert walked(exited(2), start=flying) == Session(Phase.IDLE)


def test_an_exit_may_cross_a_request_in_either_order() -> None:
    flying = walked(hello(), answer(), request(2), verdict(2))
    exit_first = walked(exited(2), request(3), start=flying)
    request_first = walked(request(3), exited(2), start=flying)
    assert exit_first == request_first == Session(Phase.ASKED, asked_id=3)


def test_a_request_that_outlived_the_kill_before_it_starts_a_kill_of_its_own() -> None:
    asked = walked(hello(), answer(), request(2), verdict(2), request(3), exited(2))
    assert walked(verdict(3), start=asked) == Session(Phase.FLYING, flight_id=3)


def test_the_kill_of_an_earlier_connection_is_reported_under_its_own_id() -> None:
    flying = walked(hello(), answer(flight_id=77))
    assert flying == Session(Phase.FLYING, flight_id=77)
    assert is_violation(flying, KILLER, exited(1))
    assert walked(exited(77), start=flying) == Session(Phase.IDLE)


ANSWERS: list[tuple[str, Session, Callable[[int], Message]]] = [
    ("Pong", walked(hello(), answer(), Ping(7)), Pong),
    ("Verdict", walked(hello(), answer(), request(7)), verdict),
    ("Exited", walked(hello(), answer(), request(7), verdict(7)), exited),
]


@pytest.mark.parametrize(("name", "session", "reply"), ANSWERS, ids=[name for name, *_ in ANSWERS])
def test_an_answer_must_carry_the_id_that_is_due(name: str, session: Session, reply: Callable[[int], Message]) -> None:
    for wrong in (0, 1, 6, 8, 2**32 - 1):
        with pytest.raises(RemoteProtocolError, match=f"{name} with id {wrong} instead of 7"):
            received(session, KILLER, reply(wrong))
        assert is_violation(session, KILLER, reply(wrong))
    assert not is_violation(session, KILLER, reply(7))


def test_a_pong_answers_one_ping_once() -> None:
    pinged = walked(hello(), answer(), Ping(7))
    assert pinged.ping_id == 7
    assert is_violation(walked(Pong(7), start=pinged), KILLER, Pong(7))
    assert is_violation(walked(hello(), answer()), KILLER, Pong(0))


@pytest.mark.parametrize("phase", [Phase.IDLE, Phase.ASKED, Phase.FLYING, Phase.FLYING_ASKED], ids=lambda p: p.value)
def test_a_ping_and_its_pong_change_nothing_else(phase: Phase) -> None:
    assert walked(Ping(7), Pong(7), start=STANDING[phase]) == STANDING[phase]


@pytest.mark.parametrize(
    "phase", [phase for phase in Phase if phase not in (Phase.CLOSED, Phase.START)], ids=lambda p: p.value
)
def test_a_hello_begins_anew_and_forgets_what_was_due(phase: Phase) -> None:
    again = walked(hello(8), start=STANDING[phase]._replace(ping_id=6))
    assert again.phase is Phase.GREETED
    assert (again.flight_id, again.ping_id) == (0, 0)
    assert walked(answer(new_id=8), start=again) == Session(Phase.IDLE)
    assert walked(answer(flight_id=3, new_id=8), start=again) == Session(Phase.FLYING, flight_id=3)


def test_a_restarted_monitor_discards_what_its_former_self_was_sent() -> None:
    greeted = walked(hello(8))
    assert walked(verdict(2), exited(2), Pong(3), verdict(0), start=greeted) == greeted
    assert walked(verdict(2), exited(2), Pong(3), answer(new_id=8), start=greeted) == Session(Phase.IDLE)


@pytest.mark.parametrize(("lowest", "highest"), [(0, 0), (1, 1), (0, 1), (3, 3), (3, 255), (2, 0), (255, 0)])
def test_a_hello_without_our_version_is_a_violation(lowest: int, highest: int) -> None:
    for session in (Session(), *(STANDING[phase] for phase in (Phase.GREETED, Phase.IDLE, Phase.FLYING))):
        assert is_violation(session, MONITOR, hello(1, lowest, highest))


@pytest.mark.parametrize(("lowest", "highest"), [(2, 2), (0, 2), (1, 2), (2, 3), (0, 255)])
def test_a_hello_whose_versions_include_ours_is_accepted(lowest: int, highest: int) -> None:
    assert walked(hello(1, lowest, highest)).phase is Phase.GREETED


def test_a_second_ping_before_the_pong_is_a_violation() -> None:
    assert is_violation(walked(hello(), answer(), Ping(7)), MONITOR, Ping(8))


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_a_killer_that_would_speak_another_version_commits_a_violation(version: int) -> None:
    assert is_violation(walked(hello()), KILLER, answer(version=version))


def test_a_restarted_monitor_discards_the_hello_that_answers_its_former_self() -> None:
    greeted = sent(Session(), MONITOR, hello(8))  # its former self said hello with id 7
    still_greeted = received(greeted, KILLER, answer(flight_id=5, new_id=7))
    assert still_greeted == greeted
    assert received(still_greeted, KILLER, answer(new_id=8)) == Session(Phase.IDLE)
