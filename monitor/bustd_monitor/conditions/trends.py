"""What builds up from one reading to the next: how programs stalled, how fast memory fills, and with what."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading
from . import filled, filling, stalled_seconds
from .filled import Fillers
from .filling import Filling
from .stalled_seconds import Stalls


class Trends(NamedTuple):
    """`is_after_death`: since the last death no second of stalls was measured, so that averages speak of before it.

    `swap_total`: as it was read last. `oom_kills`: the same, -1 before the first reading.
    """

    stalls: Stalls = Stalls()
    filling: Filling = Filling()
    is_after_death: bool = False
    fillers: Fillers = ()
    swap_total: int = 0
    oom_kills: int = -1


def advanced(trends: Trends, reading: Reading, now_ms: int, *, is_short: bool = True) -> Trends:
    """The trends after one more reading. `is_short`: as in stalled_seconds."""
    stalls = stalled_seconds.advanced(trends.stalls, reading, now_ms, is_short=is_short)
    marked_ms = trends.stalls.marked_ms
    is_after_death = trends.is_after_death and (marked_ms < 0 or stalls.marked_ms == marked_ms)
    swap_total = reading.swap_total if tells_swap(reading) else trends.swap_total
    oom_kills = max(trends.oom_kills, reading.oom_kills)
    fillers = filled.advanced(trends.fillers, reading, now_ms)
    return Trends(
        stalls, filling.advanced(trends.filling, reading, now_ms), is_after_death, fillers, swap_total, oom_kills
    )


def tells_swap(reading: Reading) -> bool:
    """Whether `swap_total` is known, and 0 means that there is none."""
    return reading.is_whole or reading.swap_total > 0


def after_death(trends: Trends) -> Trends:
    """How programs stalled before a death says nothing about the machine after it."""
    return trends._replace(stalls=Stalls(), is_after_death=True)
