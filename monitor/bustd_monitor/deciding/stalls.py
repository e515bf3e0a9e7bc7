"""How long programs stalled in each of the last seconds, from the running total that PSI keeps.

avg10 lags by seconds; the growth of `total=` does not. It is judged over readings 0.8 to 1.2 s apart, never across a
long sleep.
"""

from __future__ import annotations

from bustd_protocol.record import NamedTuple

from .reading import Reading

_SHORTEST_MS, _LONGEST_MS = 800, 1200
_MOST_SECONDS = 60


class Stalls(NamedTuple):
    """`full_ms`: milliseconds of full stall per second, newest last, of seconds without a gap between them."""

    marked_ms: int = -1
    marked_total_us: int = 0
    full_ms: tuple[int, ...] = ()


def advanced(stalls: Stalls, reading: Reading, now_ms: int) -> Stalls:
    """The stalls after one more reading."""
    if reading.pressure is None:
        return Stalls()
    total_us = reading.pressure.full_total_us
    elapsed_ms = now_ms - stalls.marked_ms
    if stalls.marked_ms < 0 or elapsed_ms > _LONGEST_MS or elapsed_ms < 0:
        return Stalls(now_ms, total_us)
    if elapsed_ms < _SHORTEST_MS:
        return stalls
    full_ms = max(total_us - stalls.marked_total_us, 0) // elapsed_ms
    return Stalls(now_ms, total_us, (*stalls.full_ms, full_ms)[-_MOST_SECONDS:])
