"""Never more than a few notifications a minute."""

from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.cli.notifying.pace import (
    KEPT_FOR_DEATHS,
    MINUTE_MS,
    MOST_A_MINUTE,
    Pace,
    may_show,
    next_ms,
    shown,
)


@given(st.lists(st.tuples(st.integers(0, 20_000), st.booleans()), max_size=100))
def test_whatever_comes_a_minute_has_few_notifications_and_fewer_warnings(steps):
    pace, now_ms, at = Pace(), 0, []
    for wait_ms, is_warning in steps:
        now_ms += wait_ms
        if may_show(pace, now_ms, is_warning=is_warning):
            pace = shown(pace, now_ms)
            at.append(now_ms)
        assert sum(now_ms - one < MINUTE_MS for one in at) <= MOST_A_MINUTE


def test_warnings_leave_room_for_deaths():
    pace = Pace()
    for _ in range(MOST_A_MINUTE - KEPT_FOR_DEATHS):
        assert may_show(pace, 0, is_warning=True)
        pace = shown(pace, 0)
    assert not may_show(pace, 0, is_warning=True)
    assert may_show(pace, 0, is_warning=False)


def test_there_is_room_again_when_the_oldest_is_a_minute_old():
    pace = Pace()
    for at in range(MOST_A_MINUTE):
        pace = shown(pace, at)
    assert not may_show(pace, 10, is_warning=False)
    assert next_ms(pace, 10) == MINUTE_MS
    assert not may_show(pace, MINUTE_MS - 1, is_warning=False)
    assert may_show(pace, MINUTE_MS, is_warning=False)
    assert next_ms(Pace(), 10) == 10 + MINUTE_MS
