"""The memory of one control group, as both daemons read it: its limits, its use, and what is available to it.

Unified hierarchy only (Documentation/admin-guide/cgroup-v2.rst). The limit is the lower of memory.max, where the kernel
kills, and memory.high, where it throttles processes that allocate. The limits of the groups above count too, and there
the use of all their members counts. Limits can change at any time, so every reading reads them again.
"""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple

from . import procfs
from .pressure import MemoryPressure, parse_pressure, refaults

NO_LIMIT = 2**63 - 1
_MOST_BYTES = 16384
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_NAMES = ("memory.max", "memory.high", "memory.current", "memory.stat", "memory.swap.max", "memory.swap.current")
_MAX, _HIGH, _CURRENT, _STAT, _SWAP_MAX, _SWAP_CURRENT = range(len(_NAMES))


class GroupStat(NamedTuple):
    """memory.stat of a group and of the groups below it, in bytes; the last three are running totals.

    `cache`: pages of files other than tmpfs. `swappable`: what the kernel may swap out, tmpfs included.
    """

    anonymous: int
    shared: int
    cache: int
    slab_reclaimable: int
    swappable: int
    refaults_anonymous: int
    refaults_file: int
    reclaimed: int


class Level(NamedTuple):
    """What one group allows and uses, in bytes. `swap_limit` is NO_LIMIT where none is set.

    `limit` is at most RAM, and at least 1: shares are taken of it, and memory.max may be 0.
    """

    limit: int
    current: int
    reclaimable: int = 0
    swap_limit: int = NO_LIMIT
    swap_current: int = 0

    @property
    def available(self) -> int:
        """What can be allocated without swapping, computed as the kernel computes MemAvailable.

        It is free memory plus the page cache and slab that can be reclaimed (si_mem_available() in mm/show_mem.c). The
        kernel subtracts the machine's watermarks there; a group has none.
        """
        return min(max(self.limit - self.current + self.reclaimable, 0), self.limit)


class GroupMemory(NamedTuple):
    """A reading of a group in the terms of /proc/meminfo: `meminfo.total` is the limit that is nearest.

    `stat` None: nothing else was read, because enough memory is free. Then `available` is a lower bound of the true
    value, and `total` is the most that user space can have.
    """

    meminfo: procfs.Meminfo
    stat: GroupStat | None
    pressure: MemoryPressure | None


def parse_amount(data: bytes) -> int | None:
    """Parse a file that holds one amount in bytes, or `max` (NO_LIMIT). None for anything else."""
    word = data.strip()
    if word == b"max":
        return NO_LIMIT
    return min(int(word), NO_LIMIT) if word.isdigit() and len(word) < 24 else None


def parse_stat(data: bytes) -> GroupStat | None:
    """Parse memory.stat; a missing line counts as 0. None if the line `anon` is missing."""
    anonymous = procfs.number_after(data, b"anon ")
    if anonymous is None:
        return None
    refaults_anonymous, refaults_file = refaults(data)

    def amount(name: bytes) -> int:
        return procfs.number_after(data, name) or 0

    return GroupStat(
        anonymous=anonymous,
        shared=amount(b"shmem "),
        cache=amount(b"active_file ") + amount(b"inactive_file "),
        slab_reclaimable=amount(b"slab_reclaimable "),
        swappable=amount(b"active_anon ") + amount(b"inactive_anon "),
        refaults_anonymous=refaults_anonymous * _PAGE_BYTES,
        refaults_file=(refaults_file or 0) * _PAGE_BYTES,
        reclaimed=amount(b"pgsteal ") * _PAGE_BYTES,
    )


def combined(levels: tuple[Level, ...], anonymous: int, machine: procfs.Meminfo) -> procfs.Meminfo:
    """The memory of the group `levels[0]`, which holds `anonymous` bytes; the other levels are the groups above it.

    The nearest limit is that of the level where the least is available. Swap counts as far as all levels permit it.
    """
    nearest = min(levels, key=lambda level: level.available)
    swap_left = (max(level.swap_limit - level.swap_current, 0) for level in levels)
    swap_total = min(machine.swap_total, *(level.swap_limit for level in levels))
    return procfs.Meminfo(
        total=nearest.limit,
        free=max(nearest.limit - nearest.current, 0),
        available=nearest.available,
        anonymous=min(anonymous, nearest.limit),
        swap_total=swap_total,
        swap_free=min(machine.swap_free, swap_total, *swap_left),
    )


class GroupFiles:
    """The files of a group and of the groups above it, and /proc/meminfo.

    They are kept open, because in a crisis there may be no free descriptor. `is_there` False: at the last reading the
    group did not exist. A new group of the same path is found by the next reading.
    """

    def __init__(self, root: str, group: str, proc: str = "/proc") -> None:
        """`group`: its path in the hierarchy that is mounted at `root`. Raises OSError without /proc/meminfo."""
        names = [name for name in group.split("/") if name]
        self._folders = [f"{root}/{'/'.join(names[:depth])}" for depth in range(len(names), -1, -1)]
        self._meminfo = os.open(f"{proc}/meminfo", os.O_RDONLY | os.O_CLOEXEC)
        self._levels: list[list[int]] = []
        self._pressure = -1
        self.is_there = True
        self._open()

    def read(self, enough_free_percent: float = 100) -> GroupMemory | None:
        """A reading of this moment. None if the group does not exist, or a file can't be understood.

        While more than `enough_free_percent` of the limit is unused, only the limits and the use are read:
        memory.stat costs the kernel the most.
        """
        machine = procfs.parse_meminfo(_read(self._meminfo))
        if machine is None:
            return None
        levels = self._levels_now(machine.total)
        if not levels:
            self.close_group()
            self._open()
            levels = self._levels_now(machine.total)
        self.is_there = bool(levels)
        if not levels:
            return None
        least, free = min(level.limit for _, level in levels), min(level.limit - level.current for _, level in levels)
        if free * 100 > least * enough_free_percent:
            return GroupMemory(procfs.Meminfo(least, free, free, least - free, 0, 0), None, None)
        return self._whole(levels, machine)

    def limit_and_ram(self) -> tuple[int, int]:
        """The lowest of the limits, and the machine's RAM. Raises ValueError where one of them can't be read."""
        machine = procfs.parse_meminfo(_read(self._meminfo))
        levels = self._levels_now(machine.total) if machine else []
        if machine is None or not levels:
            raise ValueError("unreadable")
        return min(level.limit for _, level in levels), machine.total

    def close_group(self) -> None:
        """Close the files of the group and of the groups above it."""
        for descriptor in (self._pressure, *(one for files in self._levels for one in files)):
            if descriptor >= 0:
                os.close(descriptor)
        self._levels, self._pressure = [], -1

    def close(self) -> None:
        """Close all files."""
        self.close_group()
        os.close(self._meminfo)

    def _open(self) -> None:
        self._pressure = _opened(f"{self._folders[0]}/memory.pressure")
        self._levels = [[_opened(f"{folder}/{name}") for name in _NAMES] for folder in self._folders]

    def _levels_now(self, ram: int) -> list[tuple[list[int], Level]]:
        """The group and the groups above it, with their files; empty if the group does not exist.

        Levels without these files are left out: the root of the hierarchy has none, and a container may hide the groups
        above its own.
        """
        levels = []
        for place, files in enumerate(self._levels):
            limit, current = parse_amount(_read(files[_MAX])), parse_amount(_read(files[_CURRENT]))
            if limit is not None and current is not None:
                high = parse_amount(_read(files[_HIGH]))
                limit = max(min(limit, NO_LIMIT if high is None else high, ram), 1)
                # The use of a group above counts only where that group has a limit.
                levels.append((files, Level(limit, current if limit < ram or not place else 0)))
            elif not place:
                return []
        return levels

    def _whole(self, levels: list[tuple[list[int], Level]], machine: procfs.Meminfo) -> GroupMemory | None:
        own: GroupStat | None = None
        whole = []
        for files, level in levels:
            if own is None or level.current:
                stat = parse_stat(_read(files[_STAT]))
                if stat is None:
                    return None
                own = own or stat
                level = level._replace(reclaimable=stat.cache + stat.slab_reclaimable)
            limit = parse_amount(_read(files[_SWAP_MAX]))
            current = parse_amount(_read(files[_SWAP_CURRENT])) or 0
            whole.append(level._replace(swap_limit=NO_LIMIT if limit is None else limit, swap_current=current))
        if own is None:
            return None
        pressure = parse_pressure(_read(self._pressure))
        return GroupMemory(combined(tuple(whole), own.anonymous, machine), own, pressure)


def _opened(path: str) -> int:
    """The descriptor, -1 if there is no such file or it may not be opened."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _read(descriptor: int) -> bytes:
    """The file's bytes, none where they can't be read: ENODEV, the group is gone; EOPNOTSUPP, PSI is off."""
    if descriptor < 0:
        return b""
    try:
        return os.pread(descriptor, _MOST_BYTES, 0)
    except OSError:
        return b""
