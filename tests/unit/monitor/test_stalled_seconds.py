"""Stalls in each of the last seconds, from a running total; never judged across a gap."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.conditions.stalled_seconds import Second, Stalls, advanced, machine_reclaims, refaulted_percent
from bustd_monitor.sensing.reading import Refaults, Unlimited
from tests.unit.monitor.making import psi, reading


def after(*steps: tuple[int, int], stalls: Stalls | None = None) -> Stalls:
    """`steps`: (milliseconds since boot, milliseconds of full stall since boot)."""
    stalls = Stalls() if stalls is None else stalls
    for now_ms, full_ms in steps:
        stalls = advanced(stalls, reading(pressure=psi(full_ms=full_ms)), now_ms)
    return stalls


def full_ms(stalls: Stalls) -> tuple[int, ...]:
    return tuple(second.full_ms for second in stalls.seconds)


def test_the_first_reading_is_only_a_mark():
    assert after((5000, 123)) == Stalls(5000, 123_000, 246_000)


def test_each_second_has_its_own_growth():
    assert full_ms(after((0, 0), (1000, 300), (2000, 1000), (3000, 1000))) == (300, 700, 0)


def test_growth_is_per_second_whether_the_reading_came_early_or_late():
    assert full_ms(after((0, 0), (800, 240))) == (300,)
    assert full_ms(after((0, 0), (1200, 360))) == (300,)


def test_readings_in_between_are_part_of_the_second_that_they_fall_into():
    steps = [(20 * count, 6 * count) for count in range(101)]
    assert full_ms(after(*steps)) == (300, 300)


def test_the_limits_of_a_second_are_800_and_1200_milliseconds():
    assert full_ms(after((0, 0), (799, 700))) == ()
    assert full_ms(after((0, 0), (800, 800))) == (1000,)
    assert full_ms(after((0, 0), (1200, 1200))) == (1000,)
    assert after((0, 0), (1201, 1201)) == Stalls(1201, 1_201_000, 2_402_000, since_ms=0, late=Second(1000, 2000))


def test_a_long_sleep_makes_everything_before_it_void():
    assert full_ms(after((0, 0), (1000, 900), (2000, 1800), (12_000, 9000))) == ()
    assert full_ms(after((0, 0), (1000, 900), (12_000, 9000), (13_000, 9100))) == (100,)


def test_a_clock_or_a_total_that_goes_backwards_is_no_stall():
    assert after((5000, 100), (4000, 900)) == Stalls(4000, 900_000, 1_800_000)
    assert full_ms(after((0, 500), (1000, 100))) == (0,)


def test_without_psi_nothing_is_known_and_nothing_is_kept():
    stalls = after((0, 0), (1000, 900))
    assert advanced(stalls, reading(pressure=None), 2000) == Stalls()


def test_no_more_seconds_are_kept_than_a_condition_can_ask_for():
    steps = [(1000 * count, 500 * count) for count in range(200)]
    stalls = after(*steps)
    assert full_ms(stalls) == (500,) * 60


def test_each_second_has_its_own_growth_of_some_too():
    assert [second.some_ms for second in after((0, 0), (1000, 100), (2000, 500)).seconds] == [200, 800]


def refaulting(*totals: Refaults | None) -> Stalls:
    """A reading a second with these running totals."""
    stalls = Stalls()
    for second, refaults in enumerate(totals):
        stalls = advanced(stalls, reading(pressure=psi(full_ms=second))._replace(refaults=refaults), second * 1000)
    return stalls


def test_what_was_refaulted_is_judged_by_its_growth_over_the_last_seconds():
    stalls = refaulting(
        Refaults(10, 10, 10), Refaults(1010, 10, 1010), Refaults(1020, 30, 1110), Refaults(1030, 50, 1210)
    )
    assert tuple(second.refaults for second in stalls.seconds) == (
        Refaults(1000, 0, 1000),
        Refaults(10, 20, 100),
        Refaults(10, 20, 100),
    )
    assert refaulted_percent(stalls.seconds[-2:]) == (30, 20)
    assert refaulted_percent(stalls.seconds) == (1060 * 100 // 1200, 40 * 100 // 1200)


def test_a_second_at_one_end_of_which_nothing_was_read_does_not_count():
    stalls = refaulting(None, Refaults(0, 0, 0), Refaults(40, 0, 100), None)
    assert tuple(second.refaults for second in stalls.seconds) == (None, Refaults(40, 0, 100), None)
    assert refaulted_percent(stalls.seconds[-2:]) == (40, 0)
    assert refaulted_percent(stalls.seconds[-1:]) is None
    assert refaulted_percent(()) is None


def test_what_comes_back_while_the_machine_reclaims_nothing_is_a_control_groups_own_affair():
    assert refaulted_percent(refaulting(Refaults(0, 0, 7), Refaults(900, 900, 7)).seconds) == (0, 0)


def test_totals_that_go_backwards_are_no_refaults():
    assert refaulting(Refaults(9, 9, 9), Refaults(1, 1, 1)).seconds[0].refaults == Refaults(0, 0, 0)


@given(
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 3000)), max_size=40),
    st.integers(1201, 10**7),
    st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 1200)), max_size=20),
)
@settings(deadline=None)
def test_nothing_from_before_a_gap_is_ever_judged(before, gap_ms, since):
    """What is known after a gap is what somebody knows who came up after it."""
    now_ms = full_ms = 0
    stalls = Stalls()
    for elapsed_ms, stalled_ms in before:
        now_ms, full_ms = now_ms + elapsed_ms, full_ms + stalled_ms
        stalls = after((now_ms, full_ms), stalls=stalls)
    last_mark_ms = max(stalls.marked_ms, now_ms)
    now_ms, newcomer = last_mark_ms + gap_ms, Stalls()
    for elapsed_ms, stalled_ms in [(0, 0), *since]:
        now_ms, full_ms = now_ms + elapsed_ms, full_ms + stalled_ms
        stalls = after((now_ms, full_ms), stalls=stalls)
        newcomer = after((now_ms, full_ms), stalls=newcomer)
        assert stalls._replace(since_ms=-1, late=None) == newcomer._replace(since_ms=-1, late=None)


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1)), max_size=60))
@settings(deadline=None)
def test_a_second_never_has_more_stall_than_it_has_milliseconds_and_never_less_than_none(steps):
    now_ms, stalled_ms, stalls = 0, 0.0, Stalls()
    for elapsed_ms, share in steps:
        now_ms, stalled_ms = now_ms + elapsed_ms, stalled_ms + elapsed_ms * share
        stalls = after((now_ms, int(stalled_ms)), stalls=stalls)
        assert all(0 <= amount <= 1002 for amount in full_ms(stalls)), "rounding aside"


# The time since the reading before, where it was too long for a second


def test_what_a_late_reading_tells_of_the_time_before_it_is_known_until_the_next_second():
    late = after((0, 0), (1000, 0), (4000, 1500))
    assert (late.seconds, late.window) == ((), (Second(500, 1000),))
    assert after((5000, 1700), stalls=late).window == (Second(200, 400),)
    assert after((9001, 6500), stalls=late).window == (), "more than five seconds: nobody knows"


# The stalls of programs that meet no limit of their own


def unlimited(now_ms: int, machine_ms: int, ours_ms: int, *, refaults: Refaults, limited: int = 0):
    """At this moment the machine has stalled for `machine_ms`, and the programs at no limit for `ours_ms`."""
    of = Unlimited(ours_ms * 2000, ours_ms * 1000, limited, 0)
    return reading(pressure=psi(full_ms=machine_ms))._replace(unlimited=of, refaults=refaults), now_ms


def test_where_the_stalls_of_programs_at_no_limit_are_known_they_alone_count_and_refaults_are_subtracted():
    stalls = Stalls()
    for one, now_ms in (
        unlimited(0, 0, 0, refaults=Refaults(0, 0, 0)),
        unlimited(1000, 990, 200, refaults=Refaults(900, 0, 100), limited=870),
    ):
        stalls = advanced(stalls, one, now_ms)
    assert stalls.seconds == (Second(200, 400, Refaults(30, 0, 100)),)
    assert refaulted_percent(stalls.seconds, has_limited=not stalls.is_of_unlimited) == (30, 0)


def test_totals_of_one_kind_are_never_compared_with_those_of_the_other():
    stalls = after((0, 0), (1000, 900))
    one, now_ms = unlimited(2000, 1800, 1700, refaults=Refaults(0, 0, 0))
    assert advanced(stalls, one, now_ms).window == ()


# The machine's own reclaim


@pytest.mark.parametrize(
    ("grown", "reclaims"),
    [
        (Refaults(9, 9, reclaimed=1), True),
        (Refaults(0, 0, kswapd_steps=1), True),
        (Refaults(0, 0, stalled_allocations=1), True),
        (Refaults(99, 99, reclaimed_by_allocations=99), False),
    ],
)
def test_the_machine_reclaims_if_kswapd_moves_or_an_allocation_of_the_machine_stalls(grown, reclaims):
    assert machine_reclaims(refaulting(Refaults(0, 0), grown).seconds) is reclaims
    assert machine_reclaims(()) is None


def test_reclaim_by_allocations_counts_only_while_an_allocation_of_the_machine_stalls():
    """Since Linux 7.1 it has the reclaim of control groups in it."""
    alone = refaulting(Refaults(0, 0), Refaults(50, 0, 100, 900)).seconds
    stalled = refaulting(Refaults(0, 0), Refaults(50, 0, 100, 900, 1)).seconds
    assert (refaulted_percent(alone), refaulted_percent(stalled)) == ((50, 0), (5, 0))


# Patience


def test_it_is_remembered_since_when_programs_barely_get_on():
    assert after((0, 0), (1000, 100)).since_ms == 0
    assert after((0, 0), (1000, 100), (2000, 900), (3000, 1000)).since_ms == 0
    assert after((0, 0), (1000, 99)).since_ms == -1


def test_one_second_of_rest_ends_it():
    assert after((0, 0), (1000, 500), (2000, 550), (3000, 1000)).since_ms == 2000


def test_a_reading_that_is_seconds_late_does_not_end_it_but_a_long_sleep_does():
    assert after((0, 0), (1000, 500), (6000, 1000)).since_ms == 0
    assert after((0, 0), (1000, 500), (6000, 999)).since_ms == -1
    assert after((0, 0), (1000, 500), (6001, 5000)).since_ms == -1


def test_patience_begins_with_the_shortage_and_remembers_what_was_reclaimed_until_then():
    stalls = Stalls()
    for now_ms in range(0, 5001, 1000):
        refaults = Refaults(0, 0, now_ms * 1000)
        one = reading(pressure=psi(full_ms=now_ms // 2))._replace(refaults=refaults)
        stalls = advanced(stalls, one, now_ms, is_short=now_ms >= 3000)
    assert (stalls.since_ms, stalls.since_reclaimed) == (2000, 3_000_000)


def test_what_comes_back_many_times_over_is_of_a_control_group_at_its_own_limit():
    def back(anonymous: int, file: int, reclaimed: int):
        return refaulted_percent((Second(400, 500, Refaults(anonymous, file, reclaimed)),))

    assert back(200, 199, 100) == (399, 199)
    assert back(200, 200, 100) == (0, 0)
    assert back(0, 0, 0) == (0, 0)
