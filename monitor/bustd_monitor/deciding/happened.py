"""What has happened to memory between two readings, apart from any decision. Pure."""

from __future__ import annotations

from ..conditions.trends import Trends
from ..sensing.reading import Reading
from .actions import KernelKilled, News, NodeIsFull, SwapWent

_PLENTY = 10
"""Where less than this part is available the machine itself is short, and so are its nodes."""


def happened(before: Trends, after: Trends, reading: Reading) -> tuple[News, ...]:
    """What has happened since the last reading: swap was switched off, the kernel has killed, a NUMA node is full.

    That swap becomes smaller is said when it begins, and when nothing is left.
    """
    told: list[News] = []
    fall, has_fallen = after.swap_fall, after.swap_total < before.swap_total
    if fall is not None and has_fallen and (fall.before == before.swap_total or not after.swap_total):
        told.append(SwapWent(fall.before, after.swap_total))
    if 0 <= before.oom_kills < reading.oom_kills:
        told.append(KernelKilled(reading.oom_kills - before.oom_kills))
    if reading.full_node not in (-1, before.full_node) and reading.available * _PLENTY >= reading.total:
        told.append(NodeIsFull(reading.full_node, reading.available))
    return tuple(told)
