"""The cache of ZFS and the refaults of /proc/vmstat, from trees of files: no machine here has ZFS."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.sensing import sensor as sensor_module
from bustd_monitor.sensing.arc import Arc, parse_arcstats
from bustd_monitor.sensing.reading import Refaults, Unlimited
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.sysinfo import Sysinfo
from bustd_monitor.sensing.vmstat import parse_vmstat
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

KIB = 1024
PAGE = os.sysconf("SC_PAGE_SIZE")
ARCSTATS = b"""13 1 0x01 147 39984 5342345234 234234234234
name                            type data
hits                            4    123456
demand_data_hits                4    99
arc_no_grow                     4    0
c                               4    4294967296
c_min                           4    1000000
c_max                           4    8589934592
size                            4    3000000
compressed_size                 4    77
"""
VMSTAT = b"""nr_free_pages 123
workingset_nodes 5
workingset_refault_anon 10
workingset_refault_file 20
workingset_activate_anon 1
pgsteal_kswapd 100
pgsteal_direct 30
pgscan_kswapd 400
pgscan_direct 900
allocstall_normal 3
allocstall_movable 5
pageoutrun 2
pgsteal_khugepaged 1000
pgsteal_anon 7
"""
READ = Refaults(10 * PAGE, 20 * PAGE, 100 * PAGE, 30 * PAGE, stalled_allocations=8, kswapd_steps=402)


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.meminfo(total_kib=16_000, free_kib=500, available_kib=1000, anonymous_kib=7000)
    made.pressure()
    return made


@pytest.fixture
def opened(proc):
    """A function that makes a Sensor on the fake tree; all of them are closed at the end."""
    made: list[Sensor] = []

    def open_one() -> Sensor:
        made.append(Sensor(proc.path, str(proc.directory.parent / "sys")))
        return made[-1]

    yield open_one
    for sensor in made:
        sensor.close()


# ZFS


def test_of_the_cache_of_zfs_what_is_above_its_minimum_counts():
    assert parse_arcstats(ARCSTATS) == 2_000_000
    assert parse_arcstats(ARCSTATS.replace(b"4    3000000", b"4    900000")) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"garbage",
        ARCSTATS.replace(b"\nsize ", b"\nsizes "),
        ARCSTATS.replace(b"1000000", b"-5"),
        b"\nsize 4\nc_min 4",
    ],
)
def test_arcstats_that_make_no_sense_add_nothing(data):
    assert parse_arcstats(data) == 0


@given(st.one_of(st.binary(), st.binary().map(lambda noise: ARCSTATS.replace(b"4    1", noise))))
def test_whatever_is_in_arcstats_it_is_no_negative_amount(data):
    assert parse_arcstats(data) >= 0


def test_available_memory_has_the_cache_of_zfs_in_it(proc, opened):
    proc.write("spl/kstat/zfs/arcstats", ARCSTATS)
    reading = opened().read()
    assert reading.available == 1000 * KIB + 2_000_000
    assert reading.total == 8000 * KIB + 2_000_000
    proc.write("spl/kstat/zfs/arcstats", ARCSTATS.replace(b"4    3000000", b"4    99999999999"))
    assert opened().read().available == 16_000 * KIB


def test_where_there_is_no_zfs_nothing_is_added(proc, opened):
    assert opened().read().available == 1000 * KIB
    arc = Arc(16_000 * KIB, 0, proc.path)
    assert arc.reclaimable_bytes(1000 * KIB) == 0
    arc.close()


@pytest.mark.parametrize(("rest", "counts"), [(0, 0), (100, 1500), (133_333, 1_999_995), (133_334, 2_000_000)])
def test_no_more_of_the_cache_of_zfs_counts_than_fifteen_times_what_is_available_without_it(proc, rest, counts):
    proc.write("spl/kstat/zfs/arcstats", ARCSTATS)
    arc = Arc(128_000, 1000, proc.path)
    assert arc.reclaimable_bytes(rest) == arc.available_bytes(rest, 0, is_stalling=False) == counts
    arc.close()


def test_where_the_watermarks_are_large_the_rest_says_nothing_of_the_cache_of_zfs(proc):
    proc.write("spl/kstat/zfs/arcstats", ARCSTATS)
    arc = Arc(128_000, 1001, proc.path)
    assert arc.reclaimable_bytes(0) == 2_000_000
    arc.close()


def test_a_quick_look_and_a_reading_agree_on_the_cache_of_zfs(proc, opened):
    proc.write("spl/kstat/zfs/arcstats", ARCSTATS)
    proc.write("zoneinfo", b"Node 0, zone   Normal\n  pages free 9\n        high     20\n        protection: (0, 0)\n")
    proc.meminfo(total_kib=16_000, available_kib=100, anonymous_kib=7000)
    sensor = opened()
    assert sensor.read().available == sensor.quick_look.available_bytes() == 16 * 100 * KIB


# Refaults


def test_refaults_and_what_was_reclaimed_are_in_bytes_and_lines_that_count_control_groups_are_left_out():
    assert parse_vmstat(VMSTAT) == READ


def test_before_linux_5_9_there_are_only_refaults_of_files():
    old = b"nr_free_pages 1\nworkingset_refault 20\npgsteal_kswapd 3\npgsteal_direct 4\n"
    assert parse_vmstat(old) == Refaults(0, 20 * PAGE, 3 * PAGE, 4 * PAGE)


@pytest.mark.parametrize("data", [b"", b"garbage", b"nr_free_pages 1\n", b"a\nworkingset_refault_file x\n"])
def test_where_there_are_no_refaults_nothing_is_known(data):
    assert parse_vmstat(data) is None


@given(st.one_of(st.binary(), st.binary().map(lambda noise: VMSTAT.replace(b" 20", noise))))
def test_whatever_is_in_vmstat_it_is_no_negative_amount(data):
    refaults = parse_vmstat(data)
    assert refaults is None or min(refaults) >= 0


def test_this_kernels_own_vmstat_can_be_read():
    refaults = parse_vmstat(Path("/proc/vmstat").read_bytes())
    assert refaults is not None


def test_refaults_are_read_where_memory_may_be_scarce_and_a_program_has_stalled_since_the_last_reading(proc, opened):
    proc.write("vmstat", VMSTAT)
    sensor = opened()
    assert sensor.read().refaults is not None, "the first: what was before is not known"
    proc.write("vmstat", b"")
    assert sensor.read().refaults is not None, "no program has stalled since: they still hold"
    proc.write("vmstat", VMSTAT)
    proc.pressure(some_us=1)
    assert sensor.read().refaults == READ
    proc.pressure(some_us=2)
    proc.meminfo(available_kib=4001, anonymous_kib=6000)
    assert sensor.read().refaults is None, "enough is available: they are not needed"
    proc.pressure(some_us=3)
    proc.meminfo(available_kib=4000, anonymous_kib=6000)
    assert sensor.read().refaults is not None


def test_without_psi_or_without_vmstat_there_are_no_refaults(proc, opened):
    assert opened().read().refaults is None
    proc.write("vmstat", VMSTAT)
    proc.remove("pressure")
    assert opened().read().refaults is None


# The rest of a reading


def test_a_reading_tells_what_swap_can_relieve_and_what_no_death_frees(proc, opened):
    proc.write(
        "meminfo",
        b"MemTotal: 16000 kB\nMemFree: 500 kB\nMemAvailable: 1000 kB\nActive(anon): 300 kB\nInactive(anon): 100 kB\n"
        b"SwapTotal: 9000 kB\nSwapFree: 8000 kB\nAnonPages: 7000 kB\nShmem: 44 kB\nHugetlb: 2048 kB\n",
    )
    reading = opened().read()
    assert (reading.swap_total, reading.swap_free, reading.swap_usable) == (9000 * KIB, 8000 * KIB, 400 * KIB)
    assert (reading.shared, reading.hugetlb, reading.is_whole) == (44 * KIB, 2048 * KIB, True)


def test_a_reading_by_sysinfo_alone_says_that_it_is_not_whole(opened, monkeypatch):
    monkeypatch.setattr(sensor_module, "read_sysinfo", lambda: Sysinfo(16_000 * KIB, 15_000 * KIB))
    assert not opened().read(enough_free_percent=15).is_whole


def test_a_reading_tells_what_the_kernel_holds_and_the_page_tables_of_programs(proc, opened):
    proc.write(
        "meminfo",
        b"MemTotal: 16000 kB\nMemFree: 500 kB\nMemAvailable: 1000 kB\nAnonPages: 7000 kB\nKernelStack: 8 kB\n"
        b"PageTables: 300 kB\nSUnreclaim: 900 kB\nPercpu: 40 kB\n",
    )
    reading = opened().read()
    assert (reading.kernel, reading.page_tables) == (948 * KIB, 300 * KIB)


def test_kills_of_the_kernel_are_read_once_a_second_and_once_a_minute_while_enough_is_free(proc, monkeypatch):
    now_ms = [0]
    proc.write("vmstat", VMSTAT + b"oom_kill 3\n")
    sensor = Sensor(proc.path, str(proc.directory.parent / "sys"), lambda: now_ms[0] * 1_000_000)

    def kills(at_ms: int, **how: float) -> int:
        now_ms[0] = at_ms
        return sensor.read(**how).oom_kills

    assert kills(0) == 3
    proc.write("vmstat", VMSTAT + b"oom_kill 5\n")
    assert (kills(999), kills(1000)) == (3, 5)
    proc.write("vmstat", VMSTAT + b"oom_kill 9\n")
    monkeypatch.setattr(sensor_module, "read_sysinfo", lambda: Sysinfo(16_000 * KIB, 15_000 * KIB, 7 * KIB))
    sensor.sysinfo_is_usable = True
    assert (kills(60_999, enough_free_percent=15), kills(61_000, enough_free_percent=15)) == (5, 9)
    assert sensor.read(enough_free_percent=15).swap_total == 7 * KIB
    sensor.close()


def test_the_stalls_of_programs_at_no_limit_are_in_a_reading_where_memory_may_be_scarce(proc, tmp_path):
    tree = FakeHierarchy(tmp_path)
    (tmp_path / "sys/fs").mkdir(parents=True)
    tree.directory.rename(tmp_path / "sys/fs/cgroup")
    proc.write("1/cgroup", b"0::/init.scope\n")
    sensor = Sensor(proc.path, str(tmp_path / "sys"))
    proc.pressure(some_us=5, full_us=4)
    assert sensor.read().unlimited == Unlimited(5, 4)
    proc.meminfo(total_kib=16_000, available_kib=9000, anonymous_kib=6000)
    assert sensor.read().unlimited is None
    sensor.close()
