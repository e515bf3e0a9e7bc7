"""How fast memory can fill: it is measured without harm, when nothing is short, and too high rather than too low."""

import itertools
import mmap
import resource
import time
from pathlib import Path

import pytest

from bustd_monitor.sensing import fill_rate
from bustd_monitor.sensing.fill_rate import AGAIN_MS, LEAST, MOST, MOST_WITH_TRIGGERS, FillRate, measured
from tests.unit.monitor import test_calm, test_loop
from tests.unit.monitor.calm_machine import FRESH
from tests.unit.monitor.making import GIB, MIB, psi

calm, scene = test_calm.calm, test_loop.scene


# --- one measurement


def clock_with(*spans_ns: int):
    """Each of these times goes by between two looks, the first of them odd."""
    return iter(itertools.chain.from_iterable((0, span_ns) for span_ns in spans_ns)).__next__


@pytest.mark.parametrize(("processors", "times"), [(1, 2), (2, 4), (4, 8), (5, 8), (256, 8), (None, 8)])
def test_the_best_of_three_doubled_times_up_to_four_processors(processors, times):
    clock_ns = clock_with(4_000_000, 1_000_000, 2_000_000)
    assert measured(clock_ns, lambda: processors) == times * 2000 * MIB


def test_every_page_is_taken_by_a_fault_of_its_own():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    measured()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before >= 3 * 2 * MIB // mmap.PAGESIZE


def test_huge_pages_are_declined_before_the_first_touch(monkeypatch):
    declined = []

    class Noting(mmap.mmap):
        def madvise(self, option: int) -> None:
            declined.append(option)

    monkeypatch.setattr(fill_rate.mmap, "mmap", Noting)
    assert measured() > 0
    assert declined == [mmap.MADV_NOHUGEPAGE] * 3


def test_the_memory_is_given_back():
    measured()
    before = mapped()
    for _ in range(20):
        measured()
    assert mapped() - before < 2 * MIB


def mapped() -> int:
    """Bytes of address space, and all that is resident is part of them."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE


def test_by_default_only_the_time_counts_in_which_this_thread_had_a_processor():
    """At boot others have it, and a quota takes it away: what is measured then by the clock on the wall is too low."""
    assert measured.__defaults__[0] is time.thread_time_ns
    assert measured() > 0


def test_a_clock_too_coarse_to_see_it_gives_a_high_rate():
    rate = FillRate(lambda: measured(lambda: 0, lambda: 1))
    rate.measure_when_due(0, 0, has_triggers=False)
    assert rate.per_second(0, has_triggers=False) == MOST


def test_a_kernel_without_huge_pages_is_measured_all_the_same(monkeypatch):
    class Plain(mmap.mmap):
        def madvise(self, *_: int) -> None:
            raise OSError(22, "Invalid argument")

    monkeypatch.setattr(fill_rate.mmap, "mmap", Plain)
    assert measured() > 0


def test_where_the_kernel_gives_no_memory_the_highest_rate_is_reckoned_with(monkeypatch):
    def refuses(*_: object, **__: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(fill_rate.mmap, "mmap", refuses)
    rate = FillRate()
    rate.measure_when_due(0, 0, has_triggers=True)
    assert rate.per_second(0, has_triggers=True) == MOST_WITH_TRIGGERS


# --- the rate that is reckoned with


def rate_of(*figures: float) -> tuple[FillRate, list[float]]:
    """What is measured one time after another, and what of it is left."""
    left = [int(figure) for figure in figures]
    return FillRate(lambda: left.pop(0)), left


@pytest.mark.parametrize(
    ("figure", "with_triggers", "without"),
    [
        (GIB // 3, LEAST, LEAST),
        (3 * GIB, 3 * GIB, 3 * GIB),
        (9 * GIB, MOST_WITH_TRIGGERS, 9 * GIB),
        (99 * GIB, MOST_WITH_TRIGGERS, MOST),
    ],
)
def test_it_has_limits_and_where_no_trigger_wakes_the_monitor_the_upper_one_is_higher(figure, with_triggers, without):
    rate, _ = rate_of(figure)
    assert rate.measure_when_due(0, 0, has_triggers=True)
    assert rate.per_second(0, has_triggers=True) == with_triggers
    assert rate.per_second(0, has_triggers=False) == without


def test_before_the_first_measurement_it_is_the_highest():
    rate, _ = rate_of()
    assert rate.per_second(0, has_triggers=True) == MOST_WITH_TRIGGERS
    assert rate.per_second(0, has_triggers=False) == MOST


def test_what_the_administrator_says_holds_beyond_the_limits_and_nothing_is_measured():
    rate, _ = rate_of()
    assert not rate.measure_when_due(0, 11, has_triggers=True)
    assert rate.per_second(11, has_triggers=True) == 11 * MIB
    assert rate.per_second(2**20, has_triggers=False) == 2**40


def test_it_is_measured_again_after_an_hour_and_a_measurement_may_raise_it_but_never_lower_it():
    rate, left = rate_of(2 * GIB, GIB, 5 * GIB, GIB)
    in_force = []
    for now_ms in (0, 1, AGAIN_MS - 1, AGAIN_MS, 2 * AGAIN_MS - 1, 2 * AGAIN_MS, 3 * AGAIN_MS):
        rate.measure_when_due(now_ms, 0, has_triggers=True)
        in_force.append((rate.per_second(0, has_triggers=True) // GIB, len(left)))
    assert in_force == [(2, 3), (2, 3), (2, 3), (2, 2), (2, 2), (5, 1), (5, 0)]


def test_it_is_not_measured_again_where_it_can_only_stay_the_highest():
    rate, _ = rate_of(7 * GIB, 8 * GIB)
    assert rate.measure_when_due(0, 0, has_triggers=True)
    assert not rate.measure_when_due(9 * AGAIN_MS, 0, has_triggers=True)
    assert rate.measure_when_due(9 * AGAIN_MS, 0, has_triggers=False), "the last trigger has stopped working"


# --- when the loop measures


def measuring(it, *figures: float) -> list[float]:
    """This scene measures these from now on; what is left of them."""
    it.loop._fill_rate, left = rate_of(*figures)
    return left


def test_the_sleeps_of_a_calm_machine_are_those_of_the_rate_that_was_measured(calm):
    it = calm(FRESH)
    it.idles(60)
    at_six_ms = it.sleeps[-1]
    measuring(it, 3 * GIB)
    it.loop._calm.end()
    it.idles(60)
    assert it.sleeps[-1] == pytest.approx(2 * at_six_ms, abs=1)


def test_a_machine_in_calm_measures_once_an_hour(calm):
    it = calm(FRESH)
    left = measuring(it, *[2 * GIB] * 9)
    it.loop._calm.end()
    it.idles(30)
    assert len(left) == 8
    it.idles(2 * 3600 + 120)
    assert len(left) == 6


def test_what_is_measured_is_said_if_verbose_is_set(calm):
    it = calm(FRESH, verbose=True)
    measuring(it, 3 * GIB)
    it.idles(30)
    told = [line for line in it.said if "adaptive-sleep" not in line]
    assert told == ["programs fill memory by 3072 MiB a second at most (measured)"]


def test_nothing_is_measured_where_the_administrator_says_it(calm):
    it = calm(FRESH, sleep={"fill_mib_per_second": 6144})
    measuring(it)
    it.idles(30)
    assert it.loop._fill_per_second() == 6 * GIB


LOW = test_loop.SHORT._replace(available=int(0.11 * test_loop.SHORT.total), free=int(0.11 * test_loop.SHORT.total))
"""`stall` is scarce all the time, and nothing fires."""


@pytest.mark.parametrize(
    ("reading", "is_measured"),
    [
        (LOW._replace(pressure=psi(0)), True),
        (LOW._replace(pressure=psi(0.01)), False),
        (LOW._replace(pressure=None), False),
        (test_loop.SHORT._replace(pressure=psi(0)), False),
    ],
    ids=["stands still", "something stalled", "nobody knows", "fires"],
)
def test_a_machine_that_lives_near_a_threshold_is_measured_while_nothing_stalls(scene, reading, is_measured):
    it = scene()
    it.greet()
    left = measuring(it, 3 * GIB)
    it.reading = reading
    it.turns()
    assert len(left) == (0 if is_measured else 1)


def test_nothing_is_measured_while_a_kill_is_in_flight(scene):
    it = scene()
    it.greet(flight=(77, 101, 90125, 15))
    left = measuring(it, 3 * GIB)
    it.turns(3)
    assert left


def test_nothing_is_measured_while_memory_can_not_be_read(scene):
    it = scene()
    it.greet()
    left = measuring(it, 3 * GIB)
    it.reading = None
    it.turns()
    assert left
