"""How long programs stalled in each of the last seconds, from the running total that PSI keeps.

avg10 lags by seconds; the growth of `total=` does not. It is judged over readings 0.8 to 1.2 s apart, never across a
long sleep. Where it is known, it is the stalls of programs that do not meet a limit of their own: the others say
nothing about the machine.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading, Refaults

SHORTEST_APART_MS, LONGEST_APART_MS = 800, 1200
_MOST_SECONDS = 60
_LONGEST_GAP_MS = 5000
_WINDOW_SECONDS = 2
_MOST_BACK = 4
BARELY_MS = 100
"""From this many milliseconds of full stall per second on, programs are felt to stand still."""
_REST_IN = 5
"""Stalls come in bursts: one second in five may be a rest."""


class Second(NamedTuple):
    """Milliseconds per second in which all tasks that would have run, or some of them, waited for memory.

    `refaults`: what was refaulted and reclaimed in that second; None where that was not read.
    """

    full_ms: int
    some_ms: int = 0
    refaults: Refaults | None = None


class Stalls(NamedTuple):
    """`seconds` without a gap between them, newest last; the others are the running totals at the end of the newest.

    `since_ms`: since when programs have stalled (BARELY_MS) without a second of rest, -1 if they do not; and
    `since_reclaimed`: how much the kernel had reclaimed until then. `late`: how programs stalled since the reading
    before, where that was too long ago for a second; None otherwise. `is_of_unlimited`: the totals are those of
    programs that did not meet a limit of their own.
    """

    marked_ms: int = -1
    full_us: int = 0
    some_us: int = 0
    refaults: Refaults | None = None
    seconds: tuple[Second, ...] = ()
    since_ms: int = -1
    since_reclaimed: int = 0
    late: Second | None = None
    is_of_unlimited: bool = False

    @property
    def window(self) -> tuple[Second, ...]:
        """The last two seconds, or what is known of the time since the reading before."""
        return self.seconds[-_WINDOW_SECONDS:] or ((self.late,) if self.late is not None else ())


def advanced(stalls: Stalls, reading: Reading, now_ms: int, *, is_short: bool = True) -> Stalls:
    """The stalls after one more reading. `is_short`: so little is available that the stall counts for `since_ms`."""
    if reading.pressure is None:
        return _UNKNOWN
    elapsed_ms = now_ms - stalls.marked_ms
    if 0 <= elapsed_ms < SHORTEST_APART_MS and stalls.marked_ms >= 0:
        return stalls
    now = _totals(reading, now_ms)
    if stalls.marked_ms < 0 or stalls.is_of_unlimited is not now.is_of_unlimited:
        return now  # the totals of one kind say nothing about those of the other
    since_ms = _since(stalls, now.full_us, elapsed_ms) if is_short else -1
    since_reclaimed = now.since_reclaimed
    if since_ms >= 0 and stalls.since_ms >= 0:
        since_reclaimed = stalls.since_reclaimed
    now = now._replace(since_ms=since_ms, since_reclaimed=since_reclaimed)
    if elapsed_ms <= 0 or elapsed_ms > _LONGEST_GAP_MS:
        return now
    second = Second(
        max(now.full_us - stalls.full_us, 0) // elapsed_ms,
        max(now.some_us - stalls.some_us, 0) // elapsed_ms,
        _grown(stalls.refaults, now.refaults),
    )
    if elapsed_ms > LONGEST_APART_MS:
        return now._replace(late=second)
    return now._replace(seconds=(*stalls.seconds[1 - _MOST_SECONDS :], second))


def lasts(amounts: list[int], least_ms: int) -> bool:
    """Programs stalled in these seconds, newest last, for so long on average, and hardly ever rested."""
    rest_ms = min(BARELY_MS, least_ms)
    rests = sum(amount < rest_ms for amount in amounts)
    is_over = not amounts or amounts[-1] < rest_ms
    return not is_over and rests * _REST_IN <= len(amounts) and sum(amounts) >= least_ms * len(amounts)


def machine_reclaims(seconds: tuple[Second, ...]) -> bool | None:
    """Whether the kernel reclaimed for the machine in this time, and not only for control groups at their own limits.

    None where that is not known of any of these seconds.
    """
    known = [second.refaults for second in seconds if second.refaults is not None]
    if not known:
        return None
    return any(one.reclaimed or one.kswapd_steps or one.stalled_allocations for one in known)


def refaulted_percent(seconds: tuple[Second, ...], *, has_limited: bool = True) -> tuple[int, int] | None:
    """How much of what was reclaimed in these seconds was refaulted: of all kinds, and of files alone.

    It can be more than 100: pages that went earlier come back too. None if it is not known of any of these seconds. 0
    where the kernel reclaims nothing. `has_limited`: refaults of a control group at its own limit may be among them,
    whose reclaim is not counted; then it is 0 too where hardly anything was reclaimed beside what comes back.
    """
    known = [second.refaults for second in seconds if second.refaults is not None]
    if not known:
        return None
    anonymous, file = sum(one.anonymous for one in known), sum(one.file for one in known)
    reclaimed = sum(one.all_reclaimed for one in known)
    if not reclaimed or (has_limited and anonymous + file >= reclaimed * _MOST_BACK):
        return 0, 0
    return (anonymous + file) * 100 // reclaimed, file * 100 // reclaimed


def _totals(reading: Reading, now_ms: int) -> Stalls:
    """The running totals of this reading: refaults can be subtracted, and stalls can't."""
    pressure, unlimited, refaults = reading.pressure, reading.unlimited, reading.refaults
    assert pressure is not None, "without PSI nothing is known"
    if unlimited is not None and refaults is not None:
        refaults = refaults._replace(
            anonymous=max(refaults.anonymous - unlimited.limited_anonymous, 0),
            file=max(refaults.file - unlimited.limited_file, 0),
        )
    of = pressure if unlimited is None else unlimited
    since_reclaimed = refaults.all_reclaimed if refaults is not None else 0
    return Stalls(
        now_ms,
        of.full_total_us,
        of.some_total_us,
        refaults,
        since_reclaimed=since_reclaimed,
        is_of_unlimited=unlimited is not None,
    )


def _since(stalls: Stalls, full_us: int, elapsed_ms: int) -> int:
    """A monitor that thrashes with the others may be seconds late: the stall over all that time counts all the same."""
    if not 0 < elapsed_ms <= _LONGEST_GAP_MS or full_us - stalls.full_us < BARELY_MS * elapsed_ms:
        return -1
    return stalls.since_ms if stalls.since_ms >= 0 else stalls.marked_ms


_UNKNOWN = Stalls()


def _grown(before: Refaults | None, now: Refaults | None) -> Refaults | None:
    """The growth. Reclaim by allocations is the machine's own only if an allocation of the machine has stalled."""
    if before is None or now is None:
        return None
    grown = Refaults(*(max(later - earlier, 0) for earlier, later in zip(before, now, strict=True)))
    return grown if grown.stalled_allocations else grown._replace(reclaimed_by_allocations=0)
