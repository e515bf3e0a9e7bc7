"""The two conditions that need time: stall, by PSI and refaults, and forecast, by the rate of filling."""

import pytest

from bustd_monitor.conditions.filling import UNKNOWN, Filling, advanced
from bustd_monitor.conditions.finding import Finding
from bustd_monitor.conditions.stalled_seconds import Second, Stalls
from bustd_monitor.sensing.reading import Reading, Refaults
from bustd_protocol.messages import Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, psi, reading
from tests.unit.monitor.trends import STALLED, filling_at, found_in, stalls_of, the, thrashing

# stall


@pytest.mark.parametrize(
    ("full_ms", "fires"),
    [
        ((300,) * 10, True),
        ((0, *[1000] * 9, 300), True),
        ((*[300] * 9, 299), False),
        ((0, 0, *[375] * 8), True),
        ((0, 0, *[374] * 8), False),
        ((0, 0, 0, *[1000] * 7), False),
        ((*[1000] * 9, 99), False),
        ((1000,) * 9, False),
        ((1000, 1000), False),
        ((), False),
        ((*[1000] * 10, 0), False),
    ],
)
def test_where_refaults_can_not_be_read_ten_seconds_need_300_ms_of_full_stall_each_on_average_and_two_rests_at_most(
    full_ms, fires
):
    found = the("stall", reading(GIB), stalls_of(*full_ms))
    assert (found.fires, found.is_scarce) == (fires, True)


@pytest.mark.parametrize(
    ("share", "is_scarce", "fires"),
    [(0.15, True, True), (0.151, True, False), (0.25, True, False), (0.251, False, False)],
)
def test_stall_fires_only_where_memory_is_scarce_however_much_swap_is_free(share, is_scarce, fires):
    found = the("stall", reading(16 * GIB * share, swap=(64 * GIB, 64 * GIB)), STALLED)
    assert (found.is_scarce, found.fires) == (is_scarce, fires)


@pytest.mark.parametrize(
    ("stalls", "share", "fires"),
    [
        (thrashing(0, 0), 0.10, False),
        (thrashing(19, 0), 0.10, False),
        (thrashing(20, 0), 0.10, True),
        (thrashing(10, 10), 0.15, True),
        (thrashing(10, 10), 0.20, False),
        (thrashing(90, 19), 0.20, False),
        (thrashing(0, 20), 0.25, True),
        (thrashing(0, 90), 0.26, False),
        (thrashing(90, 0, full_ms=150), 0.10, True),
        (thrashing(90, 0, full_ms=149), 0.10, False),
    ],
)
def test_stall_wants_to_see_that_what_was_reclaimed_is_wanted_back_and_of_files_it_is_higher_up(stalls, share, fires):
    assert the("stall", reading(16 * GIB * share), stalls).fires is fires


def test_a_machine_that_only_moves_its_working_set_to_swap_loses_nobody_to_stall():
    assert not the("stall", reading(GIB, swap=(8 * GIB, 6 * GIB)), thrashing(10, 5, full_ms=900, some_ms=1000)).fires


@pytest.mark.parametrize(("some_ms", "fires"), [(900, True), (899, False)])
def test_where_one_task_only_computes_psi_some_says_that_the_others_thrash(some_ms, fires):
    assert the("stall", reading(GIB), thrashing(90, full_ms=0, some_ms=some_ms)).fires is fires


def test_psi_some_alone_is_never_enough_where_refaults_can_not_be_read():
    assert not the("stall", reading(0), stalls_of(0, 0, some_ms=1000)).fires


def test_stall_waits_for_the_first_refaults_where_they_can_be_read():
    unknown = STALLED._replace(refaults=Refaults(1, 1, 1))
    assert not the("stall", reading(GIB), unknown).fires
    assert the("stall", reading(GIB), unknown._replace(refaults=None)).fires


def test_a_thrash_limit_below_the_ordinary_one_counts_for_nothing():
    found = the("stall", reading(2 * GIB), thrashing(50), thrash_available_percent=1)
    assert (found.is_scarce, found.fires) == (True, True)


def test_the_numbers_of_stall_can_be_moved():
    assert the("stall", reading(GIB), stalls_of(*[50] * 10), seconds=1, full_ms_per_second=25).fires
    assert the("stall", reading(GIB), thrashing(90), seconds=2).fires
    assert not the("stall", reading(GIB), thrashing(90), seconds=3).fires
    assert not the("stall", reading(GIB), STALLED, seconds=11).fires
    assert the("stall", reading(8 * GIB), STALLED, available_percent=50).fires


def test_the_headroom_of_stall_is_of_available_memory():
    found = the("stall", reading(5 * GIB))
    assert (found.headroom, found.condition.needs_time, found.signal) == (GIB, True, Signal.TERM)


# forecast


@pytest.mark.parametrize(
    ("available", "free_swap", "per_second", "is_scarce", "fires"),
    [
        (3 * GIB, 0, 1.51 * GIB, True, True),
        (3 * GIB, 0, 1.49 * GIB, True, False),
        (3 * GIB, GIB, 1.51 * GIB, True, False),
        (3 * GIB, GIB, 2.01 * GIB, True, True),
        (3.3 * GIB, 0, 9 * GIB, False, False),
        (3 * GIB, 0, 0, True, False),
    ],
)
def test_forecast_fires_when_memory_and_swap_are_gone_within_two_seconds_and_little_is_available(
    available, free_swap, per_second, is_scarce, fires
):
    found = forecast(reading(available, swap=(8 * GIB, free_swap)), filling_at(per_second))
    assert (found.is_scarce, found.fires, found.condition.needs_time) == (is_scarce, fires, True)


def forecast(a_reading: Reading, filling: Filling, **keys: object) -> Finding:
    """With 20 % of available memory, so that there is room between a rate and the next."""
    return the("forecast", a_reading, filling=filling, **{"available_percent": 20} | keys)


def test_a_program_that_takes_much_when_it_starts_and_stops_with_a_tenth_left_lives():
    """As shipped. While it grows it can't be told from a leak, so nothing fires before that."""
    filling, fired = UNKNOWN, []
    for now_ms in range(0, 12_000, 100):
        left = max(16 * GIB - 2 * GIB * now_ms // 1000, 16 * GIB // 10)
        now = reading(left)
        filling = advanced(filling, now, now_ms)
        fired += [one.name for one in found_in(now, Stalls(), DEFAULTS.conditions, filling) if one.fires]
    assert fired == []


def test_a_rate_that_was_seen_for_a_second_is_trusted_for_no_more_than_a_second():
    assert not forecast(reading(3 * GIB), filling_at(2.9 * GIB, seen_ms=1000)).fires
    assert forecast(reading(3 * GIB), filling_at(3.1 * GIB, seen_ms=1000)).fires


def test_the_numbers_of_forecast_can_be_moved():
    assert forecast(reading(GIB), filling_at(GIB / 3), exhaustion_seconds=3.1).fires
    assert forecast(reading(9 * GIB), filling_at(6 * GIB), available_percent=60).fires


def test_forecast_sends_sigkill_only_if_the_grace_of_a_sigterm_would_be_too_long():
    assert forecast(reading(3 * GIB), filling_at(GIB), exhaustion_seconds=10).signal is Signal.TERM
    assert forecast(reading(3 * GIB), filling_at(2 * GIB), exhaustion_seconds=10).signal is Signal.KILL


@pytest.mark.parametrize(
    ("per_second", "firing", "signal"),
    [
        (0.51 * GIB, {"floor", "forecast", "pressure"}, Signal.KILL),
        (0.49 * GIB, {"floor", "pressure"}, Signal.TERM),
    ],
)
def test_whichever_fires_sends_sigkill_where_the_machine_would_not_survive_the_grace(per_second, firing, signal):
    found = found_in(reading(GIB, pressure=psi(30)), thrashing(10), DEFAULTS.conditions, filling_at(per_second))
    assert {one.name: one.signal for one in found if one.fires} == dict.fromkeys(firing, signal)
    assert all(one.signal is Signal.TERM for one in found if not one.fires)


@pytest.mark.parametrize(
    "samples",
    [
        ((0, 87), (101, 83), (300, 83), (401, 79)),
        ((0, 95), (120, 87), (250, 87), (400, 79)),
        ((0, 105), (100, 105), (200, 93), (300, 87), (400, 81), (500, 75)),
    ],
)
def test_a_program_that_takes_memory_in_steps_is_not_denied_the_grace_of_a_sigterm(samples):
    """(Milliseconds, MiB available) of a leak that takes 4 MiB at a time, or 8 after a pause, or of a burst."""
    filling = UNKNOWN
    for now_ms, mib in samples:
        short = reading(mib * MIB, total=821 * MIB)
        filling = advanced(filling, short, now_ms)
    floor = the("floor", short, filling=filling)
    assert (floor.fires, floor.signal) == (True, Signal.TERM)


def test_while_memory_fills_up_forecast_asks_for_another_reading_soon():
    filling = Filling(recent=((0, 5 * GIB), (1000, 4 * GIB)))
    assert forecast(reading(4 * GIB), filling).look_again_ms == 400
    assert forecast(reading(4 * GIB), Filling()).look_again_ms is None


def test_what_only_moves_to_swap_is_left_in_peace_for_half_a_minute_and_no_longer():
    reclaimed = Refaults(0, 0, 20 * MIB)
    stalls = Stalls(marked_ms=30_000, seconds=(Second(150), Second(150)), refaults=reclaimed, since_ms=1)
    short = reading(GIB, swap=(16 * GIB, 15 * GIB), pressure=psi(10))
    assert not the("stall", short, stalls).fires
    assert the("stall", short, stalls._replace(since_ms=0)).fires
    assert not the("stall", short._replace(available=4 * GIB), stalls._replace(since_ms=0)).fires
    assert not the("stall", short, stalls._replace(since_ms=-1)).fires
    own_limit = stalls._replace(since_ms=0, since_reclaimed=5 * MIB)
    assert not the("stall", short, own_limit).fires, (
        "a control group stalls at its own limit: the machine reclaims nothing"
    )
    assert the("stall", short, own_limit._replace(refaults=None)).fires, "nobody knows"


@pytest.mark.parametrize(
    ("full_ms", "fires"),
    [((110,) * 30, False), ((*[900] * 20, *[149] * 10), False), ((*[100] * 20, *[150] * 10), True)],
)
def test_in_the_last_ten_seconds_of_that_time_programs_stall_for_more_than_a_slow_swap_makes_them(full_ms, fires):
    seconds = tuple(Second(amount) for amount in full_ms)
    stalls = Stalls(marked_ms=30_000, seconds=seconds, refaults=Refaults(0, 0, 20 * MIB), since_ms=0)
    assert the("stall", reading(GIB, swap=(16 * GIB, 15 * GIB), pressure=psi(10)), stalls).fires is fires


def test_stall_needs_the_machines_own_reclaim_in_the_last_two_seconds_however_long_it_looks_back():
    back, nothing = Refaults(90 * MIB, 0, 100 * MIB), Refaults(0, 0)
    seconds = (*[Second(300, 300, back)] * 3, *[Second(300, 300, nothing)] * 2)
    stalls = Stalls(5000, refaults=back, seconds=seconds)
    assert not the("stall", reading(GIB), stalls, seconds=5).fires
    moving = stalls._replace(seconds=(*seconds[:4], Second(300, 300, nothing._replace(kswapd_steps=1))))
    assert the("stall", reading(GIB), moving, seconds=5).fires
