"""How fast programs can fill the memory of this machine: measured, because no constant is right for all of them.

Every sleep ends before memory could be used up at this rate. One that is too high costs wake-ups. One that is too low
makes the monitor late: in the simulation, leaks win on machines of every size when it is half of the true one.
"""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable

LEAST, MOST, MOST_WITH_TRIGGERS = 1 << 30, 24 << 30, 6 << 30
"""Bytes a second. In the simulation, with PSI triggers and 64 GiB of RAM or more, it gains nothing to reckon with more
than 6 GiB a second, however fast memory fills; with less RAM it does where programs take 8 GiB a second and more. It
would make the sleeps of all machines up to four times shorter. Without triggers the kernel was first on machines of
every size."""
AGAIN_MS = 3_600_000
_BYTES, _TIMES = 2 << 20, 3
_MARGIN = 2
"""Huge pages are taken faster than the small ones that are measured: 1.5 times on the machine that was looked at."""
_MOST_PROCESSORS = 4
"""More of them wait for the same memory."""


def measured(
    clock_ns: Callable[[], int] = time.thread_time_ns, processors: Callable[[], int | None] = os.cpu_count
) -> int:
    """Bytes a second that all programs together can take; 0 if the kernel gives no memory to measure it with.

    Page faults are timed: 2 MiB of small pages, the best of three times. By the processor time of this thread: the time
    in which it waits, for a processor or for its quota, is not the machine's. All processors of the machine count, not
    only those that the monitor may use. It takes about two milliseconds, and the memory is given back at once.
    """
    try:
        best_ns = min(_filled_in_ns(clock_ns) for _ in range(_TIMES))
    except OSError:
        return 0
    by_one = _BYTES * 1_000_000_000 // max(best_ns, 1)
    return by_one * _MARGIN * min(processors() or _MOST_PROCESSORS, _MOST_PROCESSORS)


def _filled_in_ns(clock_ns: Callable[[], int]) -> int:
    """How long it takes to touch every page of new memory, in one call. Raises OSError."""
    with mmap.mmap(-1, _BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        try:
            memory.madvise(mmap.MADV_NOHUGEPAGE)
        except OSError:
            pass  # EINVAL: this kernel has no huge pages to avoid
        touched = bytes(_BYTES // mmap.PAGESIZE)
        with memoryview(memory) as view:
            before_ns = clock_ns()
            view[:: mmap.PAGESIZE] = touched
            return clock_ns() - before_ns


class FillRate:
    """The rate that the monitor reckons with. It is measured at a quiet moment, and at the first one an hour later.

    It never falls: a measurement can be too low, at boot for instance, but hardly too high. Until it is measured it is
    the highest. Times are monotonic milliseconds.
    """

    def __init__(self, measure: Callable[[], int] = measured) -> None:
        self._measure = measure
        self._measured = self._due_ms = 0

    def per_second(self, configured_mib: int, *, has_triggers: bool) -> int:
        """Bytes a second. `configured_mib`: what the administrator says, 0 if that is nothing."""
        if configured_mib:
            return configured_mib << 20
        most = MOST_WITH_TRIGGERS if has_triggers else MOST
        return max(min(self._measured or most, most), LEAST)

    def measure_when_due(self, now_ms: int, configured_mib: int, *, has_triggers: bool) -> bool:
        """At a quiet moment (pace.is_quiet): measure if that is due and can change anything. Whether it was done."""
        is_highest = self._measured >= (MOST_WITH_TRIGGERS if has_triggers else MOST)
        if configured_mib or is_highest or now_ms < self._due_ms:
            return False
        self._due_ms = now_ms + AGAIN_MS
        self._measured = max(self._measured, self._measure())
        return True
