"""Whether the machine itself ran: a process that looks at the clock every 50 ms, locked and at real-time priority.

Where it got no turn, no other program can be blamed for being late. The probe does the same in a scenario; this one is
there for all other steps.
"""

import mmap
import os
import time

import machine

_EVERY_S = 0.05
_BEGUN, _LAST, _LONGEST = range(3)
"""What both processes share: since when it counts, the last beat, the longest time without one. Monotonic ns."""


class Heartbeat:
    """Start it once; it beats until the machine is switched off."""

    def __init__(self):
        self._shared = memoryview(mmap.mmap(-1, 24)).cast("Q")
        self.begin()
        beat(self._shared, time.monotonic_ns())
        if os.fork() == 0:
            _beat_for_ever(self._shared)

    def begin(self):
        """From now on it counts."""
        self._shared[_LONGEST] = 0
        self._shared[_BEGUN] = time.monotonic_ns()

    def stood_still_ms(self):
        """The longest without a beat since then."""
        return longest_ns(self._shared, time.monotonic_ns()) // 1_000_000


def beat(shared, now_ns):
    """One more: what was before `begin` does not count."""
    shared[_LONGEST] = longest_ns(shared, now_ns)
    shared[_LAST] = now_ns


def longest_ns(shared, now_ns):
    """One that has not ended yet counts too: the other processor may run meanwhile."""
    return max(shared[_LONGEST], now_ns - max(shared[_LAST], shared[_BEGUN]))


def _beat_for_ever(shared):
    try:
        machine.lock_memory(only_used=True)
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
        while True:
            beat(shared, time.monotonic_ns())
            time.sleep(_EVERY_S)
    finally:
        os._exit(1)
