"""Memory after the lockdown: it can be had, and the stack can grow."""

import ctypes
import resource
import threading
from pathlib import Path

import pytest

from bustd_killer import lockdown
from tests.unit.shared.forked import in_child


def deep(depth: int) -> int:
    return 0 if depth == 0 else 1 + deep(depth - 1)


@pytest.mark.parametrize("limit", [None, 65536])
def test_after_the_lockdown_memory_can_be_had_and_the_stack_can_grow(limit):
    """With more locked than RLIMIT_MEMLOCK allows, the first would fail and the second be a SIGSEGV."""

    def use_memory():
        kept = bytes([1]) * (8 << 20)
        libc = ctypes.CDLL(None)
        libc.qsort.restype = None
        compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
        depths: list[int] = []

        def call_back(_one, _other):
            # Through C and back at every level, so that it is the real stack that grows: 200 levels are megabytes.
            depths.append(len(depths))
            if len(depths) < 200:
                array = (ctypes.c_int * 2)(1, 2)
                libc.qsort(array, 2, 4, compare(call_back))
            return 0

        array = (ctypes.c_int * 2)(1, 2)
        libc.qsort(array, 2, 4, compare(call_back))
        reached = []
        threading.stack_size(4 << 20)
        thread = threading.Thread(target=lambda: reached.append(deep(900)))
        thread.start()
        thread.join()
        return len(kept), len(depths), reached, stack_kib()

    def locked():
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        before = stack_kib()
        lockdown.lock_down(lambda _: None)
        return *use_memory(), before

    kept, levels, reached, after_kib, before_kib = in_child(locked)
    assert (kept, reached) == (8 << 20, [900])
    assert levels >= 200
    assert after_kib > before_kib + 64, "the stack did not have to grow: this shows nothing"


def stack_kib() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmStk:"):
            return int(line.split()[1])
    raise AssertionError("no VmStk")
