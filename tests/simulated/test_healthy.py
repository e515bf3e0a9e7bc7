"""The random healthy hours, some minutes of a few: `make bench ARGS="--only healthy"` has hundreds of hours."""

import itertools

import pytest

from tests.bench import healthy as bench

from .healthy import KINDS, describe, hour
from .judging import HealthyOutcome, healthy_under_bustd
from .memory import GIB, MIB
from .processes import Plan, ramp

SOME_S = 400.0


def of_kind(kind):
    """The number of the first hour of this kind, on a machine of 1 to 16 GiB."""
    made = ((number, hour(bench.SEED, number)) for number in itertools.count())
    return next(number for number, one in made if one.kind == kind and GIB < one.machine.ram < 16 * GIB)


def test_an_hour_is_the_same_whenever_it_is_made():
    first, second = ([healthy_under_bustd(hour(1, number), 60) for number in (2, 3)] for _ in range(2))
    assert first == second


def test_every_kind_comes_with_and_without_swap():
    made = [hour(1, number) for number in range(60)]
    assert {one.kind for one in made} == set(KINDS)
    assert {one.swap for one in made} == {"none", "disk", "zram"}


@pytest.mark.parametrize("kind", KINDS)
def test_nobody_dies_and_what_was_planned_stays_available(kind):
    one = hour(bench.SEED, of_kind(kind))
    outcome = healthy_under_bustd(one, SOME_S)
    assert not bench.failed([outcome]), describe(one)


def test_forecast_at_its_former_limit_kills_a_start_up_that_lives_at_the_present_one():
    number = 49
    former: dict[str, object] = {"conditions": {"forecast": {"available_percent": 20}}}
    assert healthy_under_bustd(hour(1, number), SOME_S, former).killed == ("starts-up-2",)
    assert not healthy_under_bustd(hour(1, number), SOME_S).killed


def test_a_heap_that_is_filled_beside_a_full_page_cache_is_no_pressure():
    assert not healthy_under_bustd(hour(1, 865), 15).killed


def test_a_working_set_that_a_slow_disk_takes_ten_minutes_for_is_no_stall():
    assert not healthy_under_bustd(hour(1, 443), 700).killed


def test_what_takes_more_than_was_planned_is_seen():
    one = hour(bench.SEED, of_kind("close"))
    one.machine.start(Plan("leak", ramp(100 * MIB), busy=0.5, starts_s=5.0))
    outcome = healthy_under_bustd(one, 120)
    assert outcome.is_short
    assert "leak" in outcome.killed


def outcome(number, *, killed=(), kernel_kills=0, is_short=False, wakeups=1.0):
    return HealthyOutcome(number, "close", "none", killed, kernel_kills, is_short, wakeups)


def test_a_death_is_a_missed_target_and_so_are_too_many_wake_ups():
    figures = {one.key: one for one in bench.figures([outcome(0), outcome(1, killed=("database",), wakeups=6.0)])}
    assert figures["healthy_deaths"].value == 1
    assert figures["healthy_deaths"].is_met is False
    assert figures["healthy_wakeups_close"].is_met is False
    assert {one.key: one for one in bench.figures([outcome(0)])}["healthy_deaths"].is_met


def test_an_hour_that_was_not_healthy_does_not_count_and_is_named():
    unsound = [outcome(0, is_short=True, killed=("database",)), outcome(1, kernel_kills=1)]
    figures = {one.key: one for one in bench.figures([*unsound, outcome(2)])}
    assert figures["healthy_deaths"].value == 0
    assert figures["healthy_unsound"].value == 2
    assert [line.partition(",")[0] for line in bench.failed(unsound).splitlines()] == ["hour 0", "hour 1"]
