"""What builds up from one reading to the next: how programs stalled, how fast memory fills, and with what."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading
from . import filled, filling, stalled_seconds
from .filled import Fillers
from .filling import Filling
from .stalled_seconds import Stalls

_SWAP_GOES_MS = 10_000


class SwapFall(NamedTuple):
    """Swap became smaller (swapoff(8)): when last, and how large it was before that began."""

    last_ms: int
    before: int


class Trends(NamedTuple):
    """`is_after_death`: since the last death no second of stalls was measured, so that averages speak of before it.

    `swap_total`: as it was read last. `oom_kills`: the same, -1 before the first reading. `swap_fall`: None if swap did
    not become smaller in the last ten seconds before the last reading. `full_node`: as in the last reading.
    """

    stalls: Stalls = Stalls()
    filling: Filling = Filling()
    is_after_death: bool = False
    fillers: Fillers = ()
    swap_total: int = 0
    oom_kills: int = -1
    swap_fall: SwapFall | None = None
    full_node: int = -1


def advanced(trends: Trends, reading: Reading, now_ms: int, *, is_short: bool = True) -> Trends:
    """The trends after one more reading. `is_short`: as in stalled_seconds."""
    stalls = stalled_seconds.advanced(trends.stalls, reading, now_ms, is_short=is_short)
    marked_ms = trends.stalls.marked_ms
    is_after_death = trends.is_after_death and (marked_ms < 0 or stalls.marked_ms == marked_ms)
    swap_total = reading.swap_total if tells_swap(reading) else trends.swap_total
    oom_kills = max(trends.oom_kills, reading.oom_kills)
    fillers = filled.advanced(trends.fillers, reading, now_ms)
    fall = _swap_fall(trends, swap_total, now_ms)
    fills = filling.advanced(trends.filling, reading, now_ms)
    return Trends(stalls, fills, is_after_death, fillers, swap_total, oom_kills, fall, reading.full_node)


def _swap_fall(trends: Trends, swap_total: int, now_ms: int) -> SwapFall | None:
    """While swapoff(2) reads back, SwapTotal is what is still in use there (si_swapinfo() in mm/swapfile.c)."""
    fall = trends.swap_fall
    if fall is not None and now_ms - fall.last_ms > _SWAP_GOES_MS:
        fall = None
    if fall is not None and swap_total >= fall.before:
        return None  # it is there again
    if swap_total >= trends.swap_total:
        return fall
    return SwapFall(now_ms, trends.swap_total if fall is None else fall.before)


def tells_swap(reading: Reading) -> bool:
    """Whether `swap_total` is known, and 0 means that there is none."""
    return reading.is_whole or reading.swap_total > 0


def after_death(trends: Trends) -> Trends:
    """How programs stalled before a death says nothing about the machine after it."""
    return trends._replace(stalls=Stalls(), is_after_death=True)
