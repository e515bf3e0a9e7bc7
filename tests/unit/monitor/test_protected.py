"""What memory.min and memory.low hold back of the page cache, and the cache of ZFS that does not shrink."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.sensing.arc import Arc
from bustd_monitor.sensing.protected import NOTHING, OFTEN_MS, SELDOM_MS, Held, Protected, held_back
from bustd_monitor.sensing.sensor import Sensor
from bustd_shared.kernel.procfs import parse_meminfo
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

KIB, MIB, GIB = 2**10, 2**20, 2**30
SECOND = 10**9


@pytest.mark.parametrize(
    ("protection", "current", "cache", "held"),
    [
        (4 * GIB, 5 * GIB, 3 * GIB, 2 * GIB),
        (4 * GIB, 3 * GIB, 3 * GIB, 3 * GIB),
        (2 * GIB, 5 * GIB, 2 * GIB, 0),
        (0, 5 * GIB, 5 * GIB, 0),
        (2**63 - 1, 5 * GIB, GIB, GIB),
    ],
)
def test_what_is_used_beyond_the_protection_is_reclaimed_first(protection, current, cache, held):
    assert held_back(protection, current, cache) == held


@given(*[st.integers(0, 2**63 - 1)] * 3)
def test_no_more_is_held_back_than_there_is_cache(protection, current, cache):
    assert 0 <= held_back(protection, current, cache) <= cache


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "sys/fs").mkdir(parents=True)
    made = FakeHierarchy(tmp_path / "sys/fs")
    made.directory.rename(tmp_path / "sys/fs/cgroup")
    made.directory = tmp_path / "sys/fs/cgroup"
    made.path = str(made.directory)
    return made


def protect(tree, group, *, least="0", low="0", current=4 * GIB, cache=4 * GIB):
    tree.memory(group, current=current, inactive_file=cache)
    for name, text in (("memory.min", least), ("memory.low", low)):
        (tree.directory / group / name).write_text(f"{text}\n")


def test_of_the_groups_at_the_top_each_counts_and_those_below_are_in_them(tree):
    protect(tree, "a.slice", least=GIB, low=2 * GIB)
    protect(tree, "b.slice", least=GIB)
    protect(tree, "c.slice", low="max")
    protect(tree, "a.slice/a.service", least=9 * GIB)
    assert Protected(tree.path).read(0) == Held(2 * GIB, 7 * GIB)


def test_a_group_below_that_is_protected_itself_keeps_its_cache_though_others_in_the_slice_use_the_rest(tree):
    """A slice of 8 GiB with 4 GiB of cache, all of it one service's, and a leak of 4 GiB beside that."""
    protect(tree, "a.slice", least=4 * GIB, current=8 * GIB, cache=4 * GIB)
    assert Protected(tree.path).read(0).by_min == 0, "the leak might have all of the protection"
    protect(tree, "a.slice/cache.service", least=4 * GIB, current=4 * GIB, cache=4 * GIB)
    protect(tree, "a.slice/leak.service", current=4 * GIB, cache=0)
    assert Protected(tree.path).read(0) == Held(4 * GIB, 4 * GIB)
    protect(tree, "a.slice", least=3 * GIB, current=8 * GIB, cache=4 * GIB)
    assert Protected(tree.path).read(0) == Held(3 * GIB, 3 * GIB), "no more than its slice has"


def test_of_very_many_groups_no_more_are_read_than_a_few(tree):
    for number in range(70):
        protect(tree, f"a{number}.slice", least=GIB)
    assert Protected(tree.path).read(0).by_min == 64 * GIB


def test_it_is_read_once_a_minute_and_once_a_second_while_little_is_available(tree):
    protect(tree, "a.slice", least=GIB)
    protected = Protected(tree.path)
    assert protected.read(0).by_min == GIB
    protect(tree, "a.slice", least=2 * GIB)
    assert protected.read(SELDOM_MS - 1).by_min == GIB
    assert protected.read(OFTEN_MS, is_near=True).by_min == 2 * GIB
    protect(tree, "a.slice")
    assert protected.read(OFTEN_MS + SELDOM_MS) == NOTHING


def test_without_control_groups_nothing_is_held_back():
    assert Protected("").read(0) == NOTHING


@pytest.fixture
def machine(tmp_path, tree):
    """Half of 16 GiB is available, and a clock that the test moves."""
    proc = FakeProc(tmp_path)
    proc.meminfo(total_kib=16 * MIB, free_kib=MIB, available_kib=5 * MIB, anonymous_kib=10 * MIB)
    proc.pressure()
    made = Machine(proc, str(tmp_path / "sys"))
    yield made
    made.close()


class Machine:
    def __init__(self, proc: FakeProc, sys: str) -> None:
        self.proc, self.sys, self.now_ns, self.stalled_us = proc, sys, 0, 0
        self.sensor: Sensor | None = None

    def available(self, *, stalled_ms: int = 0) -> int:
        """In MiB, a second later, in which programs have stalled for so long."""
        self.sensor = self.sensor or Sensor(self.proc.path, self.sys, lambda: self.now_ns)
        self.now_ns += SECOND
        self.stalled_us += stalled_ms * 1000
        self.proc.pressure(some_us=self.stalled_us)
        reading = self.sensor.read()
        assert reading is not None
        return reading.available // MIB

    def close(self) -> None:
        if self.sensor is not None:
            self.sensor.close()


def test_what_memory_min_holds_back_is_not_available(tree, machine):
    protect(tree, "a.slice", least=4 * GIB)
    assert machine.available() == 1024


def test_what_memory_low_holds_back_is_not_available_while_programs_stall(tree, machine):
    protect(tree, "a.slice", low="max")
    assert [machine.available() for _ in range(3)] == [5 * 1024] * 3
    assert [machine.available(stalled_ms=100) for _ in range(3)][-1] == 1024
    assert machine.available(stalled_ms=99) == 5 * 1024


def arcstats(size: int) -> bytes:
    return b"name type data\nc_min 4 0\nsize 4 %d\n" % size


@pytest.mark.parametrize(
    ("sizes", "is_stalling", "available"),
    [
        ([800, 800, 800], True, 0),
        ([800, 795, 790], True, 0),
        ([800, 790, 780], True, 780),
        ([800, 800, 800], False, 800),
        ([800, 800, 800, 500, 400], True, 400),
    ],
)
def test_a_cache_of_zfs_that_does_not_shrink_while_programs_stall_is_not_available(
    tmp_path, sizes, is_stalling, available
):
    proc = FakeProc(tmp_path)
    proc.write("spl/kstat/zfs/arcstats", arcstats(sizes[0]))
    arc = Arc(0, 1, proc.path)
    for second, size in enumerate(sizes):
        proc.write("spl/kstat/zfs/arcstats", arcstats(size))
        found = arc.available_bytes(800, second * 1000, is_stalling=is_stalling)
    arc.close()
    assert found == available


def test_a_machine_whose_cache_of_zfs_does_not_shrink_while_programs_stall_is_short(machine):
    """MemAvailable is 0 and the cache has half of memory (openzfs/zfs#14686)."""
    machine.proc.meminfo(total_kib=16 * MIB, free_kib=0, available_kib=0, anonymous_kib=7 * MIB)
    machine.proc.write("spl/kstat/zfs/arcstats", arcstats(8 * GIB))
    assert machine.available() == 8 * 1024
    assert [machine.available(stalled_ms=950) for _ in range(5)][-1] == 0


@pytest.mark.parametrize(("anonymous", "total"), [(64 * MIB, 16 * GIB), (0, 16 * GIB), (5 * MIB, 10 * GIB)])
def test_the_total_is_at_most_ram_and_all_of_ram_where_anonymous_memory_is_missing_or_0(machine, anonymous, total):
    machine.proc.meminfo(total_kib=16 * MIB, free_kib=MIB, available_kib=5 * MIB, anonymous_kib=anonymous)
    machine.available()
    assert machine.sensor.read().total == total


def test_anonymous_memory_of_another_machine_does_not_make_the_total_smaller_than_the_lists_of_pages_say():
    data = (
        b"MemTotal: 16384 kB\nMemAvailable: 1024 kB\nActive(anon): 9000 kB\nInactive(anon): 3000 kB\nShmem: 2000 kB\n"
    )
    others = [parse_meminfo(data + b"AnonPages: %d kB\n" % amount) for amount in (300, 12_000)]
    assert [one.user_space for one in others] == [11_024 * 1024, 13_024 * 1024]
