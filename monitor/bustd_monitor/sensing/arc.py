"""The cache of ZFS (ARC), which MemAvailable leaves out: ZFS frees what is above the cache's minimum on demand.

Not always: while programs stall and the cache does not shrink, it is not available. On a larger machine that shows
earlier. ZFS keeps a 64th of RAM or more free (zfs_arc_sys_free, zfs(4)): where much less is left, it does not shrink.
"""

from __future__ import annotations

from .held_file import HeldFile

_ARCSTATS_BYTES = 16_384
_JUDGED_MS = 2000
_SHRINKS_BY = 64
"""A cache that shrinks shrinks by this part of it at least, in the time in which it is judged."""
_TIMES_THE_REST = 15
"""No more of it counts. With the 64th of RAM less the watermarks, at least 12 % of RAM can be available then."""
_LARGEST_WATERMARKS = 128
"""Where the watermarks take more than this part of RAM, a 64th may be hardly more than they are: then nothing shows."""


def parse_arcstats(data: bytes) -> int:
    """Bytes above the minimum in /proc/spl/kstat/zfs/arcstats (`size` less `c_min`); 0 if it can't be understood."""
    size, least = _value(data, b"\nsize "), _value(data, b"\nc_min ")
    return max(size - least, 0) if size is not None and least is not None else 0


def _value(data: bytes, name: bytes) -> int | None:
    """The third word of the line, which is: name, type, value."""
    at = data.find(name)
    words = data[at : at + 96].split(None, 3) if at >= 0 else []
    return int(words[2]) if len(words) >= 3 and words[2].isdigit() else None


class Arc:
    """The file is opened once: where there is no ZFS when bustd starts, nothing is ever read."""

    def __init__(self, ram: int, watermark_bytes: int, proc: str = "/proc") -> None:
        """`watermark_bytes`: what is free and not available."""
        self._shows_early = watermark_bytes * _LARGEST_WATERMARKS <= ram
        self._arcstats = HeldFile(f"{proc}/spl/kstat/zfs/arcstats", _ARCSTATS_BYTES)
        self._is_stuck = False
        self._marked: tuple[int, int] | None = None

    def reclaimable_bytes(self, rest: int) -> int:
        """Bytes that ZFS would free. `rest`: bytes that are available without it."""
        if not self._arcstats.is_open:
            return 0
        amount = parse_arcstats(self._arcstats.read())
        return min(amount, _TIMES_THE_REST * rest) if self._shows_early else amount

    def available_bytes(self, rest: int, now_ms: int, *, is_stalling: bool) -> int:
        """The same, but 0 while programs stall and it does not shrink. `now_ms` is monotonic."""
        amount = self.reclaimable_bytes(rest)
        if not is_stalling or not amount:
            self._marked, self._is_stuck = None, False
        elif self._marked is None:
            self._marked = (now_ms, amount)
        elif now_ms - self._marked[0] >= _JUDGED_MS:
            before = self._marked[1]
            self._is_stuck = amount > before - before // _SHRINKS_BY
            self._marked = (now_ms, amount)
        return 0 if self._is_stuck else amount

    def close(self) -> None:
        """Close the file."""
        self._arcstats.close()
