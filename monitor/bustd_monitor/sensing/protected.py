"""Page cache that counts as available and can't be had: what memory.min and memory.low hold back.

MemAvailable of /proc/meminfo is free memory above the watermarks of all zones, plus page cache and slab that could be
reclaimed (si_mem_available() in mm/show_mem.c). It knows nothing of control groups. What memory.min protects is never
reclaimed. What memory.low protects is, but only where nothing else can be (Documentation/admin-guide/cgroup-v2.rst);
until then the other programs thrash on what is left.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroup_memory, cgroups

from .contents import amount, contents

_MOST_GROUPS = 64
SELDOM_MS, OFTEN_MS = 60_000, 1000
_NEAR_MS = 10_000
"""A protection may be new, and little is available."""


class Held(NamedTuple):
    """Bytes of cache that memory.min holds back, and those that memory.min and memory.low hold back together."""

    by_min: int = 0
    by_low: int = 0


NOTHING = Held()


def held_back(protection: int, current: int, cache: int) -> int:
    """Bytes of `cache` that stay: what is used beyond the protection is reclaimed first."""
    return min(max(min(protection, current) - max(current - cache, 0), 0), cache)


class Protected:
    """Reads the groups directly below `root`, and below those that have a protection, because no other group has one.

    A group's own figures say what stays if all in it is protected alike. Where groups below it have protections of
    their own, these come first (memory_recursiveprot in cgroup-v2.rst), so the larger of both is what stays.

    They are read once a minute; while little is available every ten seconds, and once a second where any of them has a
    protection.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._due_ms: int | None = None
        self._left = 0
        """How many more groups are read this time."""
        self.held = NOTHING
        """As it was read last."""

    def read(self, now_ms: int, *, is_near: bool = False) -> Held:
        """What is held back. `now_ms` is monotonic; `is_near`: little is available."""
        if not self._root:
            return NOTHING
        period_ms = SELDOM_MS if not is_near else _NEAR_MS if self.held == NOTHING else OFTEN_MS
        if self._due_ms is None or not 0 <= now_ms - self._due_ms < period_ms:
            self._due_ms = now_ms
            self.held = self._read()
        return self.held

    def _read(self) -> Held:
        self._left = _MOST_GROUPS
        try:
            return self._below(self._root)
        except OSError:  # a lack of descriptors: what was known is the best there is
            return self.held

    def _below(self, folder: str) -> Held:
        """What the groups directly below hold back together."""
        by_min = by_low = 0
        for name in cgroups.names_below(folder):
            if self._left == 0:
                break
            self._left -= 1
            held = self._of(f"{folder}/{name}")
            by_min, by_low = by_min + held.by_min, by_low + held.by_low
        return Held(by_min, by_low)

    def _of(self, folder: str) -> Held:
        least = amount(f"{folder}/memory.min") or 0
        low = max(amount(f"{folder}/memory.low") or 0, least)
        stat = cgroup_memory.parse_stat(contents(f"{folder}/memory.stat")) if low else None
        if stat is None:
            return NOTHING
        current, cache = amount(f"{folder}/memory.current") or 0, stat.cache + stat.slab_reclaimable
        below = self._below(folder)
        return Held(
            max(held_back(least, current, cache), min(below.by_min, least, cache)),
            max(held_back(low, current, cache), min(below.by_low, low, cache)),
        )
