"""What the monitor does on each reason. A wrong row kills an innocent, so the whole table is written down again."""

from __future__ import annotations

import pytest

from bustd_protocol.messages import Outcome, Reason, outcome_of
from bustd_protocol.reactions import REACTIONS, Reaction

NEXT_CANDIDATE = {"PID1", "SELF", "PARENT", "MONITOR", "KERNEL_THREAD", "ADJ", "PROTECTED", "OUTSIDE"}
RANK_AGAIN = {"GONE", "SHRUNK", "START_TIME", "NOT_LEADER"}
ALARM = {"HIDDEN", "EPERM", "KERNEL", "UNSUPPORTED"}


def reasons_for(reaction: Reaction) -> set[str]:
    return {reason.name for reason, given in REACTIONS.items() if given is reaction}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_every_reason_has_a_reaction(reason: Reason) -> None:
    assert isinstance(REACTIONS[reason], Reaction)


@pytest.mark.parametrize("reaction", Reaction, ids=lambda reaction: reaction.name)
def test_every_reaction_has_a_reason(reaction: Reaction) -> None:
    assert reasons_for(reaction)


def test_the_next_candidate_is_asked_for_only_when_this_process_may_never_be_killed() -> None:
    assert reasons_for(Reaction.NEXT_CANDIDATE) == NEXT_CANDIDATE


def test_a_reading_that_is_out_of_date_is_taken_again() -> None:
    assert reasons_for(Reaction.RANK_AGAIN) == RANK_AGAIN


def test_what_would_hold_for_every_process_is_an_alarm() -> None:
    assert reasons_for(Reaction.ALARM) == ALARM


def test_a_kill_in_flight_is_waited_for() -> None:
    assert reasons_for(Reaction.AWAIT_EXIT) == {"NONE", "BUSY"}


def test_the_rate_limit_is_waited_for() -> None:
    assert reasons_for(Reaction.AWAIT_RATE) == {"RATE"}


def test_a_machine_that_is_not_short_is_left_alone() -> None:
    assert reasons_for(Reaction.STAND_DOWN) == {"NOT_SHORT"}


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_a_second_process_is_named_only_after_a_refusal(reason: Reason) -> None:
    if REACTIONS[reason] is Reaction.NEXT_CANDIDATE:
        assert outcome_of(reason) is Outcome.REFUSED


@pytest.mark.parametrize("reason", list(Reason), ids=lambda reason: reason.name)
def test_what_the_kernel_would_not_do_is_an_alarm(reason: Reason) -> None:
    if outcome_of(reason) is Outcome.FAILED:
        assert REACTIONS[reason] is Reaction.ALARM
