"""What builds up from one reading to the next: how programs stalled, and how fast memory fills."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading
from . import filling, stalled_seconds
from .filling import Filling
from .stalled_seconds import Stalls


class Trends(NamedTuple):
    """`is_after_death`: since the last death no second of stalls was measured, so that averages speak of before it."""

    stalls: Stalls = Stalls()
    filling: Filling = Filling()
    is_after_death: bool = False


def advanced(trends: Trends, reading: Reading, now_ms: int, *, is_short: bool = True) -> Trends:
    """The trends after one more reading. `is_short`: as in stalled_seconds."""
    stalls = stalled_seconds.advanced(trends.stalls, reading, now_ms, is_short=is_short)
    marked_ms = trends.stalls.marked_ms
    is_after_death = trends.is_after_death and (marked_ms < 0 or stalls.marked_ms == marked_ms)
    return Trends(stalls, filling.advanced(trends.filling, reading, now_ms), is_after_death)


def after_death(trends: Trends) -> Trends:
    """How programs stalled before a death says nothing about the machine after it."""
    return Trends(Stalls(), trends.filling, is_after_death=True)
