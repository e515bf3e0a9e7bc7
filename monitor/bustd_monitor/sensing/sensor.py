"""One reading of the machine, the cheapest source first: sysinfo, /proc/meminfo, PSI, /proc/vmstat."""

from __future__ import annotations

from bustd_shared.kernel import procfs
from bustd_shared.kernel.pressure import MemoryPressure, parse_pressure

from .arc import Arc
from .held_file import HeldFile
from .meminfo import parse_swappable, parse_unfreeable
from .quick_look import QuickLook
from .reading import Reading, Refaults, lower_bound
from .swaps import Swaps
from .sysinfo import read_sysinfo
from .tmpfs import Tmpfs
from .vmstat import VMSTAT_BYTES, parse_vmstat
from .watermarks import watermark_bytes

_MEMINFO_BYTES = 8192
_PRESSURE_BYTES = 512
_REFAULTS_BELOW_PERCENT = 40
"""While more is available than the killer ever accepts as a shortage, refaults are not needed."""


class Unreadable(Exception):
    """This machine does not show what bustd must know; the message is a sentence that says why."""


class Sensor:
    """Reads the machine's memory. The files are opened once. `proc` is where procfs is mounted, `sys` sysfs."""

    def __init__(self, proc: str = "/proc", sys: str = "/sys") -> None:
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
        self._arc, self._swaps, self._tmpfs = Arc(proc), Swaps(proc, sys), Tmpfs(proc)
        self._vmstat = HeldFile(f"{proc}/vmstat", VMSTAT_BYTES)
        self.quick_look: QuickLook | None = QuickLook(
            self._meminfo, self._arc, self._watermark_bytes, sysinfo_is_usable=self.sysinfo_is_usable
        )
        self._stalled_us = -1
        self._last_refaults: Refaults | None = None

    def read(self, enough_free_percent: float = 100) -> Reading | None:
        """A reading of this moment; None if /proc/meminfo can't be understood.

        Free memory above the watermarks is available in any case. While that is more than `enough_free_percent` of RAM
        there can be no shortage, and only sysinfo is read. By default everything is read.
        """
        quick = read_sysinfo() if self.sysinfo_is_usable and enough_free_percent < 100 else None
        if quick is not None:
            available = quick.free - self._watermark_bytes
            if available * 100 > quick.total * enough_free_percent:
                return lower_bound(quick.total, quick.free, available)
        data = self._meminfo.read()
        meminfo = procfs.parse_meminfo(data)
        if meminfo is None or meminfo.available is None:
            return None
        unfreeable = parse_unfreeable(data)
        available = min(meminfo.available + self._arc.reclaimable_bytes(), meminfo.total)
        total = max(available + meminfo.anonymous, 1)
        pressure = parse_pressure(self._pressure.read())
        return Reading(
            ram=meminfo.total,
            free=meminfo.free if quick is None else quick.free,
            total=total,
            available=available,
            swap_total=meminfo.swap_total,
            swap_free=meminfo.swap_free,
            pressure=pressure,
            swap_usable=self._swap_usable(meminfo, data),
            shared=unfreeable.shared,
            hugetlb=unfreeable.hugetlb,
            refaults=self._refaults(pressure, available * 100 <= total * _REFAULTS_BELOW_PERCENT),
            tmpfs=min(self._tmpfs.held_bytes(), unfreeable.shared),
        )

    def close(self) -> None:
        """Close the files."""
        for held in (self._meminfo, self._pressure, self._arc, self._swaps, self._vmstat, self._tmpfs):
            held.close()

    def _swap_usable(self, meminfo: procfs.Meminfo, data: bytes) -> int:
        if not meminfo.swap_total:
            return 0
        return self._swaps.usable_bytes(meminfo.swap_total, meminfo.swap_free, parse_swappable(data))

    def _refaults(self, pressure: MemoryPressure | None, may_be_scarce: bool) -> Refaults | None:
        """The refaults, read only where memory may be scarce and a program has stalled since they were read last."""
        stalled_us = pressure.some_total_us if pressure is not None else -1
        if not may_be_scarce or pressure is None:
            self._last_refaults = None
        elif self._last_refaults is None or stalled_us != self._stalled_us:
            self._last_refaults = parse_vmstat(self._vmstat.read())
        self._stalled_us = stalled_us
        return self._last_refaults
