"""What of reclaimed memory is wanted back, from /proc/vmstat. It costs 45 us: read it only where programs stall."""

from __future__ import annotations

import os

from ..deciding.reading import Refaults

VMSTAT_BYTES = 16_384
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def parse_vmstat(data: bytes) -> Refaults | None:
    """The running totals in bytes; None if there are none.

    Before Linux 5.9 there is only workingset_refault, and only pages of files have it.
    """
    anonymous, file = _pages(data, b"\nworkingset_refault_anon "), _pages(data, b"\nworkingset_refault_file ")
    if file is None:
        file = _pages(data, b"\nworkingset_refault ")
    if file is None:
        return None
    reclaimed = (_pages(data, b"\npgsteal_kswapd ") or 0) + (_pages(data, b"\npgsteal_direct ") or 0)
    return Refaults((anonymous or 0) * _PAGE_BYTES, file * _PAGE_BYTES, reclaimed * _PAGE_BYTES)


def _pages(data: bytes, name: bytes) -> int | None:
    at = data.find(name)
    words = data[at + len(name) : at + len(name) + 24].split(None, 1) if at >= 0 else []
    return int(words[0]) if words and words[0].isdigit() else None
