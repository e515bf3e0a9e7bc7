"""Free memory that is not available: what the kernel keeps below its watermarks."""

from __future__ import annotations

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SHARE_WHEN_UNKNOWN = 10


def parse_zoneinfo(data: bytes) -> int:
    """Pages below the watermarks, from /proc/zoneinfo, as the kernel computes totalreserve_pages (mm/page_alloc.c).

    Each zone keeps its high watermark plus its largest lowmem protection, and at most all the pages that it manages.
    """
    pages = high = managed = 0
    for line in data.splitlines():
        words = line.replace(b"(", b" ").replace(b")", b" ").replace(b",", b" ").split()
        if words[:1] == [b"high"] and len(words) == 2:
            high = int(words[1])
        elif words[:1] == [b"managed"] and len(words) == 2:
            managed = int(words[1])
        elif words[:1] == [b"protection:"]:
            pages += max(min(high + max(map(int, words[1:]), default=0), managed), 0)
            high = managed = 0
    return pages


def watermark_bytes(ram: int, proc: str = "/proc") -> int:
    """Bytes of free memory that are not available; a tenth of `ram` where that can't be read (lxcfs, containers)."""
    try:
        with open(f"{proc}/zoneinfo", "rb") as zoneinfo:
            return parse_zoneinfo(zoneinfo.read()) * _PAGE_BYTES
    except (OSError, ValueError):
        return ram * _SHARE_WHEN_UNKNOWN // 100
