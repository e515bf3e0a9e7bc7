"""What is counted in events, and that a count never goes back."""

from __future__ import annotations

import math
import re

import pytest

from bustd_monitor.cli.metrics.counters import BOUNDS_S, KILLS, REACTION, REFUSALS, counted, families, nothing_yet
from bustd_monitor.cli.metrics.exposition import series
from bustd_monitor.reporting.events import ANSWERED, DECIDED, ENDED, LIVES, NOTED, Fields
from bustd_protocol.messages import Reason, outcome_of
from tests.support.told import packet, told

HOSTILE = b'a"} 1\n\x1b[2J\xe2\x80\xae|'
WHO: Fields = (("CONDITION", "floor"), ("SIGNAL", "KILL"), ("VICTIM_PID", 71), ("VICTIM_COMM", HOSTILE))


def a_kill(
    *, took_us: int = 20_000, asked_s: float = 5, answered_s: float = 5.03, outcome: str = "gone"
) -> list[bytes]:
    kind = LIVES if outcome in ("stuck", "spared") else ENDED
    return [
        packet(DECIDED, (*WHO, ("DECIDED_US", took_us)), at_s=asked_s),
        packet(ANSWERED, (*WHO, ("OUTCOME", "signalled"), ("REASON", "none")), at_s=answered_s),
        packet(kind, (*WHO, ("OUTCOME", outcome), ("ELAPSED_MS", 26)), at_s=answered_s + 0.1),
    ]


def refusal(reason: str, outcome: str = "refused") -> bytes:
    return packet(ANSWERED, (*WHO, ("OUTCOME", outcome), ("REASON", reason)))


def grown(*packets: bytes) -> dict[str, float]:
    """The series that are no longer 0."""
    return {name: value for name, value in counted(told(*packets)).items() if value}


def kills(outcome: str = "gone", condition: str = "floor", signal: str = "KILL") -> str:
    return series(KILLS, condition=condition, signal=signal, outcome=outcome)


# --- kills


@pytest.mark.parametrize("outcome", ["gone", "released", "stuck", "spared"])
def test_a_kill_counts_once_by_its_condition_its_signal_and_how_it_ended(outcome):
    found = {name: value for name, value in grown(*a_kill(outcome=outcome)).items() if name.startswith(KILLS)}
    assert found == {kills(outcome): 1}


def test_an_escalation_and_a_continuation_are_no_further_kill():
    decided, answered, ended = a_kill()
    again = packet(DECIDED, (("CONDITION", "floor"), ("SIGNAL", "KILL"), ("VICTIM_PID", 71)))
    found = counted(told(decided, answered, answered, again, answered, ended))
    assert found[kills()] == 1 and found[f"{REACTION}_count"] == 1


@pytest.mark.parametrize(
    "fields",
    [
        (("OUTCOME", "gone"),),
        (("CONDITION", 'x"} 1\ny 2'), ("SIGNAL", "KILL"), ("OUTCOME", "gone")),
        (("CONDITION", "floor"), ("SIGNAL", "STOP"), ("OUTCOME", "gone")),
    ],
)
def test_what_is_in_no_closed_set_counts_as_unknown(fields):
    assert grown(packet(ENDED, fields)) == {kills("gone", "unknown", "unknown"): 1}


def test_an_end_of_a_newer_bustd_counts_as_unknown():
    assert grown(packet(ENDED, (*WHO, ("OUTCOME", "frozen")))) == {kills("unknown", "unknown", "unknown"): 1}


# --- refusals


@pytest.mark.parametrize(
    "reason", [one for one in Reason if one not in (Reason.NONE, Reason.GONE)], ids=lambda one: one.name
)
def test_a_refusal_counts_by_its_reason(reason):
    name = reason.name.lower()
    assert grown(refusal(name, outcome_of(reason).name.lower())) == {series(REFUSALS, reason=name): 1}


def test_a_victim_that_was_gone_already_is_no_refusal_and_a_reason_of_a_newer_bustd_is_unknown():
    assert grown(refusal("gone", "gone")) == {}
    assert grown(refusal("tired")) == {series(REFUSALS, reason="unknown"): 1}


# --- the reaction


def reaction(*packets: bytes) -> float | None:
    found = counted(told(*packets))
    return found[f"{REACTION}_sum"] if found[f"{REACTION}_count"] else None


def test_the_reaction_is_the_ranking_and_the_time_to_the_answer():
    assert reaction(*a_kill(took_us=20_000, asked_s=5, answered_s=5.03)) == pytest.approx(0.05)


def test_the_time_at_which_an_entry_was_sent_counts_before_that_at_which_it_arrived():
    decided, answered, _ = a_kill(took_us=20_000, asked_s=5, answered_s=9)
    sent = [b"_SOURCE_REALTIME_TIMESTAMP=%d\n" % at + one for at, one in ((7_000_000, decided), (7_030_000, answered))]
    assert reaction(*sent) == pytest.approx(0.05)


@pytest.mark.parametrize(("asked_s", "answered_s"), [(5, 4), (5, 66)], ids=["back", "far ahead"])
def test_a_clock_that_was_set_meanwhile_makes_no_reaction(asked_s, answered_s):
    assert reaction(*a_kill(asked_s=asked_s, answered_s=answered_s)) is None


def test_the_answer_to_another_request_or_without_a_decision_makes_no_reaction():
    decided, answered, _ = a_kill()
    other = packet(ANSWERED, (("VICTIM_PID", 72), ("OUTCOME", "signalled")), at_s=5.01)
    assert reaction(answered) is None and reaction(decided, other) is None
    assert reaction(decided, refusal("protected")) is None
    assert reaction(decided, packet(NOTED), answered) == pytest.approx(0.05)


def test_the_buckets_add_up():
    times_s = [0.005, 0.05, 0.05, 3, 50]
    packets = [one for time_s in times_s for one in a_kill(took_us=0, asked_s=1, answered_s=1 + time_s)]
    found = counted(told(*packets))
    bounds = [*(f"{bound:g}" for bound in BOUNDS_S), "+Inf"]
    values = [found[series(f"{REACTION}_bucket", le=bound)] for bound in bounds]
    assert values == [1, 1, 3, 3, 3, 3, 3, 3, 4, 5]
    assert found[f"{REACTION}_count"] == 5 and found[f"{REACTION}_sum"] == pytest.approx(sum(times_s))


# --- going on


def test_counts_go_on_from_what_was_counted_before_and_never_go_back():
    before = counted(told(*a_kill(), refusal("protected")))
    after = counted(told(*a_kill(), *a_kill(outcome="released")), before)
    assert after[kills()] == 2 and after[kills("released")] == 1
    assert all(after[name] >= value for name, value in before.items())
    assert counted((), before) == before


@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_what_makes_no_sense_in_a_file_of_before_counts_as_nothing(value):
    assert counted((), {kills(): value, "bustd_of_another_version": 5}) == nothing_yet()


def test_every_series_is_there_from_the_beginning():
    assert set(nothing_yet().values()) == {0}
    assert set(counted(told(*a_kill(), refusal("rate")))) == set(nothing_yet())


def test_no_process_is_in_a_label():
    for name in counted(told(*a_kill(), refusal("protected"), packet(ENDED, (*WHO, ("OUTCOME", HOSTILE))))):
        assert re.fullmatch(r'\w+(\{(condition|signal|outcome|reason|le)="[\w.+]+"(,\w+="[\w.+]+")*\})?', name)
        assert "71" not in name


def test_every_count_is_in_one_family():
    counts = nothing_yet()
    found = [name for family in families(counts) for name in family.samples]
    assert sorted(found) == sorted(counts)
