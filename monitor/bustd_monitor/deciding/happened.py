"""What has happened to memory between two readings, apart from any decision. Pure."""

from __future__ import annotations

from ..conditions import trends
from ..conditions.trends import Trends
from ..sensing.reading import Reading
from .actions import KernelKilled, News, SwapWent


def happened(before: Trends, reading: Reading) -> tuple[News, ...]:
    """What has happened since the last reading: swap was switched off, or the kernel has killed."""
    told: list[News] = []
    if trends.tells_swap(reading) and reading.swap_total < before.swap_total:
        told.append(SwapWent(before.swap_total, reading.swap_total))
    if 0 <= before.oom_kills < reading.oom_kills:
        told.append(KernelKilled(reading.oom_kills - before.oom_kills))
    return tuple(told)
