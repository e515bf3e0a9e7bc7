"""Locking memory: what is locked, what is said, and that a daemon whose limit is low still lives."""

import ctypes
import os
import resource
from pathlib import Path

import pytest

from bustd_shared.daemon import libc, memory_lock
from tests.unit.shared.forked import in_child


def status_kib(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise AssertionError(f"no {name} in /proc/self/status")


@pytest.fixture
def unlimited(monkeypatch):
    """A limit that can be raised: a container's root may lock memory (CAP_IPC_LOCK), but often not raise the limit."""
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)


@pytest.mark.root
def test_locked_memory_becomes_resident_only_as_it_is_touched(unlimited):
    def lock():
        said = memory_lock.lock_memory()
        before = status_kib("VmLck"), status_kib("VmRSS")
        untouched = ctypes.CDLL(None).malloc
        untouched.restype = ctypes.c_void_p
        untouched(32 << 20)
        return said, before, (status_kib("VmLck"), status_kib("VmRSS"))

    said, (locked, resident), (locked_after, resident_after) = in_child(lock)
    assert said == "memory is locked"
    assert locked > 8 * 1024, "what there was is locked"
    assert locked_after - locked >= 32 * 1024, "what came later is locked too"
    assert resident_after - resident < 16 * 1024, "and none of that is resident before it is touched"


def test_with_a_limit_that_can_not_be_raised_nothing_is_locked_and_the_limit_is_said():
    def lock():
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (64 * 1024, 64 * 1024))
        if os.geteuid() == 0:
            os.seteuid(65534)  # and with it goes every effective capability
        said = memory_lock.lock_memory()
        kept = bytes([1]) * (8 << 20)  # with memory locked beyond the limit, this would be the end
        locked_kib = status_kib("VmLck")
        if os.getuid() == 0:
            os.seteuid(0)
        return said, locked_kib, len(kept)

    said, locked, _ = in_child(lock)
    assert said == "memory is not locked: its limit of 64 KiB can't be raised (ulimit -l)"
    assert locked == 0


@pytest.fixture
def kernel(monkeypatch, unlimited):
    """A kernel that grants these flags and no others, and the flags that it was asked for."""

    def granting(*flags: int) -> list[int]:
        asked: list[int] = []
        monkeypatch.setattr(libc, "mlockall", lambda flag: asked.append(flag) or flag in flags)
        return asked

    return granting


def test_memory_is_locked_as_it_is_touched_and_all_at_once_where_the_kernel_knows_no_other_way(kernel):
    asked = kernel(7, 3)
    assert memory_lock.lock_memory() == "memory is locked"
    assert asked == [7]
    asked = kernel(3)
    assert memory_lock.lock_memory() == "memory is locked"
    assert asked == [7, 3]


def test_a_kernel_that_refuses_both_is_believed(kernel):
    asked = kernel()
    assert memory_lock.lock_memory() == "memory is not locked: the kernel refuses it"
    assert asked == [7, 3]


def test_what_the_library_says_of_a_refusal_is_a_refusal():
    assert not libc.mlockall(0)  # EINVAL
