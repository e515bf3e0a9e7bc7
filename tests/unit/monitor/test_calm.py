"""Calm costs next to nothing and misses nothing: quick looks, a whole turn a minute, and what ends them before that."""

import itertools
from types import SimpleNamespace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bustd_monitor.calm import Calm
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from bustd_monitor.deciding.pace import sleep_ms
from bustd_monitor.sensing.cgroup_sensor import GroupSensor
from bustd_monitor.sensing.reading import Reading
from bustd_protocol.messages import KillRequest
from tests.support.signals import handlers_restored
from tests.unit.monitor.calm_machine import FRESH, FULL_CACHE, RAM_GIB, CalmScene, Machine
from tests.unit.monitor.making import DEFAULTS, GIB, finding, killer_hello, psi

MINUTE_MS = 60_000
FILL = 6 * GIB
"""What the scene has measured."""
RAM = RAM_GIB * GIB


@pytest.fixture
def calm(tmp_path, monkeypatch):
    """A function that makes a machine and a loop on it, which has found everything calm."""
    made = []

    def make(has=FRESH, *, is_lxcfs=False, greets=True, **changed):
        machine = Machine(tmp_path, monkeypatch, is_lxcfs=is_lxcfs)
        machine.has(*has)
        it = CalmScene(machine, **changed)
        it.machine = machine
        made.append(it)
        if greets:
            it.greet()
        return it

    with handlers_restored():
        yield make
    for one in made:
        one.close()


# --- how little is done


@pytest.mark.parametrize("machine", [{}, {"has": FULL_CACHE}, {"is_lxcfs": True}], ids=["fresh", "full cache", "lxcfs"])
def test_in_calm_there_is_one_reading_a_minute_and_no_less(calm, machine):
    it = calm(**machine)
    began_ms = it.now_ms
    pings = it.idles(600)
    times = [began_ms, *it.sensor.read_at_ms]
    assert all(later - before <= MINUTE_MS for before, later in itertools.pairwise(times))
    assert 9 <= len(it.sensor.read_at_ms) - len(pings) <= 10, "the answer to a ping is followed by a whole turn"
    assert len(it.sleeps) > 150, "and memory is looked at all the time"


def test_a_machine_whose_page_cache_is_full_is_looked_at_no_more_often_than_a_reading_would_say(calm):
    it = calm(FULL_CACHE)
    it.idles(50)
    # `pressure` may be scarce with 40 % of RAM, that is 9.6 GiB: 12.4 GiB to go, at 6 GiB a second.
    assert set(it.sleeps) == {2266}


def test_where_much_more_is_available_than_free_the_longer_sleep_is_worth_the_dearer_look(calm):
    it = calm((15, 22))
    it.idles(50)
    assert set(it.sleeps[1:]) == {2266}


def test_where_most_is_free_sysinfo_is_all_that_is_asked(calm):
    it = calm(FRESH)
    it.machine.proc.write("meminfo", b"garbage\n")
    it.idles(50)
    assert it.sensor.read_at_ms == []
    assert set(it.sleeps) == {2233}, "20.6 GiB above the watermarks, and `emergency` may be scarce with 7.2 GiB"


def test_what_no_process_holds_is_read_once_a_minute_so_that_a_leap_is_told_by_what_was_there_before(calm):
    it = calm(FRESH)
    it.idles(300)
    at_ms, _ = it.loop._driver.state.trends.fillers[-1]
    assert 0 < it.now_ms - at_ms <= MINUTE_MS + 10_000


def test_under_lxcfs_sysinfo_speaks_of_another_machine_and_rules_nothing_out(calm):
    it = calm(is_lxcfs=True)
    it.machine.has(0.5, 0.5)
    it.loop.turn()
    assert len(it.sensor.read_at_ms) >= 1


def test_a_control_group_has_no_quick_look_and_every_wake_up_reads(calm):
    assert GroupSensor.quick_look is None
    it = calm()
    it.loop._calm = Calm(GroupSensor.quick_look)
    it.idles(30)
    assert len(it.sensor.read_at_ms) == len(it.sleeps)


def test_verbose_logs_every_reading_and_every_sleep(calm):
    it = calm(verbose=True)
    it.idles(30)
    assert len(it.sensor.read_at_ms) == len(it.sleeps) > 10
    assert it.said == [f"[adaptive-sleep] {wait_ms} ms" for wait_ms in it.sleeps]


# --- how little is missed


@pytest.mark.parametrize(("before", "after"), [(FRESH, (0.5, 0.5)), (FULL_CACHE, (0.4, 0.4)), ((15, 22), (0.5, 0.5))])
def test_a_shortage_is_seen_and_acted_on_at_the_very_next_wake_up(calm, before, after):
    it = calm(before)
    it.idles(20)
    it.forget()
    it.machine.has(*after)
    it.loop.turn()
    assert it.sensor.read_at_ms
    assert [type(message) for message in it.heard()] == [KillRequest]


def test_what_is_available_counts_and_not_what_is_free_alone_where_that_was_little_before(calm):
    it = calm((1, 8.6))
    it.loop.turn()
    assert it.sensor.read_at_ms == []
    it.machine.has(1, 8.3)
    it.loop.turn()
    assert len(it.sensor.read_at_ms) == 1, "`emergency` may be scarce"


@pytest.mark.parametrize("has", [FRESH, FULL_CACHE])
def test_the_sleep_shortens_with_what_is_taken_and_a_larger_loss_takes_a_whole_turn(calm, has):
    it = calm(has)
    it.idles(20)
    before_ms = it.sleeps[-1]
    it.forget()
    it.machine.has(has[0] - 0.6, has[1] - 0.6)
    it.loop.turn()
    assert it.sleeps == [pytest.approx(before_ms - 100, abs=1)]
    assert it.sensor.read_at_ms == []
    it.machine.has(*has)
    it.loop.turn()
    assert it.sleeps[-1] == before_ms
    it.machine.has(max(has[0] - 1.6, 0), has[1] - 1.6)
    it.loop.turn()
    assert len(it.sensor.read_at_ms) == 1, "more than a sixteenth of RAM"


def test_a_meminfo_that_makes_no_sense_takes_a_whole_turn_which_says_so(calm):
    it = calm(FULL_CACHE)
    it.machine.proc.write("meminfo", b"garbage\n")
    it.loop.turn()
    assert it.said == ["what is available makes no sense: nothing is decided on it"]


def test_after_a_reading_that_made_no_sense_every_wake_up_reads_until_one_does(calm):
    it = calm()
    it.loop._calm.end()
    it.sensor.makes_sense = False
    for count in range(1, 6):
        it.loop.turn()
        assert len(it.sensor.read_at_ms) == count
    it.sensor.makes_sense = True
    it.idles(30)
    assert len(it.sensor.read_at_ms) == 6


def test_while_a_kill_is_in_flight_every_wake_up_reads_although_memory_is_plentiful(calm):
    it = calm(greets=False)
    it.loop.turn()
    it.says(killer_hello(it.heard()[0].id, flight=(77, 101, 90125, 15)))
    it.loop.turn()
    it.forget()
    it.idles(1)
    assert len(it.sensor.read_at_ms) == len(it.sleeps) == 20


def test_a_psi_trigger_is_followed_by_a_whole_turn(calm):
    it = calm()
    it.wakes_early = True
    it.loop.turn()
    assert it.sensor.read_at_ms == []
    it.loop.turn()
    assert len(it.sensor.read_at_ms) == 1


def quick_look(free: int, available: int, *, sysinfo_is_usable: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        free_bytes=lambda: free, available_bytes=lambda: available, sysinfo_is_usable=sysinfo_is_usable
    )


def test_while_memory_fills_so_fast_that_a_condition_needs_a_reading_soon_there_is_no_quick_look():
    calm = Calm(quick_look(20 * GIB, 22 * GIB))
    soon, later = finding(fires=False, look_again_ms=1000), finding(fires=False, look_again_ms=5000)
    calm.begin(RAM, (later,), DEFAULTS, FILL, MINUTE_MS)
    assert calm.sleep_ms(0) > 1000
    calm.begin(RAM, (soon,), DEFAULTS, FILL, MINUTE_MS)
    assert calm.sleep_ms(0) == 0


def test_no_quick_look_comes_at_or_after_the_time_of_the_next_whole_turn():
    calm = Calm(quick_look(20 * GIB, 22 * GIB))
    calm.begin(RAM, (), DEFAULTS, FILL, 1000)
    assert [calm.sleep_ms(now_ms) for now_ms in (0, 600, 999, 1000, 1001)] == [1000, 400, 1, 0, 0]
    calm.end()
    assert calm.sleep_ms(0) == 0


@st.composite
def readings(draw: st.DrawFn) -> Reading:
    """Of any machine, with any swap: what is free is available as well."""
    ram = draw(st.integers(2**28, 2**42))
    available = draw(st.integers(0, ram))
    free = draw(st.integers(0, available))
    total = draw(st.integers(max(available, 1), ram))
    swap_total = draw(st.integers(0, 2 * ram))
    swap_free = draw(st.integers(0, swap_total))
    usable = draw(st.integers(0, swap_free))
    return Reading(ram, free, total, available, swap_total, swap_free, psi(), swap_usable=usable)


@given(readings(), st.integers(0, 2**36), st.integers(0, 2**30), st.booleans())
@settings(deadline=None)
def test_no_sleep_is_longer_than_the_pace_would_say_and_none_passes_a_condition_over(before, taken, margin, usable):
    now = before._replace(available=before.available - taken, free=max(before.free - taken, 0))
    assume(now.available >= 0)
    look = quick_look(before.free - margin, before.available, sysinfo_is_usable=usable)
    calm = Calm(look)
    calm.begin(before.ram, (), DEFAULTS, FILL, 10**9)
    calm_at_first = calm.sleep_ms(0)
    found = findings(Seen(before), DEFAULTS.conditions)
    assert calm_at_first <= sleep_ms(found, DEFAULTS.sleep, FILL)
    assert not calm_at_first or not any(one.is_scarce for one in found)
    look.free_bytes, look.available_bytes = (lambda: now.free - margin), (lambda: now.available)
    calm._measure = look.free_bytes if calm._measure() == before.free - margin else look.available_bytes
    found = findings(Seen(now), DEFAULTS.conditions)
    assert calm.sleep_ms(0) <= sleep_ms(found, DEFAULTS.sleep, FILL)
    assert not calm.sleep_ms(0) or not any(one.is_scarce for one in found)
