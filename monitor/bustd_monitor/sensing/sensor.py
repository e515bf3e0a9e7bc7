"""One reading of the machine, the cheapest source first: sysinfo, /proc/meminfo, PSI, /proc/vmstat."""

from __future__ import annotations

import time
from collections.abc import Callable

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, procfs
from bustd_shared.kernel.pressure import MemoryPressure, parse_pressure

from .arc import Arc
from .group_stalls import GroupStalls
from .held_file import HeldFile
from .meminfo import parse_swappable, parse_unfreeable
from .nodes import Nodes
from .protected import OFTEN_MS, SELDOM_MS, Protected
from .quick_look import QuickLook
from .reading import Reading, Refaults, Unlimited, lower_bound
from .swaps import Swaps
from .sysinfo import read_sysinfo
from .tmpfs import Tmpfs
from .vmstat import VMSTAT_BYTES, parse_oom_kills, parse_vmstat
from .watermarks import watermark_bytes

_MEMINFO_BYTES = 8192
_PRESSURE_BYTES = 512
_REFAULTS_BELOW_PERCENT = 40
"""While more is available than the killer ever accepts as a shortage, refaults are not needed."""

_STALLS_JUDGED_MS, _STALLS_US_PER_MS = 1000, 100
"""A tenth of a second or more."""


class Unreadable(Exception):
    """This machine does not show what bustd must know; the message is a sentence that says why."""


class SeldomRead(NamedTuple):
    """Fields of a reading that are read once a second at most.

    While memory is plentiful, and there is one node, once a minute.
    """

    oom_kills: int = 0
    full_node: int = -1


class Sensor:
    """Reads the machine's memory. The files are opened once. `proc` is where procfs is mounted, `sys` sysfs."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys", clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._meminfo = HeldFile(f"{proc}/meminfo", _MEMINFO_BYTES)
        if self._meminfo.trouble:
            raise Unreadable(self._meminfo.trouble.replace("meminfo:", "meminfo can't be read:"))
        meminfo = procfs.parse_meminfo(self._meminfo.read())
        if meminfo is None or meminfo.available is None:
            self._meminfo.close()
            lack = "MemTotal" if meminfo is None else "MemAvailable: free memory alone says nothing about trouble"
            raise Unreadable(f"{proc}/meminfo has no {lack}")
        self._watermark_bytes = watermark_bytes(meminfo.total, proc)
        self.sysinfo_is_usable = read_sysinfo().total == meminfo.total
        """False under lxcfs, which shows a container its own meminfo while sysinfo counts the whole machine."""
        self._pressure = HeldFile(f"{proc}/pressure/memory", _PRESSURE_BYTES)
        self.pressure_trouble = ""
        """Why there is no PSI, "" if there is."""
        if parse_pressure(self._pressure.read()) is None:  # EOPNOTSUPP: PSI is compiled in and switched off
            why = f"{self._pressure.trouble} (boot with psi=1)" if self._pressure.trouble else ""
            self.pressure_trouble = why or f"{proc}/pressure/memory has no line that begins with `some`"
        self._arc = Arc(meminfo.total, self._watermark_bytes, proc)
        self._swaps, self._tmpfs = Swaps(proc, sys), Tmpfs(proc)
        self._clock_ns = clock_ns
        hierarchy = cgroups.hierarchy(f"{sys}/fs/cgroup")
        self._group_stalls, self._protected = GroupStalls(hierarchy, proc), Protected(hierarchy)
        self._stall_mark = (0, -1)
        self._is_stalling = False
        self._vmstat = HeldFile(f"{proc}/vmstat", VMSTAT_BYTES)
        self.quick_look: QuickLook | None = QuickLook(
            self._meminfo, self._arc, self._protected, self._watermark_bytes, sysinfo_is_usable=self.sysinfo_is_usable
        )
        self._proc, self._watermarks_read_ms = proc, clock_ns() // 1_000_000
        self._stalled_us = -1
        self._nodes = Nodes(sys, proc)
        if self._nodes.are_several:
            self.quick_look = None  # of the machine as a whole: a node can be full, and it shows nothing
        self._seldom_read, self._seldom_read_ms = SeldomRead(), -SELDOM_MS
        self._last_refaults: Refaults | None = None

    def read(self, enough_free_percent: float = 100) -> Reading | None:
        """A reading of this moment; None if /proc/meminfo can't be understood.

        Free memory above the watermarks is available in any case. While that is more than `enough_free_percent` of RAM
        there can be no shortage, and only sysinfo is read. By default everything is read.
        """
        now_ms = self._clock_ns() // 1_000_000
        self._read_watermarks(now_ms)
        quick = read_sysinfo() if self.sysinfo_is_usable and enough_free_percent < 100 else None
        if quick is not None:
            available = quick.free - self._watermark_bytes
            if available * 100 > quick.total * enough_free_percent:
                bound = lower_bound(quick.total, quick.free, available, quick.swap_total)
                every_ms = OFTEN_MS if self._nodes.are_several else SELDOM_MS
                return bound._replace(**self._read_seldom(now_ms, every_ms)._asdict())
        data = self._meminfo.read()
        meminfo = procfs.parse_meminfo(data)
        if meminfo is None or meminfo.available is None:
            return None
        unfreeable = parse_unfreeable(data)
        pressure = parse_pressure(self._pressure.read())
        held = self._protected.read(now_ms)
        certain = max(meminfo.available - held.by_low, 0)  # whatever is held back
        may_be_scarce = certain * 100 <= meminfo._replace(available=certain).user_space * _REFAULTS_BELOW_PERCENT
        if may_be_scarce:
            held = self._protected.read(now_ms, is_near=True)
        unlimited = self._unlimited(pressure, may_be_scarce, now_ms)
        is_stalling = may_be_scarce and self._stalls(pressure, unlimited, now_ms)
        available = max(meminfo.available - (held.by_low if is_stalling else held.by_min), 0)
        of_zfs = self._arc.available_bytes(available, now_ms, is_stalling=is_stalling)
        available = min(available + of_zfs, meminfo.total)
        total = meminfo._replace(available=available).user_space
        in_tmpfs = self._tmpfs.held_bytes()
        return Reading(
            ram=meminfo.total,
            free=meminfo.free if quick is None else quick.free,
            total=total,
            available=available,
            swap_total=meminfo.swap_total,
            swap_free=meminfo.swap_free,
            pressure=pressure,
            swap_usable=self._swap_usable(meminfo, data),
            compressed=unfreeable.zswap + self._swaps.taken_bytes,
            shared=unfreeable.shared,
            hugetlb=unfreeable.hugetlb,
            kernel=unfreeable.kernel,
            page_tables=unfreeable.page_tables,
            refaults=self._refaults(pressure, may_be_scarce),
            unlimited=unlimited,
            tmpfs=min(in_tmpfs, unfreeable.shared),
            tmpfs_held=in_tmpfs,
            fullest_tmpfs=self._tmpfs.fullest,
            **self._read_seldom(now_ms, OFTEN_MS)._asdict(),
        )

    def close(self) -> None:
        """Close the files."""
        self._group_stalls.end()
        for held in (self._meminfo, self._pressure, self._arc, self._swaps, self._vmstat, self._tmpfs, self._nodes):
            held.close()

    def _swap_usable(self, meminfo: procfs.Meminfo, data: bytes) -> int:
        if not meminfo.swap_total:
            self._swaps.taken_bytes = 0
            return 0
        return self._swaps.usable_bytes(meminfo.swap_total, meminfo.swap_free, parse_swappable(data))

    def _read_watermarks(self, now_ms: int) -> None:
        """They move with vm.min_free_kbytes and with the memory that is plugged in."""
        if now_ms - self._watermarks_read_ms >= SELDOM_MS:
            self._watermarks_read_ms = now_ms
            meminfo = procfs.parse_meminfo(self._meminfo.read())
            if meminfo is not None:
                self._watermark_bytes = watermark_bytes(meminfo.total, self._proc)
                self._nodes.read_watermarks()
                if self.quick_look is not None:
                    self.quick_look.watermark_bytes = self._watermark_bytes

    def _read_seldom(self, now_ms: int, every_ms: int) -> SeldomRead:
        if now_ms - self._seldom_read_ms >= every_ms:
            self._seldom_read_ms = now_ms
            self._seldom_read = SeldomRead(parse_oom_kills(self._vmstat.read()), self._nodes.full())
        return self._seldom_read

    def _stalls(self, pressure: MemoryPressure | None, unlimited: Unlimited | None, now_ms: int) -> bool:
        """Whether programs at no limit of their own stalled in the last second or two."""
        if pressure is None:
            return False
        some_us = pressure.some_total_us if unlimited is None else unlimited.some_total_us
        marked_ms, marked_us = self._stall_mark
        elapsed_ms = now_ms - marked_ms
        if elapsed_ms >= _STALLS_JUDGED_MS or marked_us < 0:
            is_known = marked_us >= 0 and elapsed_ms <= 2 * _STALLS_JUDGED_MS
            self._is_stalling = is_known and some_us - marked_us >= _STALLS_US_PER_MS * elapsed_ms
            self._stall_mark = (now_ms, some_us)
        return self._is_stalling

    def _unlimited(self, pressure: MemoryPressure | None, may_be_scarce: bool, now_ms: int) -> Unlimited | None:
        """The stalls of programs that meet no limit of their own, read only where memory may be scarce."""
        if pressure is None or not may_be_scarce:
            self._group_stalls.end()
            return None
        return self._group_stalls.read(pressure, now_ms)

    def _refaults(self, pressure: MemoryPressure | None, may_be_scarce: bool) -> Refaults | None:
        """The refaults, read only where memory may be scarce and a program has stalled since they were read last."""
        stalled_us = pressure.some_total_us if pressure is not None else -1
        if not may_be_scarce or pressure is None:
            self._last_refaults = None
        elif self._last_refaults is None or stalled_us != self._stalled_us:
            self._last_refaults = parse_vmstat(self._vmstat.read())
        self._stalled_us = stalled_us
        return self._last_refaults
