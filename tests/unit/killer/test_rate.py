"""The rate limit: some kills at once, then one in each interval, and never more than a set number in a minute."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_killer.rate import Bucket, Rate
from tests.unit.killer.making import policy

LONG_AGO_MS = -(10**7)
DEFAULT = {"burst": 3, "interval_ms": 500, "per_minute": 60}


def waiting_ms(done, now_ms, limits) -> int:
    """How long a monitor must wait that got these kills and asks now."""
    rate = Rate(LONG_AGO_MS, limits)
    for moment in done:
        rate.count(moment, 1)
    return rate.wait_ms(now_ms)


def kills(moments_ms: list[int], limits: dict[str, int]) -> list[int]:
    """When a monitor that asks at these moments gets its kills."""
    done: list[int] = []
    for now_ms in moments_ms:
        if waiting_ms(done, now_ms, policy(**limits)) == 0:
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
    wait_ms = waiting_ms(done, now_ms, policy(**case[1]))
    assert wait_ms >= 0
    assert waiting_ms(done, now_ms + wait_ms, policy(**case[1])) == 0
    if wait_ms:
        assert waiting_ms(done, now_ms + wait_ms - 1, policy(**case[1])) == 1


@given(asking())
@settings(deadline=None)
def test_after_a_long_pause_there_is_room_for_the_whole_burst_again(case):
    done, limits = kills(*case), case[1]
    rested_ms = (done[-1] if done else 0) + max(60_000, limits["burst"] * limits["interval_ms"])
    for _ in range(limits["burst"]):
        assert waiting_ms(done, rested_ms, policy(**limits)) == 0
        done.append(rested_ms)


def test_by_default_three_at_once_and_the_fourth_after_half_a_second():
    assert kills([0, 0, 0, 0, 499, 500, 500, 999, 1000], DEFAULT) == [0, 0, 0, 500, 1000]
    assert waiting_ms((100, 100, 100), 100, policy(**DEFAULT)) == 500


def test_half_a_burst_comes_back_in_half_the_time():
    assert kills([0, 0, 0, 1000, 1000, 1000], DEFAULT) == [0, 0, 0, 1000, 1000]


def test_by_default_the_61st_kill_of_a_minute_waits_until_the_minute_is_over():
    done = kills(list(range(0, 60_000, 100)), DEFAULT)
    assert len(done) == 60
    assert waiting_ms(done, 59_999, policy(**DEFAULT)) == 1
    assert waiting_ms(done, 60_000, policy(**DEFAULT)) == 0


@pytest.mark.parametrize("now_ms", [0, 1, 10**12])
def test_a_killer_that_has_rested_lets_the_first_kill_come_at_once(now_ms):
    assert waiting_ms((), now_ms, policy(**DEFAULT)) == 0


# After a start


def from_the_start(moments_ms: list[int], **changed: int) -> list[int]:
    """When a monitor that asks at these moments gets its kills of a killer that was started at 0."""
    limits, done = policy(**DEFAULT | changed), []
    rate = Rate(0, limits)
    for now_ms in moments_ms:
        if rate.wait_ms(now_ms) == 0:
            done.append(now_ms)
            rate.count(now_ms, 1)
    return done


def test_the_burst_is_empty_at_the_start_and_fills_in_the_course_of_time():
    assert from_the_start([0, 499, 500, 500, 1000]) == [500, 1000]
    assert from_the_start([1500, 1500, 1500, 1500]) == [1500, 1500, 1500]


def test_half_of_the_first_minutes_kills_are_used_already():
    done = from_the_start(list(range(0, 120_000, 100)))
    assert len([moment for moment in done if moment < 60_000]) == 30
    assert len([moment for moment in done if 60_000 <= moment < 120_000]) == 60


def test_starting_again_and_again_gives_less_than_not_to():
    """A killer that is made to end gives a kill only after an interval, and half a minute's in a minute."""
    per_start = len(from_the_start(list(range(0, 1000, 10))))
    assert per_start == 1
    assert from_the_start([0], interval_ms=0) == [0], "root may do without an interval"
    assert from_the_start([0] * 60, interval_ms=0, per_minute=3) == [0] * 2


def test_processes_count_for_a_minute_with_those_of_continuations():
    rate, alike = Rate(0, policy()), Rate(0, policy())
    rate.count(1000, 300)
    alike.count(1000, 300)
    rate.count(2000, 20, kills=0)
    assert [rate.signalled_in_a_minute(now_ms) for now_ms in (2000, 60_999, 61_000, 62_000)] == [320, 320, 20, 0]
    assert [rate.wait_ms(now_ms) for now_ms in range(0, 70_000, 100)] == [
        alike.wait_ms(now_ms) for now_ms in range(0, 70_000, 100)
    ], "a continuation is no kill"


def test_what_is_older_than_a_minute_is_forgotten():
    """Or what the killer remembers would grow for ever."""
    rate = Rate(0, policy())
    for now_ms in range(0, 10**6, 500):
        rate.count(now_ms, 1)
    assert len(rate._counted) == 120


# Buckets


def test_a_bucket_gives_what_it_has_and_then_what_comes_back():
    bucket = Bucket(50, 50, 0)
    assert [bucket.take(0) for _ in range(51)] == [True] * 50 + [False]
    assert (bucket.wait_ms(0), bucket.wait_ms(0, 2)) == (20, 40)
    assert not bucket.take(19)
    assert bucket.take(20)
    assert not bucket.take(20)


def test_a_bucket_never_has_more_than_it_holds_and_what_it_lacks_takes_nothing():
    bucket = Bucket(10, 5, 0)
    assert bucket.wait_ms(10**9, 10) == 0
    assert not bucket.take(10**9, 11)
    assert bucket.take(10**9, 10)
    assert bucket.wait_ms(10**9, 1) == 200


def test_a_clock_that_stands_still_gives_nothing_back():
    bucket = Bucket(1, 1000, 5)
    assert bucket.take(5)
    assert not bucket.take(5)
    assert not bucket.take(4)
    assert bucket.take(6)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 40)), max_size=60))
def test_in_no_time_does_a_bucket_give_more_than_its_content_and_what_comes_back(steps):
    bucket, now_ms, given_away = Bucket(40, 100, 0), 0, []
    for gap_ms, count in steps:
        now_ms += gap_ms
        wait_ms = bucket.wait_ms(now_ms, count)
        assert bucket.take(now_ms, count) is (wait_ms == 0)
        if wait_ms == 0:
            given_away.append((now_ms, count))
    for at, (first_ms, _) in enumerate(given_away):
        total = 0
        for last_ms, count in given_away[at:]:
            total += count
            assert total <= 40 + (last_ms - first_ms) / 10
