"""How long the monitor sleeps: within its limits, and never longer than memory can last."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.config import Sleep
from bustd_monitor.deciding.pace import LONGEST_EASED_MS, SHORT_EASED_MS, Ease, is_quiet, sleep_ms
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, finding, psi

SLEEP = DEFAULTS.sleep
FILL = 6 * GIB
FILLS = st.integers(1, 2**40)

SLEEPS = st.builds(
    lambda shortest, watch, longest: Sleep(0, shortest, max(longest, shortest), max(watch, shortest)),
    st.integers(1, 10_000),
    st.integers(1, 600_000),
    st.integers(1, 600_000),
)
FINDINGS = st.lists(
    st.builds(
        lambda scarce, fires, headroom, psi: finding(
            is_scarce=scarce, fires=fires and scarce, headroom=headroom, needs_time=psi
        ),
        st.booleans(),
        st.booleans(),
        st.integers(0, 2**50),
        st.booleans(),
    ),
    max_size=3,
).map(tuple)


def quiet(headroom: float, *, needs_time: bool = False):
    return finding(is_scarce=False, fires=False, headroom=int(headroom), needs_time=needs_time)


@pytest.mark.parametrize(
    ("headroom", "expected_ms"),
    [
        (0, 20),
        (GIB // 10, 20),
        (0.6 * GIB, 100),
        (6 * GIB, 1000),
        (24 * GIB, 4000),
        (60 * GIB, 10_000),
        (2**60, 10_000),
    ],
)
def test_at_six_gibibytes_a_second_six_gibibytes_of_headroom_last_a_second(headroom, expected_ms):
    assert sleep_ms((quiet(headroom),), SLEEP, FILL) == pytest.approx(expected_ms, abs=1)


def test_the_nearest_threshold_counts():
    assert sleep_ms((quiet(24 * GIB), quiet(6 * GIB), quiet(12 * GIB)), SLEEP, FILL) == 1000


def test_without_any_condition_the_longest_sleep_is_slept():
    assert sleep_ms((), SLEEP, FILL) == 10_000


def test_a_condition_that_asks_for_a_reading_soon_gets_it():
    hurried = finding(is_scarce=False, fires=False, headroom=100 * GIB, needs_time=True, look_again_ms=400)
    assert sleep_ms((quiet(100 * GIB), hurried), SLEEP, FILL) == 400
    assert sleep_ms((quiet(3 * GIB // 5 + 1), hurried), SLEEP, FILL) == 100
    assert sleep_ms((hurried._replace(look_again_ms=1),), SLEEP, FILL) == SLEEP.shortest_ms


def test_a_condition_that_needs_time_does_not_hurry():
    assert sleep_ms((quiet(0, needs_time=True),), SLEEP, FILL) == SLEEP.watch_longest_ms
    assert sleep_ms((quiet(0, needs_time=False),), SLEEP, FILL) == SLEEP.shortest_ms
    assert sleep_ms((quiet(24 * GIB, needs_time=True),), SLEEP, FILL) == 4000


def test_while_anything_is_scarce_there_is_a_reading_a_second_at_least():
    scarce = finding(is_scarce=True, fires=False, needs_time=True)
    assert sleep_ms((quiet(100 * GIB), scarce), SLEEP, FILL) == SLEEP.watch_longest_ms
    assert sleep_ms((scarce,), SLEEP._replace(watch_longest_ms=10_000, longest_ms=500), FILL) == 500


@given(FINDINGS, SLEEPS, FILLS)
@settings(deadline=None)
def test_every_sleep_is_within_its_limits(findings, sleep, fill):
    wait_ms = sleep_ms(findings, sleep, fill)
    assert sleep.shortest_ms <= wait_ms <= max(sleep.longest_ms, sleep.shortest_ms)
    if any(one.is_scarce for one in findings):
        assert wait_ms <= max(sleep.watch_longest_ms, sleep.shortest_ms)


@given(FINDINGS, SLEEPS, FILLS, st.integers(0, 2), st.integers(0, 2**50))
@settings(deadline=None)
def test_more_headroom_never_makes_a_sleep_shorter(findings, sleep, fill, at, more):
    at %= max(len(findings), 1)
    wider = tuple(
        one._replace(headroom=one.headroom + more) if number == at else one for number, one in enumerate(findings)
    )
    assert sleep_ms(wider, sleep, fill) >= sleep_ms(findings, sleep, fill)


@given(FINDINGS, SLEEPS, FILLS)
@settings(deadline=None)
def test_no_condition_that_acts_without_psi_is_slept_past(findings, sleep, fill):
    """The fastest filling that is reckoned with does not get below a threshold during a sleep."""
    wait_ms = sleep_ms(findings, sleep, fill)
    filled = (wait_ms if wait_ms > sleep.shortest_ms else 0) * fill // 1000
    assert all(filled <= one.headroom for one in findings if not one.condition.needs_time)


@pytest.mark.parametrize(
    ("scarce", "fires", "pressure", "expected"),
    [
        (False, False, None, True),
        (False, False, psi(3.0), True),
        (True, False, None, False),
        (True, False, psi(0.01), False),
        (True, False, psi(0.0), True),
        (True, True, psi(0.0), False),
    ],
)
def test_it_is_quiet_where_nothing_is_scarce_and_near_a_threshold_while_nothing_stalls(
    scarce, fires, pressure, expected
):
    found = (quiet(GIB), finding(is_scarce=scarce, fires=fires))
    assert is_quiet(found, pressure) is expected


# Near a threshold where nothing moves


def eased_ms(amounts, wait_ms: int = 20) -> list[int]:
    """The sleeps after readings with so much available, each at the end of the sleep before."""
    ease, now_ms, waits_ms = Ease(), 0, []
    for left in amounts:
        waits_ms.append(ease.eased_ms(wait_ms, int(left), now_ms, FILL))
        now_ms += waits_ms[-1]
    return waits_ms


def test_a_machine_that_lives_just_above_a_threshold_wakes_up_five_times_a_second_at_most_after_a_moment():
    waits_ms = eased_ms(4 * GIB + (at % 2) * 10**6 for at in range(20))
    assert waits_ms[:5] == [20, 40, 80, 160, LONGEST_EASED_MS]
    assert set(waits_ms[5:]) == {LONGEST_EASED_MS}


def test_so_does_one_whose_heaps_are_collected_now_and_then():
    saw = (2 * GIB - (at % 20) * 4 * MIB for at in range(100))
    assert eased_ms(saw)[-1] == LONGEST_EASED_MS, "at sixteen mebibytes a second what is left lasts for minutes"


def test_a_small_machine_wakes_up_twenty_times_a_second():
    assert eased_ms([90 * MIB] * 9) == [20, 40, *[SHORT_EASED_MS] * 7]


def test_as_soon_as_memory_is_taken_fast_the_pace_is_the_ordinary_one():
    still = [4 * GIB] * 9
    assert eased_ms([*still, 4 * GIB - GIB / 2])[-1] == 1750 // 16, "2 GiB a second would take all in 1.75 s"
    assert eased_ms([*still, 4 * GIB - GIB, 2 * GIB])[-1] == 20
    assert eased_ms([*still, 5 * GIB])[-1] == LONGEST_EASED_MS, "more than before is no danger"


@given(st.integers(1, 10_000), st.lists(st.integers(0, 2**40), min_size=1, max_size=30))
def test_no_sleep_is_eased_beyond_the_time_in_which_all_could_be_taken_or_a_decision_takes(wait_ms, amounts):
    for available, eased in zip(amounts, eased_ms(amounts, wait_ms), strict=True):
        gone_ms = available * 1000 // FILL
        assert eased == wait_ms or wait_ms < eased <= min(max(gone_ms, SHORT_EASED_MS), LONGEST_EASED_MS)


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=30))
def test_at_the_rate_that_was_seen_memory_lasts_for_sixteen_eased_sleeps(amounts):
    waits_ms = eased_ms(amounts)
    for at in range(1, len(amounts)):
        lost = amounts[at - 1] - amounts[at]
        if waits_ms[at] > 20 and lost > 0:
            assert lost * 16 * waits_ms[at] <= amounts[at] * waits_ms[at - 1]
