"""A quick look at memory: one number, which is never more than a reading would call available."""

import os

import pytest

from bustd_monitor.sensing import quick_look as quick_look_module
from bustd_monitor.sensing.arc import Arc
from bustd_monitor.sensing.held_file import HeldFile
from bustd_monitor.sensing.protected import Protected
from bustd_monitor.sensing.quick_look import QuickLook
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.sysinfo import read_free_bytes, read_sysinfo
from tests.fakes.procfs import FakeProc

KIB = 1024


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.meminfo(total_kib=16_000, free_kib=1000, available_kib=4000, anonymous_kib=6000)
    made.pressure()
    return made


@pytest.fixture
def look(proc):
    sensor = Sensor(proc.path)
    yield sensor.quick_look
    sensor.close()


def test_what_is_available_is_what_a_reading_says(proc, look):
    assert look.available_bytes() == 4000 * KIB
    proc.meminfo(total_kib=16_000, free_kib=1000, available_kib=3999)
    assert look.available_bytes() == 3999 * KIB, "of this moment"


def test_the_beginning_of_meminfo_is_enough(look, monkeypatch):
    asked = []
    pread = os.pread
    monkeypatch.setattr(os, "pread", lambda fd, count, at: asked.append(count) or pread(fd, count, at))
    look.available_bytes()
    monkeypatch.undo()
    assert asked == [128]


def test_the_largest_machine_has_mem_available_in_the_beginning_of_meminfo(proc, look):
    most_kib = 2**50
    proc.meminfo(total_kib=most_kib, free_kib=most_kib, available_kib=most_kib)
    assert look.available_bytes() == most_kib * KIB


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"MemTotal: 5 kB\n", b"MemAvailable:   ?? kB\n"])
def test_a_meminfo_that_makes_no_sense_is_less_than_nothing(proc, look, data):
    proc.write("meminfo", data)
    assert look.available_bytes() == -1


def test_what_zfs_would_free_is_available_as_in_a_reading(proc):
    proc.write("spl/kstat/zfs/arcstats", b"name type data\nc_min 4 1024\nsize 4 5120\n")
    sensor = Sensor(proc.path)
    assert sensor.quick_look.available_bytes() == sensor.read().available == 4004 * KIB
    sensor.close()


def test_free_memory_counts_above_the_watermarks(proc, monkeypatch):
    monkeypatch.setattr(quick_look_module, "read_free_bytes", lambda: 8000 * KIB)
    held, arc = HeldFile(f"{proc.path}/meminfo", 8192), Arc(0, 1, proc.path)
    assert QuickLook(held, arc, Protected(""), 1600 * KIB, sysinfo_is_usable=True).free_bytes() == 6400 * KIB
    held.close()


def test_this_machine_can_be_looked_at():
    sensor = Sensor()
    assert 0 < sensor.quick_look.free_bytes() < read_sysinfo().total
    assert 0 < sensor.quick_look.available_bytes() < read_sysinfo().total
    assert read_free_bytes() > 0
    sensor.close()
