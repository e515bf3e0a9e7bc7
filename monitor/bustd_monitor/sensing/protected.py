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
    """Reads the groups directly below `root`: no group below them has more protection than its top-level group.

    They are read once a minute; while little is available every ten seconds, and once a second where any of them has a
    protection.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._due_ms: int | None = None
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
        by_min = by_low = 0
        try:
            names = [name for name, _ in zip(cgroups.names_below(self._root), range(_MOST_GROUPS), strict=False)]
        except OSError:  # a lack of descriptors: what was known is the best there is
            return self.held
        for name in names:
            folder = f"{self._root}/{name}"
            least = amount(f"{folder}/memory.min") or 0
            low = max(amount(f"{folder}/memory.low") or 0, least)
            stat = cgroup_memory.parse_stat(contents(f"{folder}/memory.stat")) if low else None
            if stat is not None:
                current, cache = amount(f"{folder}/memory.current") or 0, stat.cache + stat.slab_reclaimable
                by_min += held_back(least, current, cache)
                by_low += held_back(low, current, cache)
        return Held(by_min, by_low)
