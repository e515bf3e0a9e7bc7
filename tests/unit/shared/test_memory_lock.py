"""Locking memory: what is locked, what is said, and that a daemon whose limit is low still lives."""

import ctypes
import errno
import os
import resource
from pathlib import Path

import pytest

from bustd_shared.daemon import memory_lock
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


class FakeLibc:
    """A kernel that refuses."""

    def __init__(self, *results: int) -> None:
        self._results = list(results)
        self.flags: list[int] = []

    def mlockall(self, flags: int) -> int:
        self.flags.append(flags)
        code = self._results.pop(0)
        ctypes.set_errno(code)
        return -1 if code else 0


def test_a_kernel_without_mcl_onfault_is_asked_again_without_it(monkeypatch, unlimited):
    libc = FakeLibc(errno.EINVAL, 0)
    monkeypatch.setattr(memory_lock, "_libc", libc)
    assert memory_lock.lock_memory() == "memory is locked"
    assert libc.flags == [7, 3]


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOMEM])
def test_any_other_refusal_is_said_and_not_tried_again(monkeypatch, unlimited, code):
    libc = FakeLibc(code)
    monkeypatch.setattr(memory_lock, "_libc", libc)
    assert memory_lock.lock_memory() == f"memory is not locked: {os.strerror(code)}"
    assert libc.flags == [7]


def test_a_kernel_that_refuses_both_is_believed(monkeypatch, unlimited):
    monkeypatch.setattr(memory_lock, "_libc", FakeLibc(errno.EINVAL, errno.EINVAL))
    assert memory_lock.lock_memory() == f"memory is not locked: {os.strerror(errno.EINVAL)}"
