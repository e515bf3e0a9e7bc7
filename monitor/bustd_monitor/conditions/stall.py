"""`stall`: programs stand still for want of memory, however much swap is free."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen
from .stalled_seconds import BARELY_MS, LONGEST_APART_MS, Second, Stalls, wanted_back_percent

_RECLAIMED_AT_LEAST = 16 * 2**20
"""So much the kernel takes back in half a minute wherever the machine itself is short."""


class Stall(NamedTuple):
    """Nothing gets done for want of memory, however much swap is free."""

    enabled: bool
    full_ms_per_second: int
    some_ms_per_second: int
    seconds: int
    available_percent: float
    refault_percent: int
    thrash_available_percent: float
    patience_seconds: int


KEYS: Schema = {
    "enabled": Key("bool", True, "Whether this condition can ask for a kill."),
    "full_ms_per_second": Key("int", 150, "In each second PSI full grew by this much or more,", 1, 1000),
    "some_ms_per_second": Key("int", 900, "or PSI some by this much or more,", 1, 1000),
    "seconds": Key("int", 2, "for so many seconds,", 1, 60),
    "available_percent": Key("number", 15, "available memory is at most this,", 0.1, 100),
    "refault_percent": Key("int", 20, "and so much of what the kernel reclaimed was wanted back (percent).", 0, 1000),
    "thrash_available_percent": Key(
        "number", 25, "Where it is files that were wanted back, available memory is at most this.", 0.1, 100
    ),
    "patience_seconds": Key(
        "int", 30, "Wanted back or not: PSI full of 100 ms in each second for so long is enough.", 3, 3600
    ),
}


def judge(seen: Seen, stall: Stall) -> Finding:
    """Programs stand still and memory is scarce, however much swap is free.

    What makes it a thrash is that what was taken is wanted back: a working set that only moves to swap stays there. And
    where it is files that are wanted back, the cache that counts as available is not.
    """
    reading = seen.reading
    most_percent = max(stall.available_percent, stall.thrash_available_percent)
    least = int(reading.total * most_percent / 100)
    scarce = reading.available <= least
    fires = scarce and _thrashes(seen.trends.stalls, stall, short=is_short(reading, stall))
    return Finding(CONDITION, scarce, fires, max(reading.available - least, 0), Signal.TERM)


def is_short(reading: Reading, stall: Stall) -> bool:
    """So little is available that stalls count whatever was refaulted, and that patience begins to come to its end."""
    return reading.available <= int(reading.total * stall.available_percent / 100)


def _thrashes(stalls: Stalls, stall: Stall, *, short: bool) -> bool:
    if short and _has_lasted(stalls, stall):
        return True
    if not stalls.seconds or _is_quiet(stalls.seconds[-1], stall):
        return False
    seconds = stalls.seconds[-stall.seconds :]
    if len(seconds) < stall.seconds:
        return False
    is_full = all(second.full_ms >= stall.full_ms_per_second for second in seconds)
    # One task that only computes keeps `full` at nothing on its processor (Documentation/accounting/psi.rst).
    if not is_full and not all(second.some_ms >= stall.some_ms_per_second for second in seconds):
        return False
    back_percent = wanted_back_percent(seconds)
    if back_percent is None:
        # Not to be read at all here: then the stalls must do, and be twice as long. Else it will be known in a second.
        least_ms = min(2 * stall.full_ms_per_second, 1000)
        return short and stalls.refaults is None and all(second.full_ms >= least_ms for second in seconds)
    of_all, of_files = back_percent
    return (of_all if short else of_files) >= stall.refault_percent


def _has_lasted(stalls: Stalls, stall: Stall) -> bool:
    """Even what only moves to swap must be over some time; a control group at its own limit need not."""
    if not 0 <= stalls.since_ms <= stalls.marked_ms - stall.patience_seconds * 1000:
        return False
    return stalls.refaults is None or stalls.refaults.reclaimed - stalls.since_reclaimed >= _RECLAIMED_AT_LEAST


def _is_quiet(second: Second, stall: Stall) -> bool:
    return second.full_ms < stall.full_ms_per_second and second.some_ms < stall.some_ms_per_second


def demands(reading: Reading, stall: Stall) -> str:
    """In the units of this machine."""
    return (
        f"available at most {stall.available_percent:g} % ({size(reading.total * stall.available_percent / 100)}), "
        f"PSI full growing by {stall.full_ms_per_second} ms or some by {stall.some_ms_per_second} ms in each of "
        f"{stall.seconds} s, and {stall.refault_percent} % of what was reclaimed wanted back; "
        f"if that is files, available at most {stall.thrash_available_percent:g} %; "
        f"or PSI full growing by {BARELY_MS} ms in each of {stall.patience_seconds} s"
    )


def grounds(seen: Seen, stall: Stall) -> str:
    """The stalls, where any are known."""
    stalls = seen.trends.stalls
    return of_stalls(stalls, stall) if stalls.seconds or stalls.since_ms >= 0 else ""


def of_stalls(stalls: Stalls, stall: Stall) -> str:
    """The stalls of the seconds that `stall` looks at, and how much of what was reclaimed then was wanted back."""
    seconds = stalls.seconds[-stall.seconds :]
    full, some = (
        ", ".join(map(str, amounts)) or "unknown"
        for amounts in ([second.full_ms for second in seconds], [second.some_ms for second in seconds])
    )
    back_percent = wanted_back_percent(seconds)
    barely = (stalls.marked_ms - stalls.since_ms) // 1000 if stalls.since_ms >= 0 else 0
    back = "unknown" if back_percent is None else f"{back_percent[0]} % (files {back_percent[1]} %)"
    lasts = f", and programs have barely got on for {barely} s" if barely >= stall.patience_seconds else ""
    return f"PSI full {full} and some {some} ms in the last seconds, wanted back of what was reclaimed: {back}{lasts}"


CONDITION = Condition(
    "stall",
    Stall,
    KEYS,
    judge,
    lambda stall: max(stall.available_percent, stall.thrash_available_percent),
    demands,
    grounds,
    needs_psi=True,
    needs_time=True,
    longest_apart_ms=LONGEST_APART_MS,
)
