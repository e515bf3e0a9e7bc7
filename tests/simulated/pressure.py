"""PSI as the kernel computes it (kernel/sched/psi.c, Documentation/accounting/psi.rst)."""

from __future__ import annotations

from collections.abc import Sequence

PERIOD_S = 2.004
"""PSI_FREQ, 2 * HZ + 1 ticks, on a kernel of 250 Hz."""
_FIXED_1, _FIXED_SHIFT, _EXP_10, _EXP_60, _EXP_300 = 1 << 11, 11, 1677, 1981, 2034

Task = tuple[float, float]
"""Which part of its time a task stalls, and which part of the time it does not sleep (stalls included)."""


def shares(tasks: Sequence[Task], cpus: int) -> tuple[float, float]:
    """The shares of a moment in which some and in which all tasks that do not sleep stall for want of memory.

    The tasks are spread over the processors evenly. Each processor counts by the time in which it is not idle.
    """
    some = full = awake = 0.0
    for first in range(min(cpus, len(tasks))):
        nobody_stalls = nobody_runs = nobody_awake = 1.0
        for stalls, is_awake in tasks[first::cpus]:
            nobody_stalls *= 1 - stalls * is_awake
            nobody_runs *= 1 - (1 - stalls) * is_awake
            nobody_awake *= 1 - is_awake
        weight = 1 - nobody_awake
        awake += weight
        some += (1 - nobody_stalls) * weight
        full += max(nobody_runs - nobody_awake, 0.0) * weight
    return (some / awake, full / awake) if awake else (0.0, 0.0)


class Average:
    """The running averages of one line of a PSI file, in the kernel's fixed-point numbers."""

    def __init__(self) -> None:
        self._loads = [0, 0, 0]

    def start(self, avg10: float) -> None:
        """Begin with this average over ten seconds."""
        self._loads[0] = int(avg10 * _FIXED_1)

    def add(self, stalled_s: float, period_s: float) -> None:
        """A period is over, in which tasks have stalled for so long."""
        percent = int(min(stalled_s / period_s, 1.0) * 100) * _FIXED_1
        for place, exponent in enumerate((_EXP_10, _EXP_60, _EXP_300)):
            load = self._loads[place] * exponent + percent * (_FIXED_1 - exponent)
            if percent >= self._loads[place]:
                load += _FIXED_1 - 1
            self._loads[place] = load >> _FIXED_SHIFT

    @property
    def percents(self) -> tuple[float, ...]:
        """avg10, avg60 and avg300, with two digits as the file has them."""
        return tuple((load >> _FIXED_SHIFT) + (load & (_FIXED_1 - 1)) * 100 // _FIXED_1 / 100 for load in self._loads)


class Stalls:
    """The PSI of the machine or of a control group: totals in seconds, and averages."""

    def __init__(self) -> None:
        self.some_s = self.full_s = 0.0
        self._some, self._full = Average(), Average()
        self._marks = (0.0, 0.0)
        self.next_s = self._last_s = 0.0

    def start(self, at_s: float, some_s: float, some_avg10: float) -> None:
        """Begin with this total and average of `some`, and with a period that begins now."""
        self.some_s = some_s
        self._some.start(some_avg10)
        self._marks = some_s, self.full_s
        self._last_s, self.next_s = at_s, at_s + PERIOD_S

    def add(self, some: float, full: float, duration_s: float) -> None:
        """Time in which some and all tasks stalled for these shares of it."""
        self.some_s += some * duration_s
        self.full_s += full * duration_s

    def average(self, now_s: float) -> None:
        """Bring the averages up to date: at the end of each period, whenever it is asked for."""
        while now_s >= self.next_s:
            period_s = max(self.next_s - self._last_s, PERIOD_S)
            self._some.add(self.some_s - self._marks[0], period_s)
            self._full.add(self.full_s - self._marks[1], period_s)
            self._marks = self.some_s, self.full_s
            self._last_s, self.next_s = self.next_s, self.next_s + PERIOD_S

    @property
    def some_avg10(self) -> float:
        return self._some.percents[0]

    @property
    def some_avg60(self) -> float:
        return self._some.percents[1]

    def text(self) -> bytes:
        """The PSI file."""
        lines = []
        for name, average, total_s in (("some", self._some, self.some_s), ("full", self._full, self.full_s)):
            avg10, avg60, avg300 = average.percents
            total_us = int(total_s * 1e6)
            lines.append(f"{name} avg10={avg10:.2f} avg60={avg60:.2f} avg300={avg300:.2f} total={total_us}\n")
        return "".join(lines).encode()


class Trigger:
    """A PSI trigger: more than `threshold_s` of stall within a window of `window_s` (psi_trigger, window_update)."""

    def __init__(self, threshold_s: float, window_s: float = 1.0) -> None:
        self._threshold_s, self._window_s = threshold_s, window_s
        self._start_s = self._start_total_s = self._grown_before_s = 0.0
        self._checked_s, self._fired_s = -1.0, -1e9

    def fires(self, now_s: float, total_s: float) -> bool:
        """Whether it wakes its poller now. The kernel looks ten times in a window, and wakes it once in a window."""
        if now_s < self._checked_s + self._window_s / 10:
            return False
        self._checked_s = now_s
        elapsed_s, grown_s = now_s - self._start_s, total_s - self._start_total_s
        if elapsed_s > self._window_s:
            self._start_s, self._start_total_s, self._grown_before_s = now_s, total_s, grown_s
        else:
            grown_s += self._grown_before_s * (self._window_s - elapsed_s) / self._window_s
        if grown_s < self._threshold_s or now_s < self._fired_s + self._window_s:
            return False
        self._fired_s = now_s
        return True
