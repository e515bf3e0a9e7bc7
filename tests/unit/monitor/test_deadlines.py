"""When the killer must have answered: a verdict, the end of a kill, a ping; and when it is asked whether it lives."""

import pytest

from bustd_monitor.deadlines import Deadlines
from bustd_protocol.messages import Exited, Fate, Pong, Reason
from tests.unit.monitor.making import killer_hello, verdict

ANSWER_MS = 500
GRACE_MS, STUCK_MS, SPARE_MS = 2000, 5000, 2000
"""The killer's own patience in `killer_hello`, and what it is granted beyond."""
EXITED = Exited(1, Fate.GONE, 40)


@pytest.fixture
def deadlines():
    made = Deadlines(ANSWER_MS)
    heard(made, killer_hello(), 0)
    return made


def heard(deadlines: Deadlines, message, now_ms: int, *, owes_verdict: bool = False, is_flying: bool = False) -> None:
    deadlines.heard(message, now_ms, owes_verdict=owes_verdict, is_flying=is_flying)


def asked(deadlines: Deadlines, now_ms: int = 1000) -> Deadlines:
    deadlines.asked(now_ms)
    return deadlines


def test_at_first_nothing_is_due(deadlines):
    assert deadlines.due_ms() is None
    assert not deadlines.are_over(10**9)


def test_a_verdict_is_due_in_time_after_each_request(deadlines):
    assert asked(deadlines, 1000).due_ms() == 1500
    assert not deadlines.are_over(1499)
    assert deadlines.are_over(1500)
    assert asked(deadlines, 1400).due_ms() == 1900


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_after_a_refusal_nothing_is_due(deadlines, reason):
    heard(asked(deadlines), verdict(reason), 1100)
    assert deadlines.due_ms() is None


def test_a_kill_that_has_begun_must_end_with_the_killers_own_patience_and_some_more(deadlines):
    heard(asked(deadlines), verdict(Reason.NONE), 1100, is_flying=True)
    assert deadlines.due_ms() == 1100 + GRACE_MS + STUCK_MS + SPARE_MS
    heard(deadlines, EXITED, 3000)
    assert deadlines.due_ms() is None


def test_a_kill_that_is_in_flight_at_hello_must_end_too(deadlines):
    heard(deadlines, killer_hello(flight=(5, 101, 90125, 15)), 700, is_flying=True)
    assert deadlines.due_ms() == 700 + GRACE_MS + STUCK_MS + SPARE_MS


def test_an_exit_that_crosses_an_escalation_leaves_its_verdict_due(deadlines):
    heard(asked(deadlines), verdict(Reason.NONE), 1100, is_flying=True)
    heard(asked(deadlines, 2000), EXITED, 2001, owes_verdict=True)
    assert deadlines.due_ms() == 2500


@pytest.mark.parametrize("reason", [Reason.RATE, Reason.PROTECTED, Reason.NOT_SHORT])
def test_a_continuation_or_escalation_that_is_refused_leaves_the_end_of_the_kill_due(deadlines, reason):
    heard(asked(deadlines), verdict(Reason.NONE), 1100, is_flying=True)
    heard(asked(deadlines, 2000), verdict(reason), 2100, is_flying=True)
    assert deadlines.due_ms() == 2100 + GRACE_MS + STUCK_MS + SPARE_MS


def test_a_ping_is_due_after_the_interval_and_none_beside_another(deadlines):
    assert not deadlines.must_ping(1000, 300), "the interval begins when this is asked first"
    assert not deadlines.must_ping(1299, 300)
    assert deadlines.must_ping(1300, 300)
    deadlines.pinged(1300)
    assert not deadlines.must_ping(9000, 300), "the last one was not answered"
    heard(deadlines, Pong(7), 1400)
    assert not deadlines.must_ping(1599, 300)
    assert deadlines.must_ping(1600, 300)


def test_the_answer_to_a_ping_is_due_beside_a_verdict_and_the_earlier_counts(deadlines):
    deadlines.pinged(900)
    assert deadlines.due_ms() == 1400
    assert asked(deadlines, 1000).due_ms() == 1400
    assert asked(deadlines, 800).due_ms() == 1300
    heard(deadlines, verdict(Reason.RATE), 1100)
    assert deadlines.due_ms() == 1400, "an answer to something else is no answer to a ping"
    heard(deadlines, Pong(7), 1100)
    assert deadlines.due_ms() is None


def test_with_the_connection_everything_that_was_due_is_gone(deadlines):
    deadlines.pinged(900)
    asked(deadlines).forget()
    assert deadlines.due_ms() is None
    assert not deadlines.are_over(10**9)


def test_it_is_known_when_the_next_ping_is_due(deadlines):
    assert deadlines.ping_due_ms(2000) is None, "before the first question it is not"
    assert not deadlines.must_ping(1000, 2000)
    assert deadlines.ping_due_ms(2000) == 3000
    assert not deadlines.must_ping(2999, 2000) and deadlines.must_ping(3000, 2000)
    deadlines.pinged(3000)
    assert deadlines.ping_due_ms(2000) is None, "an answer is due first"
    deadlines.heard(Pong(1), 3001, owes_verdict=False, is_flying=False)
    assert deadlines.ping_due_ms(2000) == 5000
