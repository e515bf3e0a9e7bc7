"""One control group from one look to the next: its stalls, and whether it meets a limit of its own.

memory.events counts for the group and all below it how often memory.high and memory.max were met, memory.events.local
for the group alone (Documentation/admin-guide/cgroup-v2.rst).
"""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.pressure import parse_pressure, refaults
from bustd_shared.kernel.procfs import number_after

from .held_file import HeldFile

STICKS_MS = 2500
"""A group that has met a limit stays limited for this long: the kernel lets a program sleep for up to 2 s at one
memory.high, and in that time counts nothing (MEMCG_MAX_HIGH_DELAY_JIFFIES in mm/memcontrol.c)."""
_EVENTS_BYTES, _PRESSURE_BYTES, _STAT_BYTES = 512, 512, 16_384
_LONG_AGO_MS = -(2**60)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Grown(NamedTuple):
    """What has grown since the look before: stalls in microseconds, and refaults in bytes while it is limited."""

    some_us: int = 0
    full_us: int = 0
    anonymous: int = 0
    file: int = 0


class TrackedGroup:
    """Its files are opened once. `path` is its directory; `now_ms` is monotonic.

    `is_gone`: it has no PSI file any more. `has_limited_below`: since the look before a group below it has met a limit,
    and not the group itself.
    """

    def __init__(self, path: str, now_ms: int) -> None:
        self.path = path
        self._events = HeldFile(f"{path}/memory.events", _EVENTS_BYTES)
        self._local = HeldFile(f"{path}/memory.events.local", _EVENTS_BYTES)
        self._pressure = HeldFile(f"{path}/memory.pressure", _PRESSURE_BYTES)
        self._stat: HeldFile | None = None
        self._refaults: tuple[int, int] | None = None
        self._met, self._met_itself = limits_met(self._events.read()), limits_met(self._local.read())
        pressure = parse_pressure(self._pressure.read())
        self.is_gone = pressure is None
        self._some_us, self._full_us = (pressure.some_total_us, pressure.full_total_us) if pressure else (0, 0)
        # One that has ever met a limit may be about to meet it again: it must show first that it does not.
        self._limited_ms = now_ms if self._met_itself else _LONG_AGO_MS
        self.has_limited_below = self._met > self._met_itself

    def is_limited(self, now_ms: int) -> bool:
        """Whether it has met a limit of its own in the last seconds."""
        return now_ms - self._limited_ms <= STICKS_MS

    def look(self, now_ms: int) -> Grown:
        """What has grown since the look before."""
        met = limits_met(self._events.read())
        self.has_limited_below = False
        if met > self._met:
            met_itself = limits_met(self._local.read())
            if met_itself > self._met_itself or not self._local.is_open:  # Linux 5.1 and before have no such file
                self._limited_ms = now_ms
            else:
                self.has_limited_below = True
            self._met_itself = met_itself
        self._met = met
        pressure = parse_pressure(self._pressure.read())
        self.is_gone = pressure is None
        if pressure is None:
            return Grown()
        some_us, full_us = pressure.some_total_us - self._some_us, pressure.full_total_us - self._full_us
        self._some_us, self._full_us = pressure.some_total_us, pressure.full_total_us
        return Grown(max(some_us, 0), max(full_us, 0), *self._refaulted(now_ms))

    def close(self) -> None:
        """Close the files."""
        for held in (self._events, self._local, self._pressure, self._stat):
            if held is not None:
                held.close()

    def _refaulted(self, now_ms: int) -> tuple[int, int]:
        """Its refaults since the look before. memory.stat costs the most, so it is read only of a limited group."""
        if not self.is_limited(now_ms):
            self._refaults = None
            return 0, 0
        if self._stat is None:
            self._stat = HeldFile(f"{self.path}/memory.stat", _STAT_BYTES)
        anonymous, file = refaults(self._stat.read())
        before, self._refaults = self._refaults, (anonymous, file or 0)
        if before is None:
            return 0, 0
        return max(anonymous - before[0], 0) * _PAGE_BYTES, max((file or 0) - before[1], 0) * _PAGE_BYTES


def limits_met(data: bytes) -> int:
    """How often memory.high or memory.max was met, from memory.events or memory.events.local; 0 without the file."""
    return (number_after(data, b"high ") or 0) + (number_after(data, b"max ") or 0)
