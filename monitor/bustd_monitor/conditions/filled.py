"""What fills memory and is held by no process: tmpfs, huge pages, the kernel, a balloon; or swap that went away.

No death gives it back. So it is followed for a minute, and a decision names it where no process grows: what has grown,
and what is much of memory already, however slowly it came to that.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading

_APART_MS, _LONGEST_MS = 5000, 75_000
"""A minute, and some more: a calm monitor reads these amounts every 60 to 70 s."""


class Filled(NamedTuple):
    """Bytes by which each has grown, or that it holds; `ram_lost` and `swap_lost`: by which the totals have shrunk.

    `shared`: also what was swapped out of the files of a tmpfs. `other`: memory that no line of /proc/meminfo explains;
    drivers take it, and balloons. What swap takes that is compressed belongs to those whose memory it is. Where the
    kernel's own memory was not read, that is among it.
    """

    shared: int = 0
    hugetlb: int = 0
    kernel: int = 0
    other: int = 0
    ram_lost: int = 0
    swap_lost: int = 0

    @property
    def together(self) -> int:
        """All of it."""
        return sum(self)


NOTHING = Filled()


class Unheld(NamedTuple):
    """What to name where no process grows. `grown`: in the last minute; `held`: all that there is, of RAM `ram`."""

    grown: Filled = NOTHING
    held: Filled = NOTHING
    ram: int = 0


UNKNOWN = Unheld()
"""A process grows, so nothing else is to be named."""

Fillers = tuple[tuple[int, Filled], ...]
"""Samples of the last minute: milliseconds of the monotonic clock, and the amounts then, with totals negated."""


def advanced(fillers: Fillers, reading: Reading, now_ms: int) -> Fillers:
    """The samples after one more reading. Where only sysinfo was read, nothing is known of it."""
    if not reading.is_whole:
        return fillers
    if fillers and 0 <= now_ms - fillers[-1][0] < _APART_MS:
        return fillers
    kept = tuple(sample for sample in fillers if 0 <= now_ms - sample[0] <= _LONGEST_MS)
    return (*kept, (now_ms, amounts(reading)))


def grown(fillers: Fillers, reading: Reading) -> Filled:
    """What has grown since the least of the last minute."""
    if not fillers or not reading.is_whole:
        return NOTHING
    least = Filled(*(min(column) for column in zip(*(sample for _, sample in fillers), strict=True)))
    return difference(reading, least)


def unheld(fillers: Fillers, reading: Reading) -> Unheld:
    """What to name. Free memory below the watermarks is not available, and is held by nobody either.

    Where the kernel's own memory was not read, how much drivers hold beside it is not known.
    """
    if not reading.is_whole:
        return UNKNOWN
    held = amounts(reading)
    other = max(held.other - max(reading.free - reading.available, 0), 0) if reading.kernel else 0
    held = held._replace(shared=reading.shared, other=other, ram_lost=0, swap_lost=0)  # in memory
    return Unheld(grown(fillers, reading), held, reading.ram)


def difference(reading: Reading, before: Filled) -> Filled:
    """By how much each is more than it was before; what is less is 0."""
    return Filled(*(max(now - then, 0) for now, then in zip(amounts(reading), before, strict=True)))


def amounts(reading: Reading) -> Filled:
    """What each comes to now; the totals of RAM and swap are negated, so that a loss is a growth."""
    anonymous = max(reading.total - reading.available, 0)
    explained = reading.available + anonymous + reading.page_tables
    explained += reading.compressed + reading.shared + reading.hugetlb + reading.kernel
    other = max(reading.ram - explained, 0)
    shared = max(reading.shared, reading.tmpfs_held)
    return Filled(shared, reading.hugetlb, reading.kernel, other, -reading.ram, -reading.swap_total)
