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
        assert (first.available, first.anonymous) == (300 * KIB, 500 * KIB)
        proc.meminfo(total_kib=1000, available_kib=200)
        assert files.read().available == 200 * KIB


def test_no_descriptor_is_needed_for_a_reading(proc, monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.EMFILE, "Too many open files")

    with opened(proc) as files:
        monkeypatch.setattr(os, "open", refuse)
        reading = files.read()
        monkeypatch.undo()
    assert reading.available == 300 * KIB


def test_a_meminfo_that_makes_no_sense_is_no_reading(proc):
    with opened(proc) as files:
        proc.write("meminfo", b"garbage\n")
        assert files.read() is None


def test_without_meminfo_there_is_no_killer(proc):
    proc.remove("meminfo")
    with pytest.raises(FileNotFoundError):
        MachineFiles(proc.path)
