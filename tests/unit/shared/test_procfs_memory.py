"""/proc/meminfo and the PSI files: absurd numbers are held within what they can be, and what is missing is said."""

import math
from pathlib import Path

import pytest

from bustd_shared.kernel.pressure import MemoryPressure, parse_pressure
from bustd_shared.kernel.procfs import Meminfo, field_bytes, parse_meminfo
from tests.fakes.procfs import FakeProc

KIB = 1024
LXCFS = b"""MemTotal:        1048576 kB
MemFree:          524288 kB
MemAvailable:     600000 kB
SwapTotal:       2097152 kB
SwapFree:       18446744073709551360 kB
AnonPages:        100000 kB
"""


def fake_meminfo(tmp_path: Path, **kib: int | None) -> bytes:
    proc = FakeProc(tmp_path)
    proc.meminfo(**kib)
    return Path(proc.path, "meminfo").read_bytes()


def test_every_amount_is_found_in_its_own_line(tmp_path):
    data = fake_meminfo(
        tmp_path,
        total_kib=600,
        free_kib=100,
        available_kib=300,
        anonymous_kib=200,
        swap_total_kib=50,
        swap_free_kib=40,
    )
    assert parse_meminfo(data) == Meminfo(600 * KIB, 100 * KIB, 300 * KIB, 200 * KIB, 50 * KIB, 40 * KIB)


def test_this_machines_own_meminfo_makes_sense():
    meminfo = parse_meminfo(Path("/proc/meminfo").read_bytes())
    assert meminfo.total > meminfo.available > 0
    assert meminfo.total > meminfo.anonymous > 0
    assert meminfo.total >= meminfo.free > 0


def test_swap_that_lxcfs_prints_as_18_exabytes_counts_as_used_up():
    meminfo = parse_meminfo(LXCFS)
    assert (meminfo.swap_total, meminfo.swap_free) == (2097152 * KIB, 0)
    assert meminfo.available == 600000 * KIB


@pytest.mark.parametrize("name", [b"MemFree", b"MemAvailable", b"AnonPages"])
def test_no_amount_of_memory_exceeds_the_total(name):
    lines = [line for line in LXCFS.splitlines() if not line.startswith(name)]
    meminfo = parse_meminfo(b"\n".join([*lines, name + b": 1048577 kB", b""]))
    amounts = {b"MemFree": meminfo.free, b"MemAvailable": meminfo.available, b"AnonPages": meminfo.anonymous}
    assert amounts[name] == meminfo.total == 1048576 * KIB


def test_free_swap_does_not_exceed_the_swap_there_is(tmp_path):
    assert parse_meminfo(fake_meminfo(tmp_path, swap_total_kib=10, swap_free_kib=11)).swap_free == 10 * KIB


def test_a_missing_mem_available_is_none_and_not_zero(tmp_path):
    assert parse_meminfo(fake_meminfo(tmp_path, available_kib=None)).available is None


def test_a_mem_available_that_is_not_a_number_is_none_and_not_zero_which_would_kill():
    for nonsense in (b"MemAvailable:    ???  kB", b"MemAvailable: -5 kB", b"MemAvailable:"):
        data = LXCFS.replace(b"MemAvailable:     600000 kB", nonsense)
        assert parse_meminfo(data).available is None


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense", b"MemTotal:", b"MemTotal: 0 kB\n", b"MemTotal: x kB\n", b"MemTotal: 18446744073709551360 kB\n"],
)
def test_a_meminfo_without_a_total_is_none(data):
    assert parse_meminfo(data) is None


def test_a_name_is_that_of_a_whole_line_and_not_of_its_end():
    data = b"XMemTotal: 5 kB\nHugeMemTotal: 6 kB\nMemTotal: 7 kB\n"
    assert field_bytes(data, b"MemTotal:") == 7 * KIB
    assert field_bytes(data, b"Total:") is None
    assert field_bytes(b"MemTotal: 7 kB", b"MemTotal:") == 7 * KIB


def test_both_lines_of_pressure_are_read():
    data = b"some avg10=12.50 avg60=1.00 avg300=0.10 total=123\nfull avg10=3.25 avg60=0.00 avg300=0.00 total=45\n"
    assert parse_pressure(data) == MemoryPressure(12.5, 123, 3.25, 45)


def test_a_missing_full_line_counts_as_no_full_stall():
    assert parse_pressure(b"some avg10=1.00 avg60=0.00 avg300=0.00 total=9\n") == MemoryPressure(1.0, 9, 0.0, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"some\n",
        b"full avg10=1.00 avg60=0.00 avg300=0.00 total=9\n",
        b"some avg10=1.00\n",
        b"some total=9\n",
        b"some avg10=x total=9\n",
        b"some avg10=1.00 total=x\n",
        b"some avg10=1.00 total=-9\n",
        b"some avg10=1.00 total=1.5\n",
        b"some avg10=1.00 total=9\nfull avg10=1.00\n",
        b"some avg10=\xff total=\xff\n",
    ],
)
def test_pressure_that_can_not_be_understood_is_none(data):
    assert parse_pressure(data) is None


@pytest.mark.parametrize(("text", "percent"), [(b"-3", 0), (b"nan", 0), (b"inf", 100), (b"1e9", 100), (b"99.5", 99.5)])
def test_a_share_of_time_stays_within_0_and_100_percent(text, percent):
    pressure = parse_pressure(b"some avg10=%s total=1\nfull avg10=%s total=1\n" % (text, text))
    assert (pressure.some_avg10, pressure.full_avg10) == (percent, percent)
    assert not math.isnan(pressure.some_avg10)
