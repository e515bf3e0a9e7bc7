"""One reading of the machine, cheap things first: sysinfo, then /proc/meminfo, then PSI."""

from __future__ import annotations

import os

from bustd_common import procfs

from ..deciding.reading import Reading
from .reserves import reserved_bytes
from .sysinfo import read_sysinfo

_MEMINFO_BYTES = 8192
_PRESSURE_BYTES = 512


class Unreadable(Exception):
    """This machine does not tell what bustd must know; the reason is one sentence."""


class Sensor:
    """The files are opened once: in a crisis there may be no descriptor to be had. `proc` is where procfs is."""

    def __init__(self, proc: str = "/proc") -> None:
        try:
            self._meminfo = os.open(f"{proc}/meminfo", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise Unreadable(f"{proc}/meminfo can't be read: {error.strerror}") from None
        self._pressure = -1
        meminfo = self._read_meminfo()
        if meminfo is None or meminfo.available is None:
            self.close()
            lack = "MemTotal" if meminfo is None else "MemAvailable: free memory alone says nothing about trouble"
            raise Unreadable(f"{proc}/meminfo has no {lack}")
        self._reserve = reserved_bytes(meminfo.total, proc)
        self.sysinfo_is_usable = read_sysinfo().total == meminfo.total
        """False under lxcfs, which shows a container its own meminfo while sysinfo speaks of the whole machine."""
        self.pressure_trouble = ""
        """Why there is no PSI, "" if there is."""
        try:
            self._pressure = os.open(f"{proc}/pressure/memory", os.O_RDONLY | os.O_CLOEXEC)
            if procfs.parse_pressure(os.pread(self._pressure, _PRESSURE_BYTES, 0)) is None:
                self.pressure_trouble = f"{proc}/pressure/memory has no line that begins with `some`"
        except OSError as error:
            self.pressure_trouble = f"{proc}/pressure/memory: {error.strerror} (boot with psi=1)"

    def read(self, enough_available_percent: float = 100) -> Reading | None:
        """A reading of this moment; None if /proc/meminfo makes no sense just now.

        Free memory less the kernel's reserve is available, whatever else is. While that is more than
        `enough_available_percent` of RAM, sysinfo alone rules trouble out, and nothing else is read. By default
        everything is.
        """
        quick = read_sysinfo() if self.sysinfo_is_usable else None
        if quick is not None and (quick.free - self._reserve) * 100 > quick.total * enough_available_percent:
            return Reading(quick.total, quick.free, quick.total, quick.free - self._reserve, 0, 0, None)
        meminfo = self._read_meminfo()
        if meminfo is None or meminfo.available is None:
            return None
        return Reading(
            ram=meminfo.total,
            free=meminfo.free if quick is None else quick.free,
            total=max(meminfo.available + meminfo.anonymous, 1),
            available=meminfo.available,
            swap_total=meminfo.swap_total,
            swap_free=meminfo.swap_free,
            pressure=self._read_pressure(),
        )

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in (self._meminfo, self._pressure):
            if descriptor >= 0:
                os.close(descriptor)

    def _read_meminfo(self) -> procfs.Meminfo | None:
        try:
            return procfs.parse_meminfo(os.pread(self._meminfo, _MEMINFO_BYTES, 0))
        except OSError:
            return None

    def _read_pressure(self) -> procfs.Pressure | None:
        if self._pressure < 0:
            return None
        try:
            return procfs.parse_pressure(os.pread(self._pressure, _PRESSURE_BYTES, 0))
        except OSError:  # EOPNOTSUPP: PSI is compiled in and switched off
            return None
