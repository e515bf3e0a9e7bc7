"""How fast memory fills: neither one odd reading nor one step is taken for a rate, and what goes on is seen soon."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.conditions.filling import (
    UNKNOWN,
    Filling,
    Rate,
    advanced,
    exhaustion_ms,
    foreseen_ms,
    is_emptying,
    look_again_ms,
    rate,
)
from tests.unit.monitor.making import GIB, MIB, reading


def after(*samples: tuple[int, float], filling: Filling = UNKNOWN) -> Filling:
    """`samples`: (milliseconds, bytes available)."""
    for now_ms, left in samples:
        filling = advanced(filling, reading(left, total=64 * GIB), now_ms)
    return filling


def steady(seconds: float, *, every_ms: int = 100, per_second: float = GIB, start: float = 40 * GIB) -> list:
    """The samples of a program that takes so much a second."""
    return [(ms, start - per_second * ms / 1000) for ms in range(0, int(seconds * 1000) + 1, every_ms)]


def test_what_is_left_is_available_memory_and_free_swap():
    assert reading(2 * GIB, swap=(8 * GIB, 3 * GIB)).room_bytes == 5 * GIB
    assert advanced(UNKNOWN, reading(2 * GIB, swap=(8 * GIB, 3 * GIB)), 7).latest == (7, 5 * GIB)


@pytest.mark.parametrize("every_ms", [20, 100])
def test_it_empties_where_the_last_reading_has_more_left_than_the_sample_before(every_ms):
    assert not is_emptying(UNKNOWN)
    assert not is_emptying(after((0, GIB)))
    filling = after(*steady(1))
    assert not is_emptying(filling)
    assert is_emptying(after((1000 + every_ms, 39 * GIB + MIB), filling=filling))
    assert not is_emptying(after((1000 + every_ms, 39 * GIB), filling=filling))


@pytest.mark.parametrize("every_ms", [20, 100, 130, 200, 400])
def test_a_program_that_takes_a_gibibyte_a_second_is_seen_to(every_ms):
    filling = after(*steady(3, every_ms=every_ms))
    assert rate(filling).per_second == pytest.approx(GIB, rel=0.01)
    left = reading(10 * GIB)
    assert exhaustion_ms(filling, left) == pytest.approx(10_000, rel=0.01)


def test_four_readings_within_a_third_of_a_second_are_enough_for_a_first_word():
    assert rate(after(*steady(0.2))) == Rate(0, 0)
    assert rate(after(*steady(0.3, per_second=1000 * MIB))) == Rate(1000 * MIB, 300)
    assert exhaustion_ms(after(*steady(0.2)), reading(GIB)) is None


@pytest.mark.parametrize("odd", [-30 * GIB, 30 * GIB])
@pytest.mark.parametrize("at", range(21))
def test_one_odd_reading_does_not_move_the_rate_of_two_seconds(at, odd):
    samples = steady(2)
    samples[at] = (samples[at][0], samples[at][1] + odd)
    assert after(*samples).long.per_second == pytest.approx(GIB, rel=0.05)


@pytest.mark.parametrize("at", range(1, 21))
def test_one_step_however_large_is_no_rate(at):
    samples = [(ms, 40 * GIB if ms < at * 100 else 4 * GIB) for ms in range(0, 2001, 100)]
    for count in range(1, 22):
        filling = after(*samples[:count])
        assert (filling.short.per_second, filling.long.per_second) == (0, 0)


def test_a_burst_that_has_stopped_is_soon_forgotten():
    burst = steady(1, per_second=8 * GIB)
    assert foreseen_ms(after(*burst), reading(GIB)) == 125
    quiet = [(1000 + ms, burst[-1][1]) for ms in range(100, 400, 100)]
    assert foreseen_ms(after(*burst, *quiet), reading(GIB)) is None


def test_a_machine_at_rest_or_one_that_gets_memory_back_is_not_filling_up():
    for per_second in (0, -GIB):
        filling = after(*steady(3, per_second=per_second, start=20 * GIB))
        assert rate(filling).per_second == 0
        assert (exhaustion_ms(filling, reading(GIB)), foreseen_ms(filling, reading(GIB))) == (None, None)


def test_after_a_death_that_gave_memory_back_nothing_is_foreseen():
    before = steady(2)
    filling = after(*before, (2100, 50 * GIB), (2200, 50 * GIB), (2300, 50 * GIB))
    assert foreseen_ms(filling, reading(GIB)) is None


def test_nothing_is_foreseen_for_longer_than_the_rate_was_seen():
    half_a_second = after(*steady(0.5, per_second=1000 * MIB))
    assert foreseen_ms(half_a_second, reading(500 * MIB)) == 500
    assert foreseen_ms(half_a_second, reading(502 * MIB)) is None
    assert exhaustion_ms(half_a_second, reading(1000 * MIB)) == 1000


def test_a_rate_that_held_for_two_seconds_is_trusted_for_any_time():
    assert foreseen_ms(after(*steady(1.7, per_second=1000 * MIB)), reading(9000 * MIB)) is None
    assert foreseen_ms(after(*steady(1.8, per_second=1000 * MIB)), reading(9000 * MIB)) == 9000


def test_with_readings_too_rare_for_half_a_second_those_of_two_must_do():
    filling = after(*steady(2, every_ms=400, per_second=1000 * MIB))
    assert filling.short == Rate(0, 0)
    assert foreseen_ms(filling, reading(1500 * MIB)) == 1500


def test_it_is_seen_within_half_a_second_when_a_quiet_machine_begins_to_fill_up():
    quiet = [(ms, 40 * GIB) for ms in range(0, 10_001, 1000)]
    begun = [(10_500 + ms, 40 * GIB - 3 * GIB * ms / 1000) for ms in range(100, 501, 100)]
    assert rate(after(*quiet, *begun)).per_second == pytest.approx(3 * GIB, rel=0.01)
    assert foreseen_ms(after(*quiet, *begun), reading(GIB)) == pytest.approx(333, abs=1)


def test_where_readings_are_a_second_apart_there_is_no_rate_but_the_wish_for_more():
    filling = after(*steady(5, every_ms=1000, per_second=8 * GIB, start=64 * GIB))
    assert rate(filling) == Rate(0, 0)
    assert look_again_ms(filling) == 24 * GIB * 1000 // (8 * GIB) // 10


def test_the_wish_for_another_reading_is_the_stronger_the_nearer_the_end_is():
    assert look_again_ms(after((0, 20 * GIB), (100, 19 * GIB))) == 190
    assert look_again_ms(after((0, 20 * GIB), (100, 10 * GIB))) == 100
    assert look_again_ms(after((0, 20 * GIB), (100, 20 * GIB))) is None
    assert look_again_ms(after((0, 20 * GIB), (100, 21 * GIB))) is None
    assert look_again_ms(after((0, 20 * GIB))) is None
    assert look_again_ms(UNKNOWN) is None


def test_while_only_sysinfo_was_read_nothing_is_remembered():
    filling = after(*steady(2))
    assert advanced(filling, reading()._replace(is_whole=False), 2100) == UNKNOWN


def test_a_clock_that_goes_backwards_begins_anew():
    assert after(*steady(2), (500, GIB)) == Filling((500, GIB), ((500, GIB),))


ANY_SAMPLES = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 2**40)), max_size=150)


@given(ANY_SAMPLES)
@settings(deadline=None)
def test_whatever_comes_little_is_remembered_in_order_and_nothing_from_before_the_window(steps):
    now_ms, filling = 0, UNKNOWN
    for elapsed_ms, left in steps:
        now_ms += elapsed_ms
        filling = advanced(filling, reading(left, total=2**40), now_ms)
        times = [at_ms for at_ms, _ in filling.recent]
        assert times == sorted(set(times))
        assert len(times) <= 21
        assert times[0] >= now_ms - 2100
        assert filling.short.per_second >= 0 <= filling.long.per_second


@given(ANY_SAMPLES, st.integers(0, 2**40))
@settings(deadline=None)
def test_nothing_is_foreseen_that_does_not_follow_from_a_rate(steps, left):
    now_ms, filling = 0, UNKNOWN
    for elapsed_ms, amount in steps:
        now_ms += elapsed_ms
        filling = advanced(filling, reading(amount, total=2**40), now_ms)
    foreseen = foreseen_ms(filling, reading(left, total=2**40))
    if foreseen is not None:
        assert max(filling.short.per_second, filling.long.per_second) > 0
        assert foreseen >= 0
