"""What the kernel keeps of free memory for itself: the difference between free and available, page cache aside."""

from __future__ import annotations

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SHARE_WHEN_UNKNOWN = 10


def parse_zoneinfo(data: bytes) -> int:
    """The reserve in pages, as the kernel computes it from /proc/zoneinfo (totalreserve_pages in mm/page_alloc.c).

    Each zone keeps its high watermark and its largest protection from others, at most all that it manages.
    """
    reserve = high = managed = 0
    for line in data.splitlines():
        words = line.replace(b"(", b" ").replace(b")", b" ").replace(b",", b" ").split()
        if words[:1] == [b"high"] and len(words) == 2:
            high = int(words[1])
        elif words[:1] == [b"managed"] and len(words) == 2:
            managed = int(words[1])
        elif words[:1] == [b"protection:"]:
            reserve += max(min(high + max(map(int, words[1:]), default=0), managed), 0)
            high = managed = 0
    return reserve


def reserved_bytes(ram: int, proc: str = "/proc") -> int:
    """The kernel's reserve of this machine, in bytes; a tenth of `ram` where it can't be read (lxcfs, containers)."""
    try:
        with open(f"{proc}/zoneinfo", "rb") as zoneinfo:
            return parse_zoneinfo(zoneinfo.read()) * _PAGE_BYTES
    except (OSError, ValueError):
        return ram * _SHARE_WHEN_UNKNOWN // 100
