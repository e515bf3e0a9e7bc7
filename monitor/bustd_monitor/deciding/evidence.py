"""What the conditions rest on beyond one reading, in words: how fast memory fills, and how programs stall. Pure."""

from __future__ import annotations

from ..config import Conditions, Stall
from ..reporting.amounts import size
from . import filling as fill
from .conditions import Finding, would_not_survive_the_grace
from .filling import Filling
from .reading import Reading
from .stalls import Stalls, wanted_back_percent


def grounds(finding: Finding, stalls: Stalls, filling: Filling, reading: Reading, conditions: Conditions) -> str:
    """What the readings alone do not show of why this condition fires, and with this signal; "" if they show it all."""
    if finding.name == "stall":
        return of_stalls(stalls, conditions.stall)
    is_of_the_rate = finding.name == "forecast" or would_not_survive_the_grace(reading, filling)
    return of_filling(filling, reading) if is_of_the_rate else ""


def of_filling(filling: Filling, reading: Reading) -> str:
    """The rate of filling and the time until nothing is left."""
    time_ms = fill.exhaustion_ms(filling, reading)
    rate = fill.rate(filling)
    if time_ms is None:
        return "memory is not filling up" if rate.seen_ms else "too few readings to say how fast memory fills"
    return (
        f"memory and swap fill at {size(rate.per_second)} a second (over the last {rate.seen_ms / 1000:.1f} s) "
        f"and would be gone in {time_ms / 1000:.1f} s"
    )


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
