"""Refaults and the machine's own reclaim, from /proc/vmstat. A read costs 45 us: read it only where programs stall."""

from __future__ import annotations

import os

from bustd_shared.kernel.pressure import refaults
from bustd_shared.kernel.procfs import number_after

from .reading import Refaults

VMSTAT_BYTES = 16_384
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_STALLED_ALLOCATIONS = (b"allocstall_normal ", b"allocstall_movable ", b"allocstall_dma32 ", b"allocstall_dma ")
_KSWAPD_STEPS = (b"pgscan_kswapd ", b"pageoutrun ")


def parse_vmstat(data: bytes) -> Refaults | None:
    """The running totals; None if the file has no refaults.

    `pgsteal_kswapd`, `pgscan_kswapd`, `pageoutrun` and `allocstall_*` are the machine's own on every kernel.
    `pgsteal_direct` is only before Linux 7.1. The lines `*_anon`, `*_file`, `*_proactive` and `*_khugepaged` count
    control groups as well, and are not read.
    """
    anonymous, file = refaults(data)
    if file is None:
        return None
    return Refaults(
        anonymous=anonymous * _PAGE_BYTES,
        file=file * _PAGE_BYTES,
        reclaimed=_sum(data, (b"pgsteal_kswapd ",)) * _PAGE_BYTES,
        reclaimed_by_allocations=_sum(data, (b"pgsteal_direct ",)) * _PAGE_BYTES,
        stalled_allocations=_sum(data, _STALLED_ALLOCATIONS),
        kswapd_steps=_sum(data, _KSWAPD_STEPS),
    )


def parse_oom_kills(data: bytes) -> int:
    """How many processes the kernel has killed for want of memory, control groups at their limits included."""
    return number_after(data, b"oom_kill ") or 0


def _sum(data: bytes, names: tuple[bytes, ...]) -> int:
    return sum(number_after(data, name) or 0 for name in names)
