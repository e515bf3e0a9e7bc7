"""`stall`: programs stand still for want of memory, however much swap is free."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen
from .stalled_seconds import BARELY_MS, LONGEST_APART_MS, Second, Stalls, lasts, machine_reclaims, refaulted_percent

_RECLAIMED_AT_LEAST = 16 * 2**20
"""Wherever the machine itself is short, the kernel reclaims this much in half a minute."""
_RECENT_SECONDS = 10

_BLIND_SECONDS = 10
"""Where refaults can't be read, stalls must last for this long: a control group may stall at its own limit."""


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
    "enabled": Key("bool", True, "This condition can ask for a kill."),
    "full_ms_per_second": Key("int", 150, "PSI full grows by at least this many milliseconds in each second.", 1, 1000),
    "some_ms_per_second": Key(
        "int",
        900,
        "Instead of PSI full, PSI some may grow by at least this many milliseconds in each second.",
        1,
        1000,
    ),
    "seconds": Key("int", 2, "This growth of PSI lasts for this many seconds in a row.", 1, 60),
    "available_percent": Key(
        "number", 15, "Available memory is at most this percentage of what programs can use.", 0.1, 100
    ),
    "refault_percent": Key(
        "int",
        20,
        "Refaults in these seconds are at least this percentage of what the kernel reclaimed in them.",
        0,
        1000,
    ),
    "thrash_available_percent": Key(
        "number",
        25,
        "If refaults of files alone reach refault_percent, this limit applies instead of available_percent.",
        0.1,
        100,
    ),
    "patience_seconds": Key(
        "int",
        30,
        "Or PSI full grows by 100 ms in each of this many seconds, on average of the last ten by full_ms_per_second.",
        3,
        3600,
    ),
}


def judge(seen: Seen, stall: Stall) -> Finding:
    """Programs stand still and memory is scarce, however much swap is free.

    It is a thrash because what was reclaimed is refaulted: a working set that only moves to swap stays there. Where
    files are refaulted, the page cache that counts as available is in use.
    """
    reading = seen.reading
    most_percent = max(stall.available_percent, stall.thrash_available_percent)
    least = int(reading.total * most_percent / 100)
    scarce = reading.available <= least
    fires = scarce and _thrashes(seen.trends.stalls, stall, short=is_short(reading, stall))
    return Finding(CONDITION, scarce, fires, max(reading.available - least, 0), Signal.TERM)


def is_short(reading: Reading, stall: Stall) -> bool:
    """So little is available that refaults of all kinds count, and that stalls use up `patience_seconds`."""
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
    refaulted = refaulted_percent(seconds, has_limited=not stalls.is_of_unlimited)
    if refaulted is None:
        return short and stalls.refaults is None and _stalls_blindly(stalls, stall)
    of_all, of_files = refaulted
    if not machine_reclaims(stalls.window):
        return False
    return (of_all if short else of_files) >= stall.refault_percent


def _stalls_blindly(stalls: Stalls, stall: Stall) -> bool:
    """Refaults can't be read here: the stalls must do, and be twice as hard for ten seconds at least."""
    least_ms, count = min(2 * stall.full_ms_per_second, 1000), max(stall.seconds, _BLIND_SECONDS)
    seconds = stalls.seconds[-count:]
    return len(seconds) == count and lasts([second.full_ms for second in seconds], least_ms)


def _has_lasted(stalls: Stalls, stall: Stall) -> bool:
    """Even a working set that only moves to swap must arrive at some time; a control group may stay at its limit.

    A slow disk may take ten minutes for it, in which programs stall for a tenth of the time: a thrash is more.
    """
    if not 0 <= stalls.since_ms <= stalls.marked_ms - stall.patience_seconds * 1000:
        return False
    recent = stalls.seconds[-_RECENT_SECONDS:] or stalls.window
    if sum(second.full_ms for second in recent) < stall.full_ms_per_second * len(recent):
        return False
    if stalls.refaults is None:
        return True
    if machine_reclaims(stalls.window) is False:
        return False
    return stalls.refaults.all_reclaimed - stalls.since_reclaimed >= _RECLAIMED_AT_LEAST


def _is_quiet(second: Second, stall: Stall) -> bool:
    return second.full_ms < stall.full_ms_per_second and second.some_ms < stall.some_ms_per_second


def demands(reading: Reading, stall: Stall) -> str:
    """In the units of this machine."""
    return (
        f"available at most {stall.available_percent:g} % ({size(reading.total * stall.available_percent / 100)}), "
        f"PSI full growing by {stall.full_ms_per_second} ms or some by {stall.some_ms_per_second} ms in each of "
        f"{stall.seconds} s, and {stall.refault_percent} % of what was reclaimed refaulted; "
        f"if that is files, available at most {stall.thrash_available_percent:g} %; "
        f"or PSI full growing by {BARELY_MS} ms in each of {stall.patience_seconds} s, and by "
        f"{stall.full_ms_per_second} on the average of the last {_RECENT_SECONDS}"
    )


def grounds(seen: Seen, stall: Stall) -> str:
    """The stalls, where any are known."""
    stalls = seen.trends.stalls
    return of_stalls(stalls, stall) if stalls.seconds or stalls.since_ms >= 0 else ""


def of_stalls(stalls: Stalls, stall: Stall) -> str:
    """The stalls of the seconds that `stall` looks at, and how much of what was reclaimed then was refaulted."""
    seconds = stalls.seconds[-stall.seconds :]
    full, some = (
        ", ".join(map(str, amounts)) or "unknown"
        for amounts in ([second.full_ms for second in seconds], [second.some_ms for second in seconds])
    )
    refaulted = refaulted_percent(seconds, has_limited=not stalls.is_of_unlimited)
    barely = (stalls.marked_ms - stalls.since_ms) // 1000 if stalls.since_ms >= 0 else 0
    share = "unknown" if refaulted is None else f"{refaulted[0]} % (files {refaulted[1]} %)"
    lasts = f", and programs have hardly run for {barely} s" if barely >= stall.patience_seconds else ""
    return f"PSI full {full} and some {some} ms in the last seconds, refaulted of what was reclaimed: {share}{lasts}"


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
