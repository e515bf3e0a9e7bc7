"""What is true of this machine now: protected or not, how much memory is available, which conditions fire."""

from __future__ import annotations

import math

from bustd_shared import __version__

from ...conditions import filling
from ..memory_now import MemoryNow
from ..protection import ProtectionNow
from .exposition import COUNTER, GAUGE, MetricFamily, series

PROTECTED, AVAILABLE, ACTIVE = "bustd_protected", "bustd_available_ratio", "bustd_condition_active"
EXHAUSTION, OOM_KILLS, BUILD = "bustd_seconds_to_exhaustion", "bustd_kernel_oom_kills_total", "bustd_build_info"


def families(protection: ProtectionNow, memory: MemoryNow) -> list[MetricFamily]:
    """What can't be told has no series."""
    found = [
        MetricFamily(BUILD, GAUGE, "1, with the version of bustd as a label.", {series(BUILD, version=__version__): 1})
    ]
    if protection.is_protected is not None:
        what = "1 if a process can be killed when memory runs out, 0 if not, or in a dry run."
        found.append(MetricFamily(PROTECTED, GAUGE, what, {PROTECTED: protection.is_protected}))
    return found if memory.seen is None else [*found, *_of_memory(memory)]


def _of_memory(memory: MemoryNow) -> list[MetricFamily]:
    assert memory.seen is not None, "of what was seen only"
    reading, trends = memory.seen
    foreseen_ms = filling.foreseen_ms(trends.filling, reading)
    seconds = math.inf if foreseen_ms is None else foreseen_ms / 1000
    active = {series(ACTIVE, condition=one.name): float(one.fires) for one in memory.found}
    what_is_gone = "When memory and swap are used up if it goes on as in the last two seconds; +Inf: not foreseen."
    available = {AVAILABLE: reading.available / reading.total}
    oom_kills = {OOM_KILLS: float(reading.oom_kills)}
    return [
        MetricFamily(AVAILABLE, GAUGE, "Available memory, as a share of what programs can use.", available),
        MetricFamily(ACTIVE, GAUGE, "1 while this condition fires, that is, demands that a process dies.", active),
        MetricFamily(EXHAUSTION, GAUGE, what_is_gone, {EXHAUSTION: seconds}),
        MetricFamily(
            OOM_KILLS, COUNTER, "Processes that the kernel has killed for want of memory since boot.", oom_kills
        ),
    ]
