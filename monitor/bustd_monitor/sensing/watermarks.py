"""Free memory that is not available: what the kernel keeps below its watermarks, on each node."""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_SHARE_WHEN_UNKNOWN = 10


class Kept(NamedTuple):
    """What one node keeps free. `reserve`: what of it is not available, the high watermarks and the lowmem protection.

    Below `low` kswapd wakes up, and reclaims until the high watermarks are free.
    """

    reserve: int = 0
    low: int = 0


def parse_zoneinfo(data: bytes) -> dict[int, Kept]:
    """Pages by the number of the node, from /proc/zoneinfo; `reserve` as calculate_totalreserve_pages() has it.

    Each zone keeps its high watermark plus its largest lowmem protection, and at most all the pages that it manages.
    """
    kept: dict[int, Kept] = {}
    node, low, high, managed = -1, 0, 0, 0
    for line in data.splitlines():
        words = line.replace(b"(", b" ").replace(b")", b" ").replace(b",", b" ").split()
        name = words[0] if words else b""
        if name == b"Node" and len(words) == 4 and words[1].isdigit():
            node, low, high, managed = int(words[1]), 0, 0, 0
        elif name == b"low" and len(words) == 2:
            low = int(words[1])
        elif name == b"high" and len(words) == 2:
            high = int(words[1])
        elif name == b"managed" and len(words) == 2:
            managed = int(words[1])
        elif name == b"protection:":
            before = kept.get(node, Kept())
            reserve = max(min(high + max(map(int, words[1:]), default=0), managed), 0)
            kept[node] = Kept(before.reserve + reserve, before.low + max(min(low, managed), 0))
            low = high = managed = 0
    return kept


def read_kept(proc: str = "/proc") -> dict[int, Kept]:
    """Bytes by the number of the node; none where that can't be read (lxcfs, containers)."""
    try:
        with open(f"{proc}/zoneinfo", "rb") as zoneinfo:
            pages = parse_zoneinfo(zoneinfo.read())
    except (OSError, ValueError):
        return {}
    return {node: Kept(kept.reserve * _PAGE_BYTES, kept.low * _PAGE_BYTES) for node, kept in pages.items()}


def watermark_bytes(ram: int, proc: str = "/proc") -> int:
    """Bytes of free memory that are not available on all nodes; a tenth of `ram` where that can't be read."""
    kept = read_kept(proc)
    return sum([one.reserve for one in kept.values()]) if kept else ram * _SHARE_WHEN_UNKNOWN // 100
