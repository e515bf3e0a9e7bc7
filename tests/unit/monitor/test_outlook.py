"""Warnings: told once, well before memory is short; again only after it was back; and not for what stops in time."""

import itertools

import pytest

from bustd_monitor.conditions.floor import CONDITION, left_bytes
from bustd_monitor.deciding import outlook
from bustd_monitor.deciding.actions import Scarce, ShortSoon
from bustd_monitor.deciding.outlook import Outlook
from bustd_monitor.sensing.reading import lower_bound
from tests.unit.monitor.making import GIB, MIB, conditions, reading

TOTAL = 8 * GIB
FLOOR = conditions().floor
LEAST = int(0.1 * TOTAL)
"""What `floor` calls short on this machine."""
EVERY_MS = 250


class Machine:
    """Feeds the outlook of a machine of 8 GiB, four times a second. `told`: (seconds, news)."""

    def __init__(self, swap: float = 0, floor=FLOOR) -> None:
        self.now_ms, self.outlook, self.swap, self.floor = 1_000_000, Outlook(), swap, floor
        self.told: list = []

    def read(self, one) -> None:
        self.now_ms += EVERY_MS
        self.outlook, news = outlook.advanced(self.outlook, one, self.now_ms, self.floor)
        self.told += [(self.now_ms / 1000, one) for one in news]

    def has(self, left: float) -> None:
        """So much is available before `floor` calls it short."""
        self.read(reading(LEAST + left, total=TOTAL))

    def stays(self, left: float, seconds: float) -> None:
        for _ in range(int(seconds * 1000 / EVERY_MS)):
            self.has(left)

    def falls(self, left: float, per_second: float, to: float = 0) -> float:
        """Until so much is left; when that was."""
        while left > to:
            self.has(left)
            left -= per_second * EVERY_MS / 1000
        return self.now_ms / 1000

    def of(self, kind: type) -> list:
        return [(at_s, news) for at_s, news in self.told if isinstance(news, kind)]


@pytest.mark.parametrize("mib_per_second", [1, 5, 20, 50])
def test_a_slow_leak_is_told_once_and_ten_seconds_before_memory_is_short(mib_per_second):
    machine = Machine()
    machine.stays(2 * GIB, 60)
    short_s = machine.falls(2 * GIB, mib_per_second * MIB)
    ((at_s, news),) = machine.of(ShortSoon)
    assert 10 <= short_s - at_s <= 21
    assert news.short_ms / 1000 == pytest.approx(short_s - at_s, abs=2)
    assert news.per_second == pytest.approx(mib_per_second * MIB, rel=0.1)
    assert (news.condition, news.candidates) == (CONDITION, ())


@pytest.mark.parametrize("mib_per_second", [5, 20, 50])
def test_with_swap_the_time_counts_until_swap_is_used_up_too(mib_per_second):
    """The kernel takes what is available nearly to the end, and then swaps."""
    machine, swap, per_reading = Machine(), GIB, mib_per_second * MIB * EVERY_MS // 1000
    available, free = 3 * GIB, swap
    while free > swap // 10:
        machine.read(reading(available, total=TOTAL, swap=(swap, free)))
        taken = min(per_reading, available - 80 * MIB)
        available, free = available - taken, free - (per_reading - taken)
    short_s = machine.now_ms / 1000
    ((at_s, _),) = machine.of(ShortSoon)
    assert 10 <= short_s - at_s <= 40


def test_while_swap_is_free_it_is_left_beyond_what_is_available():
    assert left_bytes(reading(LEAST + 5, total=TOTAL), FLOOR) == 5
    assert left_bytes(reading(LEAST - 5, total=TOTAL), FLOOR) == -5
    assert left_bytes(reading(LEAST + 5, total=TOTAL, swap=(GIB, GIB // 2)), FLOOR) == 5 + GIB // 2 - int(0.1 * GIB)
    assert left_bytes(reading(LEAST - 5, total=TOTAL, swap=(GIB, GIB // 2)), FLOOR) == GIB // 2 - int(0.1 * GIB)
    assert left_bytes(reading(LEAST + 5, total=TOTAL, swap=(GIB, GIB // 20)), FLOOR) == 5


def test_memory_is_scarce_at_one_and_a_half_times_what_is_short_and_that_is_told_once():
    machine = Machine()
    machine.stays(LEAST // 2 + MIB, 30)
    assert not machine.told
    machine.stays(LEAST // 2, 600)
    ((_, news),) = machine.told
    assert (type(news), news.left_bytes, news.short_ms) == (Scarce, LEAST // 2, None)


def test_what_is_scarce_and_fills_up_says_when_it_is_short():
    machine = Machine()
    machine.falls(2 * GIB, 5 * MIB)
    ((_, news),) = machine.of(Scarce)
    assert news.short_ms / 1000 == pytest.approx(LEAST / 2 / (5 * MIB), abs=1)


def ended(machine: Machine) -> None:
    """A process has died for it."""
    machine.outlook = outlook.after_death(machine.outlook)


@pytest.mark.parametrize(("back_s", "times"), [(25, 1), (35, 2)])
def test_the_same_is_told_again_only_after_memory_was_back_for_half_a_minute(back_s, times):
    machine = Machine()
    for _ in range(2):
        machine.falls(GIB, 20 * MIB)
        machine.stays(-50 * MIB, 10)
        ended(machine)
        machine.stays(2 * GIB, back_s)
    assert [len(machine.of(kind)) for kind in (Scarce, ShortSoon)] == [times, times]


def test_a_little_more_is_not_back():
    machine = Machine()
    machine.falls(GIB, 20 * MIB)
    ended(machine)
    for _ in range(5):
        machine.stays(LEAST // 2 + TOTAL // 16 - MIB, 60)
        machine.falls(LEAST // 2 + TOTAL // 16 - MIB, 20 * MIB)
        ended(machine)
    assert [len(machine.of(kind)) for kind in (Scarce, ShortSoon)] == [1, 1]


def test_back_for_moments_does_not_add_up():
    machine = Machine()
    machine.falls(GIB, 20 * MIB)
    ended(machine)
    for _ in range(4):
        machine.stays(2 * GIB, 20)
        machine.stays(LEAST // 4, 2)
    assert [len(machine.of(kind)) for kind in (Scarce, ShortSoon)] == [1, 1]


@pytest.mark.parametrize("seconds", [2, 9, 14])
@pytest.mark.parametrize("before_s", [0, 60])
def test_a_program_that_takes_nearly_all_when_it_starts_and_stops_is_no_news(seconds, before_s):
    machine = Machine()
    machine.stays(GIB, before_s)
    machine.falls(GIB, (GIB - 20 * MIB) / seconds, to=20 * MIB)
    machine.stays(20 * MIB, 120)
    assert machine.of(ShortSoon) == []


def test_what_slows_down_is_no_news():
    machine = Machine()
    machine.stays(GIB, 60)
    machine.falls(GIB, 60 * MIB, to=100 * MIB)
    machine.falls(100 * MIB, 2 * MIB, to=60 * MIB)
    assert machine.of(ShortSoon) == []


def test_one_rest_is_no_leak_and_begins_the_count_again():
    machine = Machine()
    machine.falls(980 * MIB, 40 * MIB, to=400 * MIB)
    machine.stays(400 * MIB, 6)
    machine.falls(400 * MIB, 20 * MIB, to=20 * MIB)
    assert machine.of(ShortSoon) == []
    machine = Machine()
    machine.falls(980 * MIB, 40 * MIB, to=600 * MIB)
    machine.stays(600 * MIB, 6)
    machine.falls(600 * MIB, 20 * MIB)
    assert len(machine.of(ShortSoon)) == 1


def test_what_comes_back_for_a_moment_hides_no_leak():
    """A heap that is collected, or a program that exits, beside it."""
    machine = Machine()
    for second in range(100):
        spike = 150 * MIB if second % 3 == 0 else 0
        machine.stays(GIB - second * 10 * MIB + spike, 1)
    assert len(machine.of(ShortSoon)) == 1


def test_however_fast_it_goes_an_eighth_of_ram_is_the_most_that_is_left_at_a_warning():
    machine = Machine()
    machine.falls(5 * GIB, 110 * MIB)
    ((_, news),) = machine.of(ShortSoon)
    assert news.left_bytes == pytest.approx(TOTAL / 8, rel=0.2)
    assert news.left_bytes <= TOTAL / 8
    assert news.short_ms < 10_000


def dips(machine: Machine, to: float) -> None:
    """It falls without a rest, and comes back."""
    machine.falls(1000 * MIB, 25 * MIB, to=to)


def test_what_memory_came_back_from_within_ten_minutes_is_no_news():
    """A heap that is collected, or a build that is repeated."""
    machine = Machine()
    for _ in range(7):
        dips(machine, 100 * MIB)
        machine.stays(1600 * MIB, 35)
    assert len(machine.of(ShortSoon)) == 1
    dips(machine, 0)
    assert len(machine.of(ShortSoon)) == 2, "deeper than before"


def test_after_ten_minutes_it_is_news_again():
    machine = Machine()
    dips(machine, 100 * MIB)
    machine.stays(1600 * MIB, 700)
    dips(machine, 100 * MIB)
    assert len(machine.of(ShortSoon)) == 2


def test_while_only_sysinfo_is_read_nothing_is_known_and_nothing_told():
    machine = Machine()
    for left in range(1000 * MIB, 0, -5 * MIB):
        machine.read(lower_bound(TOTAL, LEAST + left, LEAST + left))
    assert machine.told == []


def test_readings_that_are_far_apart_say_nothing_of_the_seconds_between_them():
    machine = Machine()
    for left in range(1000 * MIB, 0, -90 * MIB):
        machine.now_ms += 20_000
        machine.has(left)
    assert machine.of(ShortSoon) == []


def test_without_floor_there_is_nothing_to_foresee():
    machine = Machine(floor=FLOOR._replace(enabled=False))
    machine.falls(GIB, 20 * MIB)
    assert machine.told == []


def test_more_readings_than_one_a_second_cost_nothing():
    machine = Machine()
    machine.has(GIB)
    first = machine.outlook
    machine.has(GIB)
    assert machine.outlook is first


def test_a_clock_that_jumps_costs_nothing_but_time():
    machine = Machine()
    for now_ms, left in itertools.product((10**6, 0, 10**9, 5, 10**6), (2 * GIB, 0, -GIB, GIB)):
        machine.now_ms = now_ms
        machine.has(left)
    machine.told.clear()
    machine.stays(2 * GIB, 60)
    machine.falls(2 * GIB, 20 * MIB)
    assert len(machine.of(ShortSoon)) == 1
