"""The rate limit: some kills at once, then one in each interval, and never more than a set number in a minute."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_killer.rate import Rate, after_kill, rate_wait_ms
from tests.unit.killer.making import config

DEFAULT = {"burst": 3, "interval_ms": 500, "per_minute": 60}


def waiting_ms(done, now_ms, limits) -> int:
    """How long a monitor must wait that got these kills and asks now."""
    rate = Rate()
    for moment in done:
        rate = after_kill(rate, moment, limits)
    return rate_wait_ms(rate, now_ms, limits)


def kills(moments_ms: list[int], limits: dict[str, int]) -> list[int]:
    """When a monitor that asks at these moments gets its kills."""
    done: list[int] = []
    for now_ms in moments_ms:
        if waiting_ms(done, now_ms, config(**limits)) == 0:
            done.append(now_ms)
    return done


@st.composite
def asking(draw):
    """Limits of any size, and a monitor that asks again and again, at once or after a while."""
    burst = draw(st.integers(1, 5))
    limits = {
        "burst": burst,
        "interval_ms": draw(st.sampled_from([0, 1, 10, 500, 5000, 60_000, 600_000])),
        "per_minute": draw(st.integers(burst, 12)),
    }
    gaps = draw(
        st.lists(
            st.sampled_from([0, 0, 0, 1, 7, 499, 500, 501, 4000, 20_000, 60_000, 600_000]), min_size=10, max_size=60
        )
    )
    now_ms, moments_ms = draw(st.integers(0, 10**9)), []
    for gap_ms in gaps:
        now_ms += gap_ms
        moments_ms.append(now_ms)
    return moments_ms, limits


@given(asking())
@settings(deadline=None, max_examples=150)
def test_no_minute_sees_more_than_per_minute(case):
    done = kills(*case)
    for at, first in enumerate(done):
        within = [moment for moment in done[at:] if moment < first + 60_000]
        assert len(within) <= case[1]["per_minute"]


@given(asking())
@settings(deadline=None, max_examples=150)
def test_no_more_than_burst_come_at_once_and_then_one_in_each_interval(case):
    done, (burst, interval_ms) = kills(*case), (case[1]["burst"], case[1]["interval_ms"])
    for at, first in enumerate(done):
        for count, last in enumerate(done[at:], 1):
            assert interval_ms == 0 or count <= burst + (last - first) // interval_ms


@given(asking(), st.integers(0, 2000))
@settings(deadline=None, max_examples=150)
def test_a_monitor_that_waits_as_long_as_it_is_told_gets_its_kill_and_not_a_millisecond_before(case, later_ms):
    done = tuple(kills(*case))
    now_ms = (done[-1] if done else 0) + later_ms
    wait_ms = waiting_ms(done, now_ms, config(**case[1]))
    assert wait_ms >= 0
    assert waiting_ms(done, now_ms + wait_ms, config(**case[1])) == 0
    if wait_ms:
        assert waiting_ms(done, now_ms + wait_ms - 1, config(**case[1])) == 1


@given(asking())
@settings(deadline=None)
def test_after_a_long_pause_there_is_room_for_the_whole_burst_again(case):
    done, limits = kills(*case), case[1]
    rested_ms = (done[-1] if done else 0) + max(60_000, limits["burst"] * limits["interval_ms"])
    for _ in range(limits["burst"]):
        assert waiting_ms(done, rested_ms, config(**limits)) == 0
        done.append(rested_ms)


def test_by_default_three_at_once_and_the_fourth_after_half_a_second():
    assert kills([0, 0, 0, 0, 499, 500, 500, 999, 1000], DEFAULT) == [0, 0, 0, 500, 1000]
    assert waiting_ms((100, 100, 100), 100, config(**DEFAULT)) == 500


def test_half_a_burst_comes_back_in_half_the_time():
    assert kills([0, 0, 0, 1000, 1000, 1000], DEFAULT) == [0, 0, 0, 1000, 1000]


def test_by_default_the_61st_kill_of_a_minute_waits_until_the_minute_is_over():
    done = kills(list(range(0, 60_000, 100)), DEFAULT)
    assert len(done) == 60
    assert waiting_ms(done, 59_999, config(**DEFAULT)) == 1
    assert waiting_ms(done, 60_000, config(**DEFAULT)) == 0


@pytest.mark.parametrize("now_ms", [0, 1, 10**12])
def test_the_first_kill_never_waits_however_long_the_machine_has_been_up(now_ms):
    assert waiting_ms((), now_ms, config(**DEFAULT)) == 0
