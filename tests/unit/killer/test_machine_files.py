"""What the killer reads of the machine: on descriptors that were opened at the start."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_killer.facts import MachineFiles
from tests.fakes.procfs import FakeProc

KIB = 1024


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.meminfo(total_kib=1000, available_kib=300, anonymous_kib=500)
    made.pressure(some_avg10=12.5)
    return made


@contextmanager
def opened(proc: FakeProc) -> Iterator[MachineFiles]:
    """The killer keeps them for ever; a test must let go of them."""
    try:
        yield MachineFiles(proc.path)
    finally:
        for entry in list(Path("/proc/self/fd").iterdir()):
            if str(entry.resolve()).startswith(proc.path):
                os.close(int(entry.name))


def test_each_reading_is_of_its_moment(proc):
    with opened(proc) as files:
        first = files.read()
        assert (first.meminfo.available, first.meminfo.anonymous, first.some_avg10) == (300 * KIB, 500 * KIB, 12.5)
        proc.meminfo(total_kib=1000, available_kib=200)
        proc.pressure(some_avg10=25)
        second = files.read()
        assert (second.meminfo.available, second.some_avg10) == (200 * KIB, 25.0)


def test_no_descriptor_is_needed_for_a_reading(proc, monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.EMFILE, "Too many open files")

    with opened(proc) as files:
        monkeypatch.setattr(os, "open", refuse)
        reading = files.read()
        monkeypatch.undo()
    assert reading.meminfo.available == 300 * KIB


@pytest.mark.parametrize("data", [b"", b"garbage\n", b"full avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"])
def test_psi_that_makes_no_sense_is_no_pressure(proc, data):
    proc.write("pressure/memory", data)
    with opened(proc) as files:
        assert files.read().some_avg10 == 0.0


def test_a_kernel_without_psi_has_no_pressure(proc):
    proc.remove("pressure")
    with opened(proc) as files:
        assert files.read().some_avg10 == 0.0


def test_psi_that_is_switched_off_is_no_pressure(proc, monkeypatch):
    real = os.pread

    def pread(fileno, size, offset):
        if Path(f"/proc/self/fd/{fileno}").resolve().name == "memory":
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fileno, size, offset)

    with opened(proc) as files:
        monkeypatch.setattr(os, "pread", pread)
        reading = files.read()
        monkeypatch.undo()
    assert reading.some_avg10 == 0.0
    assert reading.meminfo.available == 300 * KIB


def test_a_meminfo_that_makes_no_sense_is_no_reading(proc):
    with opened(proc) as files:
        proc.write("meminfo", b"garbage\n")
        assert files.read() is None


def test_without_meminfo_there_is_no_killer(proc):
    proc.remove("meminfo")
    with pytest.raises(FileNotFoundError):
        MachineFiles(proc.path)
