"""A reading of the machine, from a /proc of any kind: cheap things first, and no trouble from odd data."""

import errno
import os
from pathlib import Path

import pytest

from bustd_monitor.sensing import sensor as sensor_module
from bustd_monitor.sensing.sensor import Sensor, Unreadable
from bustd_monitor.sensing.sysinfo import Sysinfo, read_sysinfo
from tests.fakes.procfs import FakeProc

KIB = 1024
LXCFS = b"""MemTotal:        1048576 kB
MemFree:          524288 kB
MemAvailable:     600000 kB
SwapTotal:       2097152 kB
SwapFree:       18446744073709551360 kB
AnonPages:        100000 kB
"""


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.meminfo(total_kib=16_000, free_kib=1000, available_kib=4000, anonymous_kib=6000)
    made.pressure(some_avg10=12.5, full_avg10=3, some_us=99, full_us=9)
    return made


@pytest.fixture
def opened(proc):
    """A function that makes a Sensor on the fake tree; all of them are closed at the end."""
    made: list[Sensor] = []

    def open_one() -> Sensor:
        made.append(Sensor(proc.path))
        return made[-1]

    yield open_one
    for sensor in made:
        sensor.close()


@pytest.fixture
def sysinfo(monkeypatch):
    """A function that decides what sysinfo(2) says from now on."""

    def says(total_kib: int, free_kib: int) -> None:
        monkeypatch.setattr(sensor_module, "read_sysinfo", lambda: Sysinfo(total_kib * KIB, free_kib * KIB))

    return says


def test_a_reading_is_what_proc_says(opened):
    reading = opened().read()
    assert (reading.ram, reading.free) == (16_000 * KIB, 1000 * KIB)
    assert (reading.available, reading.total) == (4000 * KIB, 10_000 * KIB), "available and anonymous"
    assert (reading.swap_total, reading.swap_free) == (0, 0)
    assert (reading.pressure.some_avg10, reading.pressure.full_total_us) == (12.5, 9)


def test_a_filled_tmpfs_does_not_count_as_memory_that_programs_can_have(proc, opened):
    sensor = opened()
    proc.meminfo(total_kib=16_000, free_kib=1000, available_kib=1000, anonymous_kib=3000)  # 12,000 are in a tmpfs
    assert sensor.read().total == 4000 * KIB


def test_what_a_tmpfs_holds_in_swap_as_well_is_told_beside_what_of_it_is_in_memory(proc, opened, monkeypatch):
    sensor = opened()
    monkeypatch.setattr(sensor._tmpfs, "held_bytes", lambda: 2**40)
    monkeypatch.setattr(sensor._tmpfs, "fullest", b"/dev/shm")
    reading = sensor.read()
    assert (reading.tmpfs, reading.tmpfs_held, reading.fullest_tmpfs) == (reading.shared, 2**40, b"/dev/shm")


def test_each_reading_is_of_its_moment(proc, opened):
    sensor = opened()
    proc.meminfo(total_kib=20_000, available_kib=1, anonymous_kib=2, swap_total_kib=7, swap_free_kib=6)
    proc.pressure(some_avg10=99)
    reading = sensor.read()
    assert (reading.ram, reading.available, reading.swap_total, reading.swap_free) == (20_000 * KIB, KIB, 7168, 6144)
    assert reading.pressure.some_avg10 == 99.0


def test_no_descriptor_is_needed_for_a_reading(opened, monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.EMFILE, "Too many open files")

    sensor = opened()
    monkeypatch.setattr(os, "open", refuse)
    reading = sensor.read()
    monkeypatch.undo()
    assert reading.available == 4000 * KIB


# Odd data


def test_swap_that_lxcfs_prints_as_18_exabytes_is_used_up(proc, opened):
    proc.write("meminfo", LXCFS)
    reading = opened().read()
    assert (reading.swap_total, reading.swap_free) == (2097152 * KIB, 0)


def test_without_mem_available_it_can_not_start_and_says_why(proc):
    proc.meminfo(available_kib=None)
    with pytest.raises(Unreadable, match="has no MemAvailable"):
        Sensor(proc.path)


@pytest.mark.parametrize("data", [b"", b"garbage\n"])
def test_without_a_total_it_can_not_start_and_says_why(proc, data):
    proc.write("meminfo", data)
    with pytest.raises(Unreadable, match="has no MemTotal"):
        Sensor(proc.path)


def test_without_meminfo_it_can_not_start_and_says_why(proc):
    proc.remove("meminfo")
    with pytest.raises(Unreadable, match="meminfo can't be read: No such file or directory"):
        Sensor(proc.path)


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"MemTotal: 5 kB\n", LXCFS.replace(b"600000", b"??????")])
def test_a_meminfo_that_makes_no_sense_later_is_no_reading_and_not_a_shortage(proc, opened, data):
    sensor = opened()
    proc.write("meminfo", data)
    assert sensor.read() is None


def test_a_meminfo_that_can_not_be_read_later_is_no_reading(opened, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    sensor = opened()
    monkeypatch.setattr(os, "pread", fail)
    assert sensor.read() is None
    monkeypatch.undo()


def test_a_machine_that_has_nothing_at_all_is_not_divided_by(proc, opened):
    proc.meminfo(total_kib=5, free_kib=0, available_kib=0, anonymous_kib=0)
    assert opened().read().total == 5 * KIB


# PSI


def test_psi_with_only_a_some_line_has_no_full_stalls(proc, opened):
    proc.write("pressure/memory", b"some avg10=1.00 avg60=0.00 avg300=0.00 total=9\n")
    sensor = opened()
    assert sensor.pressure_trouble == ""
    assert (sensor.read().pressure.some_total_us, sensor.read().pressure.full_total_us) == (9, 0)


def test_with_psi_there_is_no_trouble_to_tell_of(opened):
    assert opened().pressure_trouble == ""


def test_an_empty_psi_file_is_no_psi_and_is_said(proc, opened):
    proc.write("pressure/memory", b"")
    sensor = opened()
    assert sensor.pressure_trouble == f"{proc.path}/pressure/memory has no line that begins with `some`"
    assert sensor.read().pressure is None


def test_a_kernel_without_psi_is_said(proc, opened):
    proc.remove("pressure")
    sensor = opened()
    trouble = f"{proc.path}/pressure/memory: No such file or directory (boot with psi=1)"
    assert (sensor.pressure_trouble, sensor.read().pressure) == (trouble, None)


def test_psi_that_is_switched_off_is_said(opened, monkeypatch):
    real = os.pread

    def pread(fileno, size, offset):
        if Path(f"/proc/self/fd/{fileno}").resolve().name == "memory":
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fileno, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    sensor = opened()
    assert "Operation not supported (boot with psi=1)" in sensor.pressure_trouble
    assert sensor.read().pressure is None
    assert sensor.read().available == 4000 * KIB


def test_psi_that_stops_making_sense_is_no_psi(proc, opened):
    sensor = opened()
    proc.write("pressure/memory", b"some avg10=x")
    assert sensor.read().pressure is None


# The cheapest look of all


def test_while_enough_is_free_nothing_but_sysinfo_is_read(proc, opened, sysinfo):
    sysinfo(16_000, 8000)
    sensor = opened()
    proc.write("meminfo", b"garbage\n")
    reading = sensor.read(enough_free_percent=15)
    assert (reading.ram, reading.free, reading.total) == (16_000 * KIB, 8000 * KIB, 16_000 * KIB)
    assert reading.available == 6400 * KIB, "free memory less a tenth of RAM: this /proc has no zoneinfo"
    assert reading.pressure is None
    assert sensor.read() is None


@pytest.mark.parametrize(("free_kib", "looks_closer"), [(4001, False), (4000, True), (3999, True), (0, True)])
def test_enough_is_more_than_the_share_above_the_watermarks(opened, sysinfo, free_kib, looks_closer):
    sysinfo(16_000, 8000)
    sensor = opened()
    sysinfo(16_000, free_kib)
    reading = sensor.read(enough_free_percent=15)  # 2400 KiB, and 1600 KiB below the watermarks
    assert (reading.pressure is not None) is looks_closer
    assert reading.free == free_kib * KIB


def test_under_lxcfs_sysinfo_speaks_of_another_machine_and_is_not_believed(opened, sysinfo):
    sysinfo(64_000, 60_000)
    sensor = opened()
    assert not sensor.sysinfo_is_usable
    reading = sensor.read(enough_free_percent=1)
    assert (reading.free, reading.available) == (1000 * KIB, 4000 * KIB)


def test_free_memory_is_sysinfos_where_that_speaks_of_this_machine(opened, sysinfo):
    sysinfo(16_000, 900)
    sensor = opened()
    assert sensor.sysinfo_is_usable
    assert sensor.read(enough_free_percent=99).free == 900 * KIB
    assert sensor.read().free == 1000 * KIB, "where everything is read it is not asked"


def test_this_machine_can_be_read():
    sensor = Sensor()
    whole, quick = sensor.read(), sensor.read(enough_free_percent=0)
    sensor.close()
    assert 0 < whole.available < whole.total <= whole.ram
    assert 0 < quick.available <= quick.free
    assert read_sysinfo().total >= read_sysinfo().free > 0


def test_memory_that_compressed_swap_takes_is_told_and_with_it_swapping_out_changes_nothing(proc):
    """1000 KiB were swapped out: 400 to zram, which takes 150 for them, the others to zswap, which takes 200."""
    proc.meminfo(total_kib=16_000, available_kib=4000, swap_total_kib=3000, swap_free_kib=3000)
    proc.write("swaps", b"")
    sensor = Sensor(proc.path, f"{proc.path}/sys")
    before = sensor.read()
    proc.meminfo(total_kib=16_000, available_kib=4650, swap_total_kib=3000, swap_free_kib=2000)
    proc.write(
        "meminfo", Path(f"{proc.path}/meminfo").read_bytes() + b"Zswap:               200 kB\nZswapped: 600 kB\n"
    )
    proc.write("swaps", b"Filename Type Size Used Priority\n/dev/zram0 partition 3000 400 100\n")
    proc.write("sys/block/zram0/mm_stat", b"%d %d %d 0 0 0 0 0 0\n" % (400 * KIB, 140 * KIB, 150 * KIB))
    after = sensor.read()
    sensor.close()
    assert (before.compressed, after.compressed) == (0, 350 * KIB)
    assert after.unheld_bytes == before.unheld_bytes == 7000 * KIB
    assert after.room_bytes == 6650 * KIB
