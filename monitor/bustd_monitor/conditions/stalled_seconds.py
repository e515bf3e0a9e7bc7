"""How long programs stalled in each of the last seconds, from the running total that PSI keeps.

avg10 lags by seconds; the growth of `total=` does not. It is judged over readings 0.8 to 1.2 s apart, never across a
long sleep.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading, Refaults

_SHORTEST_MS, LONGEST_APART_MS = 800, 1200
_MOST_SECONDS = 60
_LONGEST_GAP_MS = 5000
_MOST_BACK = 4
BARELY_MS = 100
"""From this many milliseconds of full stall per second on, programs are felt to stand still."""


class Second(NamedTuple):
    """Milliseconds per second in which all tasks that would have run, or some of them, waited for memory.

    `refaults`: what was refaulted and reclaimed in that second, in bytes; None where that was not read.
    """

    full_ms: int
    some_ms: int = 0
    refaults: Refaults | None = None


class Stalls(NamedTuple):
    """`seconds` without a gap between them, newest last; the others are the running totals at the end of the newest.

    `since_ms`: since when programs have stalled (BARELY_MS) without a second of rest, -1 if they do not; and
    `since_reclaimed`: how much the kernel had reclaimed until then.
    """

    marked_ms: int = -1
    full_us: int = 0
    some_us: int = 0
    refaults: Refaults | None = None
    seconds: tuple[Second, ...] = ()
    since_ms: int = -1
    since_reclaimed: int = 0


def advanced(stalls: Stalls, reading: Reading, now_ms: int, *, is_short: bool = True) -> Stalls:
    """The stalls after one more reading. `is_short`: so little is available that the stall counts for `since_ms`."""
    if reading.pressure is None:
        return _UNKNOWN
    elapsed_ms = now_ms - stalls.marked_ms
    if 0 <= elapsed_ms < _SHORTEST_MS and stalls.marked_ms >= 0:
        return stalls
    full_us, some_us = reading.pressure.full_total_us, reading.pressure.some_total_us
    since_ms = _since(stalls, full_us, elapsed_ms) if is_short else -1
    since_reclaimed = reading.refaults.reclaimed if reading.refaults else 0
    if since_ms >= 0 and stalls.since_ms >= 0:
        since_reclaimed = stalls.since_reclaimed
    if stalls.marked_ms < 0 or elapsed_ms > LONGEST_APART_MS or elapsed_ms < 0:
        return Stalls(now_ms, full_us, some_us, reading.refaults, (), since_ms, since_reclaimed)
    second = Second(
        max(full_us - stalls.full_us, 0) // elapsed_ms,
        max(some_us - stalls.some_us, 0) // elapsed_ms,
        _grown(stalls.refaults, reading.refaults),
    )
    seconds = (*stalls.seconds[1 - _MOST_SECONDS :], second)
    return Stalls(now_ms, full_us, some_us, reading.refaults, seconds, since_ms, since_reclaimed)


def refaulted_percent(seconds: tuple[Second, ...]) -> tuple[int, int] | None:
    """How much of what was reclaimed in these seconds was refaulted: of all kinds, and of files alone.

    It can be more than 100: pages that went earlier come back too. None if it is not known of any of these seconds. 0
    where the kernel reclaims nothing, or hardly anything beside what comes back: that is a control group at its own
    limit, whose reclaim is not counted while its refaults are, and the machine is not short.
    """
    known = [second.refaults for second in seconds if second.refaults is not None]
    if not known:
        return None
    anonymous, file, reclaimed = (sum(column) for column in zip(*known, strict=True))
    if (anonymous + file) >= reclaimed * _MOST_BACK:
        return 0, 0
    return (anonymous + file) * 100 // reclaimed, file * 100 // reclaimed


def _since(stalls: Stalls, full_us: int, elapsed_ms: int) -> int:
    """A monitor that thrashes with the others may be seconds late: the stall over all that time counts all the same."""
    if stalls.marked_ms < 0 or not 0 < elapsed_ms <= _LONGEST_GAP_MS:
        return -1
    if full_us - stalls.full_us < BARELY_MS * elapsed_ms:
        return -1
    return stalls.since_ms if stalls.since_ms >= 0 else stalls.marked_ms


_UNKNOWN = Stalls()


def _grown(before: Refaults | None, now: Refaults | None) -> Refaults | None:
    if before is None or now is None:
        return None
    return Refaults(*(max(later - earlier, 0) for earlier, later in zip(before, now, strict=True)))
