"""Refaults and reclaimed memory, from /proc/vmstat. A read costs 45 us: read it only where programs stall."""

from __future__ import annotations

import os

from bustd_shared.kernel.pressure import refaults
from bustd_shared.kernel.procfs import number_after

from .reading import Refaults

VMSTAT_BYTES = 16_384
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def parse_vmstat(data: bytes) -> Refaults | None:
    """The running totals in bytes; None if the file has no refaults."""
    anonymous, file = refaults(data)
    if file is None:
        return None
    reclaimed = (number_after(data, b"pgsteal_kswapd ") or 0) + (number_after(data, b"pgsteal_direct ") or 0)
    return Refaults(anonymous * _PAGE_BYTES, file * _PAGE_BYTES, reclaimed * _PAGE_BYTES)
