"""Warnings in random slow crises and healthy hours, a few of each: `make bench ARGS="--only warnings"` has more."""

import pytest

from tests.bench import warnings as bench

from .healthy import Hour, hour
from .judging import HealthyOutcome, SlowOutcome, healthy_under_bustd, slow_under_bustd
from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp
from .scenes import furnished
from .slow import KINDS, slow_crisis


def test_a_slow_crisis_is_the_same_whenever_it_is_made():
    assert slow_under_bustd(slow_crisis(1, 0)) == slow_under_bustd(slow_crisis(1, 0))


def test_every_kind_comes_with_and_without_swap():
    made = [slow_crisis(1, number) for number in range(60)]
    assert {one.kind for one in made} == set(KINDS)
    assert {one.swap for one in made} == {"none", "disk", "zram"}


@pytest.mark.parametrize("number", [0, 1, 4, 6, 8, 11])
def test_in_these_slow_crises_the_warning_comes_ten_seconds_before_the_decision(number):
    outcome = slow_under_bustd(slow_crisis(bench.SEED, number))
    assert outcome.is_decided
    assert 10 <= outcome.warned_s < 60


@pytest.mark.parametrize("number", [0, 1, 3])
def test_at_these_busy_desktops_nothing_is_foreseen(number):
    one = hour(bench.SEED, number, bench.DESKTOPS[number % 2])
    assert one.kind == bench.DESKTOPS[number % 2]
    assert healthy_under_bustd(one, 300).warnings == 0


def starting(most: float) -> Hour:
    """A program that takes so much at 30 MiB a second, and stops."""
    machine = furnished(Machine(8 * GIB, cache=GIB))
    machine.start(Plan("starts-up", ramp(30 * MIB, most=most), busy=0.5, starts_s=5.0))
    return Hour(0, "start-ups", "none", machine, 0.0)


def test_what_stops_just_before_memory_is_short_is_a_false_warning_and_a_leak_is_a_true_one():
    room = starting(0.0).machine.available - 0.1 * 8 * GIB
    assert healthy_under_bustd(starting(0.8 * room), 420).warnings == 0
    assert healthy_under_bustd(starting(0.97 * room), 420).warnings == 1
    leaks = healthy_under_bustd(starting(9 * GIB), 420)
    assert (leaks.killed, leaks.warnings) == (("starts-up",), 0)


def slow(number: int, warned_s: float, *, is_decided: bool = True) -> SlowOutcome:
    return SlowOutcome(number, "private", "none", warned_s, is_decided)


def busy(number: int, warnings: int) -> HealthyOutcome:
    return HealthyOutcome(number, "desktop", "none", (), 0, False, 1.0, warnings)


def test_late_warnings_are_a_missed_target_and_what_is_not_decided_does_not_count():
    outcomes = [slow(number, 15.0) for number in range(9)] + [slow(9, 9.9), slow(10, 0.0, is_decided=False)]
    figures = {one.key: one for one in bench.of_crises(outcomes)}
    assert (figures["warned_late"].value, figures["warned_late"].is_met) == (10.0, True)
    assert figures["warned_late_private"].samples == 10
    assert {one.key: one for one in bench.of_crises([*outcomes, slow(11, 0.0)])}["warned_late"].is_met is False


def test_more_than_one_false_warning_in_500_hours_is_a_missed_target():
    good = [busy(number, 0) for number in range(499)]
    for last, is_met in ((busy(499, 1), True), (busy(499, 2), False)):
        figures = {one.key: one for one in bench.of_hours([*good, last])}
        assert (figures["false_warnings_all"].value, figures["false_warnings_all"].is_met) == (last.warnings, is_met)
    assert bench.failed([slow(3, 2.0)], [busy(7, 1), busy(8, 0)]) == (
        "crisis 3, private, swap none: 2.0 s\nhour 7, desktop, swap none"
    )
