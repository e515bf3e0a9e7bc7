"""The cheapest reading of memory: sysinfo(2), about a microsecond."""

from __future__ import annotations

import ctypes

from bustd_shared.daemon.record import NamedTuple


class _Raw(ctypes.Structure):
    _fields_ = (
        ("uptime", ctypes.c_long),
        ("loads", ctypes.c_ulong * 3),
        ("totalram", ctypes.c_ulong),
        ("freeram", ctypes.c_ulong),
        ("sharedram", ctypes.c_ulong),
        ("bufferram", ctypes.c_ulong),
        ("totalswap", ctypes.c_ulong),
        ("freeswap", ctypes.c_ulong),
        ("procs", ctypes.c_ushort),
        ("pad", ctypes.c_ushort),
        ("totalhigh", ctypes.c_ulong),
        ("freehigh", ctypes.c_ulong),
        ("mem_unit", ctypes.c_uint),
        ("_padding", ctypes.c_char * 64),
    )


class Sysinfo(NamedTuple):
    """Total and free memory in bytes, and the size of swap. sysinfo(2) does not tell what could be reclaimed."""

    total: int
    free: int
    swap_total: int = 0


_raw = _Raw()
_reference = ctypes.byref(_raw)
_call = ctypes.CDLL(None).sysinfo


def read_sysinfo() -> Sysinfo:
    """A reading of this moment. sysinfo(2) can't fail with a valid buffer."""
    _call(_reference)
    unit = _raw.mem_unit
    return Sysinfo(_raw.totalram * unit, _raw.freeram * unit, _raw.totalswap * unit)


def read_free_bytes() -> int:
    """The free memory of this moment alone: no record is made."""
    _call(_reference)
    free: int = _raw.freeram * _raw.mem_unit
    return free
