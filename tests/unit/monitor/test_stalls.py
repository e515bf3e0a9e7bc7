"""Stalls in each of the last seconds, from a running total; never judged across a gap."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.deciding.stalls import Stalls, advanced
from tests.unit.monitor.making import psi, reading


def after(*steps: tuple[int, int], stalls: Stalls | None = None) -> Stalls:
    """`steps`: (milliseconds since boot, milliseconds of full stall since boot)."""
    stalls = Stalls() if stalls is None else stalls
    for now_ms, full_ms in steps:
        stalls = advanced(stalls, reading(pressure=psi(full_ms=full_ms)), now_ms)
    return stalls


def test_the_first_reading_is_only_a_mark():
    assert after((5000, 123)) == Stalls(5000, 123_000, ())


def test_each_second_has_its_own_growth():
    assert after((0, 0), (1000, 300), (2000, 1000), (3000, 1000)).full_ms == (300, 700, 0)


def test_growth_is_per_second_whether_the_reading_came_early_or_late():
    assert after((0, 0), (800, 240)).full_ms == (300,)
    assert after((0, 0), (1200, 360)).full_ms == (300,)


def test_readings_in_between_are_part_of_the_second_that_they_fall_into():
    steps = [(20 * count, 6 * count) for count in range(101)]
    assert after(*steps).full_ms == (300, 300)


def test_the_limits_of_a_second_are_800_and_1200_milliseconds():
    assert after((0, 0), (799, 700)).full_ms == ()
    assert after((0, 0), (800, 800)).full_ms == (1000,)
    assert after((0, 0), (1200, 1200)).full_ms == (1000,)
    assert after((0, 0), (1201, 1201)) == Stalls(1201, 1_201_000, ())


def test_a_long_sleep_makes_everything_before_it_void():
    assert after((0, 0), (1000, 900), (2000, 1800), (12_000, 9000)).full_ms == ()
    assert after((0, 0), (1000, 900), (12_000, 9000), (13_000, 9100)).full_ms == (100,)


def test_a_clock_or_a_total_that_goes_backwards_is_no_stall():
    assert after((5000, 100), (4000, 900)) == Stalls(4000, 900_000, ())
    assert after((0, 500), (1000, 100)).full_ms == (0,)


def test_without_psi_nothing_is_known_and_nothing_is_kept():
    stalls = after((0, 0), (1000, 900))
    assert advanced(stalls, reading(pressure=None), 2000) == Stalls()


def test_no_more_seconds_are_kept_than_a_condition_can_ask_for():
    steps = [(1000 * count, 500 * count) for count in range(200)]
    assert after(*steps).full_ms == (500,) * 60


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
        assert stalls == newcomer


@given(st.lists(st.tuples(st.integers(0, 2000), st.floats(0, 1)), max_size=60))
@settings(deadline=None)
def test_a_second_never_has_more_stall_than_it_has_milliseconds_and_never_less_than_none(steps):
    now_ms, full_ms, stalls = 0, 0.0, Stalls()
    for elapsed_ms, share in steps:
        now_ms, full_ms = now_ms + elapsed_ms, full_ms + elapsed_ms * share
        stalls = after((now_ms, int(full_ms)), stalls=stalls)
        assert all(0 <= amount <= 1002 for amount in stalls.full_ms), "rounding aside"
