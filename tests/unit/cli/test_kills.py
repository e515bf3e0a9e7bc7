"""Kills put together from events."""

from __future__ import annotations

from bustd_monitor.cli.kills import IN_FLIGHT, ToldKill, kills
from bustd_monitor.reporting.events import ANSWERED, DECIDED, ENDED, LIVES, Fields
from tests.support.told import BEGAN_US, SECOND_US, packet, told

WHO: Fields = (("CONDITION", "floor"), ("VICTIM_PID", 71), ("VICTIM_COMM", b"leak"), ("VICTIM_UID", 1000))
CHOICE: Fields = (*WHO, ("SIGNAL", "KILL"), ("VICTIM_UNIT", "leak.service"), ("VICTIM_BYTES", 5000))
ASKED: Fields = (*WHO, ("SIGNAL", "KILL"))


def answer(outcome: str, reason: str = "none") -> Fields:
    return (*ASKED, ("OUTCOME", outcome), ("REASON", reason))


def end(outcome: str = "gone") -> Fields:
    return (*ASKED, ("OUTCOME", outcome), ("ELAPSED_MS", 26))


def test_a_kill_has_what_was_decided_and_how_it_ended():
    found = kills(
        told(
            packet(DECIDED, CHOICE, at_s=1),
            packet(ANSWERED, answer("signalled"), at_s=2),
            packet(ENDED, end(), at_s=3),
        )
    )
    at_us = BEGAN_US + 3 * SECOND_US
    assert found == [ToldKill(at_us, "floor", "KILL", "gone", 71, "leak", 1000, "leak.service", 5000, 26)]


def test_a_refusal_is_no_kill():
    assert kills(told(packet(DECIDED, CHOICE), packet(ANSWERED, answer("refused", "protected")))) == []


def test_a_kill_without_an_end_is_in_flight():
    (found,) = kills(told(packet(DECIDED, CHOICE), packet(ANSWERED, answer("signalled"))))
    assert (found.outcome, found.pid, found.held_bytes) == (IN_FLIGHT, 71, 5000)


def test_an_escalation_and_a_continuation_are_the_same_kill():
    again: Fields = (("CONDITION", "floor"), ("SIGNAL", "KILL"), ("VICTIM_PID", 71))
    answered = packet(ANSWERED, answer("signalled"))
    found = kills(told(packet(DECIDED, CHOICE), answered, packet(DECIDED, again), answered, packet(ENDED, end())))
    assert [kill.held_bytes for kill in found] == [5000]


def test_a_victim_that_lives_is_told_with_what_came_of_it():
    found = kills(told(packet(ANSWERED, answer("signalled")), packet(LIVES, end("spared"))))
    assert [(kill.outcome, kill.elapsed_ms) for kill in found] == [("spared", 26)]


def test_of_a_kill_that_another_monitor_asked_for_the_end_alone_is_told():
    nameless: Fields = (("OUTCOME", "gone"), ("ELAPSED_MS", 4))
    (found,) = kills(told(packet(ENDED, nameless)))
    assert (found.pid, found.comm, found.outcome, found.held_bytes) == (None, "", "gone", None)


def test_the_end_of_a_kill_that_no_longer_says_whose_it_is_belongs_to_the_one_in_flight():
    nameless: Fields = (("OUTCOME", "stuck"), ("ELAPSED_MS", 4))
    (found,) = kills(told(packet(DECIDED, CHOICE), packet(ANSWERED, answer("signalled")), packet(LIVES, nameless)))
    assert (found.pid, found.outcome, found.elapsed_ms) == (71, "stuck", 4)
