"""Calm: while memory is plentiful, a wake-up is a quick look at it and integers, and no reading is made.

What a wake-up costs is how much code and how many objects it touches, because all caches are cold by then. So what the
conditions and the pace say is worked out once, after a whole turn of the loop, and holds until the next one: that comes
within a minute, or as soon as a quick look no longer rules everything out.
"""

from __future__ import annotations

from collections.abc import Callable

from .conditions import table
from .conditions.finding import Finding, Seen
from .config import MonitorConfig
from .deciding import pace
from .sensing.quick_look import QuickLook
from .sensing.reading import lower_bound

LONGEST_MS = 60_000
"""From one whole turn to the next."""
_LARGEST_LOSS = 16
"""Where more than this part of RAM is gone since the last whole turn, another one is made: memory fills up."""


class Calm:
    """Times are monotonic milliseconds. `quick_look` None: every wake-up takes a whole turn."""

    def __init__(self, quick_look: QuickLook | None) -> None:
        self._quick_look = quick_look
        self._measure: Callable[[], int] = int
        self._due_ms = -1
        self._wait_ms = self._shortest_ms = self._fill_per_second = 1
        self._before = self._least = 0

    def begin(
        self, ram: int, found: tuple[Finding, ...], config: MonitorConfig, fill_per_second: int, due_ms: int
    ) -> None:
        """A whole turn has found nothing scarce: quick looks may follow until `due_ms`. `fill_per_second`: see pace.

        None follow while memory fills so fast that a condition needs another reading before the pace would give one.
        """
        self._due_ms = -1
        if self._quick_look is None:
            return
        free, enough_percent = 0, table.enough_available_percent(config.conditions)
        measure, amount = self._quick_look.available_bytes, self._quick_look.available_bytes()
        if self._quick_look.sysinfo_is_usable:
            surely = self._quick_look.free_bytes()
            if surely * 4 >= amount * 3:  # the cheapest look, unless sleeps would be much shorter by it
                free, enough_percent = surely, table.enough_free_percent(config.conditions)
                measure, amount = self._quick_look.free_bytes, surely
        least = int(ram * enough_percent / 100)
        if amount <= least:
            return
        # Less than whatever else a reading would show: no sleep is longer than after a reading.
        certain = Seen(lower_bound(ram, free, amount))
        wait_ms = pace.sleep_ms(table.findings(certain, config.conditions), config.sleep, fill_per_second)
        if any(one.look_again_ms is not None and one.look_again_ms < wait_ms for one in found):
            return
        self._measure = measure
        self._before, self._least = amount, max(least, amount - ram // _LARGEST_LOSS)
        self._wait_ms, self._shortest_ms = wait_ms, config.sleep.shortest_ms
        self._fill_per_second = fill_per_second
        self._due_ms = due_ms

    def end(self) -> None:
        """Something has happened: the next turn is a whole one."""
        self._due_ms = -1

    def sleep_ms(self, now_ms: int) -> int:
        """A quick look: how long to sleep after it; 0: look closely.

        The sleep is that of the last whole turn, less the time in which programs could take what was taken since.
        """
        left_ms = self._due_ms - now_ms
        if left_ms <= 0:
            return 0
        amount = self._measure()
        if amount <= self._least:
            return 0
        wait_ms = self._wait_ms
        if amount < self._before:
            wait_ms += (amount - self._before) * 1000 // self._fill_per_second
            if wait_ms < self._shortest_ms:
                wait_ms = self._shortest_ms
        return wait_ms if wait_ms < left_ms else left_ms
