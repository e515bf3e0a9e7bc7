"""The conditions: each fires exactly where its thresholds say, and its headroom is never more than there is."""

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.stalled_seconds import Second, Stalls
from bustd_monitor.conditions.table import (
    CONDITIONS,
    Conditions,
    advanced,
    enough_available_percent,
    enough_free_percent,
    findings,
)
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.sensing.reading import Reading, Refaults, lower_bound
from bustd_protocol.messages import Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, conditions, psi, reading
from tests.unit.monitor.trends import STALLED, filling_at, found_in, stalls_of, the, thrashing

# floor


@pytest.mark.parametrize(("available", "fires"), [(GIB, True), (GIB + 1, False), (0, True), (1.5 * GIB, False)])
def test_floor_fires_at_a_gibibyte_on_a_large_machine(available, fires):
    found = the("floor", reading(available))
    assert (found.fires, found.is_scarce) == (fires, fires)


@pytest.mark.parametrize(("available", "fires"), [(200 * MIB, True), (201 * MIB, False)])
def test_floor_fires_at_a_tenth_on_a_small_machine(available, fires):
    assert the("floor", reading(available, total=2000 * MIB)).fires is fires


@pytest.mark.parametrize(
    ("swap", "fires"), [((0, 0), True), ((10 * GIB, GIB), True), ((10 * GIB, GIB + 1), False), ((GIB, 0), True)]
)
def test_floor_waits_until_swap_is_used_up_where_there_is_any(swap, fires):
    assert the("floor", reading(GIB, swap=swap)).fires is fires


def test_floor_counts_of_swap_only_what_can_still_relieve():
    used_up = reading(GIB, swap=(10 * GIB, 10 * GIB))._replace(swap_usable=GIB)
    assert the("floor", used_up).fires
    assert not the("floor", used_up._replace(swap_usable=GIB + 1)).fires


def test_a_swap_much_larger_than_memory_is_not_used_up_only_because_memory_could_never_fill_it():
    huge = reading(GIB, swap=(640 * GIB, 600 * GIB))
    assert not the("floor", huge._replace(swap_usable=2 * GIB)).fires
    assert the("floor", huge._replace(swap_usable=int(1.6 * GIB))).fires


@pytest.mark.parametrize(
    ("available", "swap", "signal"),
    [
        (GIB, (0, 0), Signal.TERM),
        (GIB / 2 + 1, (0, 0), Signal.TERM),
        (GIB / 2, (0, 0), Signal.KILL),
        (GIB / 2, (10 * GIB, GIB), Signal.TERM),
        (GIB / 2, (10 * GIB, GIB / 2), Signal.KILL),
        (GIB, (10 * GIB, GIB / 2), Signal.TERM),
    ],
)
def test_at_half_of_the_floor_of_both_it_is_sigkill(available, swap, signal):
    assert the("floor", reading(available, swap=swap)).signal is signal


def test_the_fraction_at_which_sigkill_comes_can_be_moved():
    assert the("floor", reading(GIB), kill_fraction_percent=100).signal is Signal.KILL
    assert the("floor", reading(1), kill_fraction_percent=0).signal is Signal.TERM


def test_floor_needs_no_psi():
    assert the("floor", reading(GIB, pressure=None)).fires
    assert not the("floor", reading()).condition.needs_time


@pytest.mark.parametrize(
    ("available", "swap", "headroom"),
    [
        (3 * GIB, (0, 0), 2 * GIB),
        (3 * GIB, (10 * GIB, 9 * GIB), 8 * GIB),
        (9 * GIB, (10 * GIB, 2 * GIB), 8 * GIB),
        (GIB, (0, 0), 0),
        (0, (0, 0), 0),
    ],
)
def test_the_headroom_of_floor_is_what_must_be_taken_of_memory_or_of_swap(available, swap, headroom):
    assert the("floor", reading(available, swap=swap)).headroom == headroom


# pressure

THRASH = thrashing(90)


@pytest.mark.parametrize(
    ("seconds", "fires"),
    [
        ((Second(0, 250, Refaults(0, 0, kswapd_steps=1)),) * 2, True),
        ((Second(0, 249, Refaults(0, 0, kswapd_steps=1)),) * 2, False),
        ((Second(0, 999, Refaults(0, 0, kswapd_steps=1)), Second(0, 0, Refaults(0, 0))), True),
        ((Second(0, 999, Refaults(99, 99, reclaimed_by_allocations=99)),) * 2, False),
        ((Second(0, 999),) * 2, False),
        ((), False),
    ],
)
def test_pressure_needs_stalls_and_the_machines_own_reclaim_in_the_last_seconds(seconds, fires):
    stalls = Stalls(2000, refaults=Refaults(1, 1), seconds=seconds)
    assert the("pressure", reading(GIB, pressure=psi(99)), stalls).fires is fires


@pytest.mark.parametrize(
    ("available", "refaulted", "reclaimed", "fires"),
    [
        (2 * GIB, 0, 100, False),
        (2 * GIB, 4, 100, False),
        (2 * GIB, 5, 100, True),
        (2 * GIB, 0, 4, False),
        (2 * GIB, 0, 3, True),
        (0.8 * GIB, 0, 100, True),
    ],
)
def test_programs_that_read_or_fill_much_beside_a_full_page_cache_are_no_pressure(
    available, refaulted, reclaimed, fires
):
    second = Second(0, 999, Refaults(0, refaulted * MIB, reclaimed * MIB))
    stalls = Stalls(2000, refaults=Refaults(1, 1, 1), seconds=(second,) * 2)
    assert the("pressure", reading(available, pressure=psi(99)), stalls).fires is fires


@pytest.mark.parametrize(
    ("refaulted", "is_of_unlimited", "fires"), [(16, True, True), (15, True, False), (16, False, False)]
)
def test_who_reads_much_beside_a_thrash_can_not_hide_it(refaulted, is_of_unlimited, fires):
    """16 GiB of RAM, of which a 1024th is refaulted in each second, and a hundred times as much is reclaimed."""
    second = Second(0, 999, Refaults(0, refaulted * MIB, 1600 * MIB))
    stalls = Stalls(2000, refaults=Refaults(1, 1, 1), seconds=(second,) * 2, is_of_unlimited=is_of_unlimited)
    assert the("pressure", reading(2 * GIB, pressure=psi(99)), stalls).fires is fires


def test_where_nothing_is_known_of_reclaim_pressure_needs_ten_seconds_of_stalls():
    pressed = reading(GIB, pressure=psi(99))
    assert the("pressure", pressed, stalls_of(*[0] * 10, some_ms=250)).fires
    assert not the("pressure", pressed, stalls_of(*[0] * 9, some_ms=999)).fires
    assert not the("pressure", pressed, stalls_of(*[0] * 10, some_ms=249)).fires


def test_the_time_before_a_late_reading_counts_for_pressure():
    late = Second(0, 600, Refaults(0, 0, kswapd_steps=1))
    stalls = Stalls(2000, refaults=Refaults(1, 1), late=late)
    assert the("pressure", reading(GIB, pressure=psi(99)), stalls).fires


def test_with_a_psi_of_0_pressure_asks_for_no_stalls():
    assert the("pressure", reading(GIB), psi_some_avg10=0).fires


# emergency


def standing_still(*full_ms: int, back: int = 90) -> Stalls:
    """Seconds with so much of full stall in each, in which 100 MiB were reclaimed and so many refaulted."""
    refaults = Refaults(back * MIB, 0, 100 * MIB)
    return Stalls(2000, refaults=Refaults(1, 1), seconds=tuple(Second(amount, amount, refaults) for amount in full_ms))


@pytest.mark.parametrize(
    ("stalls", "fires"),
    [
        (standing_still(*[300] * 10), True),
        (standing_still(*[300] * 9), False),
        (standing_still(0, 0, *[375] * 8), True),
        (standing_still(0, 0, *[374] * 8), False),
        (standing_still(0, 0, 0, *[999] * 7), False),
        (standing_still(*[999] * 9, 99), False),
        (standing_still(*[999] * 10, back=19), False),
        (standing_still(*[999] * 10, back=20), True),
        (standing_still(*[999] * 10)._replace(seconds=(Second(999, 999, Refaults(9, 0)),) * 10), False),
        (stalls_of(*[999] * 10), False),
        (Stalls(), False),
    ],
)
def test_emergency_fires_after_ten_seconds_in_which_programs_stood_still_and_refaulted(stalls, fires):
    found = the("emergency", reading(16 * GIB * 0.35, free=GIB, swap=(GIB, GIB / 10)), stalls)
    assert (found.is_scarce, found.fires) == (True, fires)


@pytest.mark.parametrize(
    ("changed", "is_scarce"),
    [
        ({}, True),
        ({"available": int(16 * GIB * 0.351)}, False),
        ({"free": 5 * GIB}, False),
        ({"swap_usable": GIB // 10 + 1}, False),
        ({"swap_total": 0, "swap_free": 0, "swap_usable": 0}, True),
    ],
)
def test_emergency_needs_swap_that_is_used_up_and_looks_at_more_available_memory_than_the_others(changed, is_scarce):
    short = reading(5 * GIB, free=4 * GIB, swap=(GIB, GIB / 10))._replace(**changed)
    found = the("emergency", short, standing_still(*[300] * 10))
    assert (found.is_scarce, found.fires) == (is_scarce, is_scarce)


@pytest.mark.parametrize(
    ("seconds", "swap", "fires"), [(30, (GIB, 0), True), (29, (GIB, 0), False), (60, (0, 0), False)]
)
def test_where_nothing_is_known_of_reclaim_emergency_needs_thirty_seconds_and_a_swap_that_is_used_up(
    seconds, swap, fires
):
    assert the("emergency", reading(5 * GIB, free=GIB, swap=swap), stalls_of(*[400] * seconds)).fires is fires


@pytest.mark.parametrize(
    ("full_ms", "some_avg10", "is_of_unlimited", "is_scarce", "fires"),
    [
        (700, 99, True, True, True),
        (699, 99, True, True, False),
        (700, 99, False, True, False),
        (700, 60, True, True, True),
        (700, 59, True, False, False),
    ],
)
def test_where_programs_at_no_limit_hardly_run_it_is_an_emergency_with_any_swap(
    full_ms, some_avg10, is_of_unlimited, is_scarce, fires
):
    swapping = reading(5 * GIB, free=GIB, swap=(8 * GIB, 4 * GIB), pressure=psi(some_avg10))
    stalls = standing_still(*[full_ms] * 10)._replace(is_of_unlimited=is_of_unlimited)
    found = the("emergency", swapping, stalls)
    assert (found.is_scarce, found.fires) == (is_scarce, fires)


# pressure as in the original


@pytest.mark.parametrize(
    ("free", "available", "some", "is_scarce", "fires"),
    [
        (0.15, 0.15, 25, True, True),
        (0.15, 0.15, 24.99, True, False),
        (0.15, 0.151, 25, False, False),
        (0.151, 0.15, 25, False, False),
        (0, 0, 100, True, True),
        (0, 1, 100, False, False),
        (1, 0, 100, False, False),
    ],
)
def test_pressure_fires_when_little_is_free_little_available_and_programs_wait(free, available, some, is_scarce, fires):
    found = the("pressure", reading(16 * GIB * available, free=16 * GIB * free, pressure=psi(some)), THRASH)
    assert (found.is_scarce, found.fires) == (is_scarce, fires)


def test_with_100_percent_a_full_page_cache_does_not_keep_pressure_from_firing_as_in_the_original():
    cached = reading(15 * GIB, free=GIB, pressure=psi(30))
    assert the("pressure", cached, THRASH, available_percent=100).fires
    assert not the("pressure", cached, THRASH).fires


def test_while_most_of_swap_is_free_pressure_does_not_fire_because_a_working_set_may_only_be_on_its_way_there():
    def moving(free: float):
        return reading(GIB, swap=(20 * GIB, free), pressure=psi(90))

    assert not the("pressure", moving(11 * GIB)).is_scarce
    assert the("pressure", moving(11 * GIB)).headroom == GIB
    assert the("pressure", moving(10 * GIB), THRASH).fires
    assert the("pressure", moving(20 * GIB), THRASH, swap_percent=100).fires, "as in the original"
    small = reading(GIB, swap=(8 * GIB, 8 * GIB), pressure=psi(90))
    assert the("pressure", small, THRASH).fires, "a swap of half of RAM takes no working set"
    assert not the("pressure", small, swap_percent=49).fires


def test_pressure_without_psi_never_fires():
    found = the("pressure", reading(0, pressure=None))
    assert (found.is_scarce, found.fires, found.condition.needs_time) == (True, False, True)


def test_free_is_a_share_of_what_is_built_in_and_available_of_what_programs_can_have():
    filled_tmpfs = reading(0.375 * GIB, free=2 * GIB, total=2.5 * GIB, pressure=psi(30))._replace(ram=16 * GIB)
    assert the("pressure", filled_tmpfs, THRASH).fires
    assert not the("pressure", filled_tmpfs._replace(ram=13 * GIB), THRASH).fires
    assert not the("pressure", filled_tmpfs._replace(total=int(2.4 * GIB)), THRASH).fires


def test_the_headroom_of_pressure_is_the_larger_of_the_two():
    assert the("pressure", reading(12 * GIB, free=4 * GIB)).headroom == 12 * GIB - int(16 * GIB * 0.15)
    assert the("pressure", reading(6 * GIB, free=12 * GIB)).headroom == 12 * GIB - int(16 * GIB * 0.15)


# all of them


def test_the_most_urgent_comes_first_and_what_is_switched_off_says_nothing():
    assert [found.name for found in found_in(reading(), Stalls(), DEFAULTS.conditions)] == [
        "floor",
        "forecast",
        "stall",
        "pressure",
        "emergency",
    ]
    for name in ("floor", "forecast", "stall", "pressure", "emergency"):
        others = found_in(reading(), Stalls(), conditions(**{name: {"enabled": False}}))
        assert name not in [found.name for found in others]
        assert len(others) == 4


def test_on_a_machine_at_peace_nothing_is_scarce():
    assert not any(found.is_scarce for found in found_in(reading(), STALLED, DEFAULTS.conditions))


PERCENT = st.one_of(st.integers(1, 100), st.floats(0.1, 100))


@st.composite
def any_conditions(draw) -> Conditions:
    """As the configuration permits them."""
    return conditions(
        pressure={
            "enabled": draw(st.booleans()),
            "free_percent": draw(st.one_of(st.just(0), PERCENT)),
            "psi_some_avg10": draw(st.integers(0, 100)),
            "available_percent": draw(PERCENT),
        },
        floor={
            "enabled": draw(st.booleans()),
            "available_percent": draw(PERCENT),
            "available_mib": draw(st.integers(1, 2**20)),
            "swap_percent": draw(st.integers(0, 100)),
            "kill_fraction_percent": draw(st.integers(0, 100)),
        },
        stall={
            "enabled": draw(st.booleans()),
            "full_ms_per_second": draw(st.integers(1, 1000)),
            "some_ms_per_second": draw(st.integers(1, 1000)),
            "seconds": draw(st.integers(1, 5)),
            "available_percent": draw(PERCENT),
            "refault_percent": draw(st.integers(0, 200)),
            "thrash_available_percent": draw(PERCENT),
        },
        forecast={
            "enabled": draw(st.booleans()),
            "exhaustion_seconds": draw(st.floats(0.1, 60)),
            "available_percent": draw(PERCENT),
        },
        emergency={"enabled": draw(st.booleans()), "available_percent": draw(PERCENT), "swap_percent": draw(PERCENT)},
    )


@st.composite
def any_reading(draw) -> Reading:
    """A machine that can be: nothing is more than what there is."""
    ram = draw(st.integers(2**20, 2**45))
    total = draw(st.integers(1, ram))
    swap_total = draw(st.one_of(st.just(0), st.integers(0, 2**44)))
    swap_free = draw(st.integers(0, swap_total))
    return Reading(
        ram=ram,
        free=draw(st.integers(0, ram)),
        total=total,
        available=draw(st.integers(0, total)),
        swap_total=swap_total,
        swap_free=swap_free,
        swap_usable=draw(st.integers(0, swap_free)),
        pressure=draw(st.one_of(st.none(), st.floats(0, 100).map(psi))),
    )


ANY_REFAULTS = st.one_of(st.none(), st.builds(Refaults, *[st.integers(0, 2**40)] * 3))
ANY_STALLS = st.builds(
    lambda seconds, marked: Stalls(0, refaults=marked, seconds=tuple(seconds)),
    st.lists(st.builds(Second, st.integers(0, 1000), st.integers(0, 1000), ANY_REFAULTS), max_size=6),
    ANY_REFAULTS,
)
ANY_FILLING = st.builds(
    lambda per_second, seen_ms: filling_at(per_second, seen_ms=seen_ms), st.integers(0, 2**45), st.integers(300, 2000)
)


@given(any_reading(), ANY_STALLS, any_conditions(), ANY_FILLING)
@settings(deadline=None)
def test_what_fires_is_scarce_and_what_is_scarce_has_no_headroom_and_else_there_is_some(a_reading, stalls, some, rate):
    for found in found_in(a_reading, stalls, some, rate):
        assert found.is_scarce or not found.fires
        assert (found.headroom == 0) == found.is_scarce


@given(any_reading(), any_conditions(), ANY_FILLING)
@settings(deadline=None)
def test_a_condition_that_needs_psi_never_fires_without_it(a_reading, some, rate):
    without = advanced(Trends(Stalls(), rate), a_reading._replace(pressure=None), 5000, some)
    for found in findings(Seen(a_reading._replace(pressure=None), without), some):
        assert not (found.fires and found.condition.needs_psi)


def test_the_conditions_that_need_psi_are_known_as_such():
    assert [one.name for one in CONDITIONS if one.needs_psi] == ["stall", "pressure", "emergency"]


@given(any_reading(), ANY_STALLS, any_conditions(), st.floats(0, 1), st.floats(0, 1))
@settings(deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_nothing_becomes_scarce_before_its_headroom_is_taken(a_reading, stalls, some, share, of_swap):
    for before in found_in(a_reading, stalls, some):
        taken = max(int(before.headroom * share) - 1, 0)
        assume(taken < before.headroom)
        from_swap = min(int(taken * of_swap), a_reading.swap_usable)
        later = a_reading._replace(
            free=max(a_reading.free - taken, 0),
            available=max(a_reading.available - taken + from_swap, 0),
            swap_free=a_reading.swap_free - from_swap,
            swap_usable=a_reading.swap_usable - from_swap,
        )
        (after,) = (found for found in found_in(later, stalls, some) if found.name == before.name)
        assert not after.is_scarce


@given(st.data(), ANY_STALLS, any_conditions(), st.integers(2**20, 2**45))
@settings(deadline=None)
def test_what_is_enough_free_rules_every_condition_out(data, stalls, some, ram):
    """The sensor reads nothing but sysinfo then: whatever else it would have read, nothing may be missed by it."""
    least = int(ram * enough_free_percent(some) / 100) + 1
    assume(least <= ram)
    sure = data.draw(st.integers(least, ram), "free less the reserve")
    free = data.draw(st.integers(sure, ram), "free")
    cache = data.draw(st.integers(0, ram - free), "page cache")
    anonymous = data.draw(st.integers(0, ram - free - cache), "anonymous")
    available = sure + cache
    pressure = psi(data.draw(st.integers(0, 100), "PSI some avg10"))
    whole = Reading(ram, free, available + anonymous, available, 2**30, 0, pressure)
    cheap = Reading(ram, free, ram, sure, 0, 0, None)
    for a_reading in (whole, cheap):
        assert not any(found.is_scarce for found in found_in(a_reading, stalls, some))


@given(st.data(), ANY_STALLS, any_conditions(), st.integers(2**20, 2**45))
@settings(deadline=None)
def test_what_is_enough_available_rules_every_condition_out_however_little_is_free(data, stalls, some, ram):
    least = int(ram * enough_available_percent(some) / 100) + 1
    assume(least <= ram)
    available = data.draw(st.integers(least, ram), "available")
    free = data.draw(st.integers(0, available), "free")
    anonymous = data.draw(st.integers(0, ram - available), "anonymous")
    pressure = psi(data.draw(st.integers(0, 100), "PSI some avg10"))
    whole = Reading(ram, free, available + anonymous, available, 2**30, 0, pressure)
    for a_reading in (whole, lower_bound(ram, 0, available)):
        assert not any(found.is_scarce for found in found_in(a_reading, stalls, some))


@pytest.mark.parametrize(
    ("tables", "free_percent", "available_percent"),
    [
        ({}, 30, 35),
        ({name: {"enabled": False} for name in ("stall", "pressure", "forecast", "emergency")}, 10, 10),
        ({"emergency": {"enabled": False}}, 25, 25),
        ({"forecast": {"available_percent": 35}}, 45, 45),
        ({"pressure": {"free_percent": 50, "available_percent": 40}}, 40, 40),
        ({"pressure": {"free_percent": 33, "available_percent": 100}}, 33, 100),
        ({"stall": {"available_percent": 60}}, 60, 60),
        ({"stall": {"thrash_available_percent": 50}}, 50, 50),
        ({"floor": {"available_percent": 70}}, 70, 70),
        ({"only": "pressure"}, 15, 15),
        ({"only": "emergency"}, 30, 35),
    ],
)
def test_enough_is_more_than_the_largest_share_that_any_condition_asks_for(tables, free_percent, available_percent):
    some = conditions(**tables)
    assert enough_free_percent(some) == free_percent
    assert enough_available_percent(some) == available_percent, "`pressure` also looks at what is free"
