"""What the conditions rest on beyond one reading, in words: how fast memory fills, and how programs stall. Pure."""

from __future__ import annotations

from ..config import Stall
from ..reporting.amounts import size
from . import filling as fill
from .filling import Filling
from .reading import Reading
from .stalls import Stalls, wanted_back_percent


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
    back = "unknown" if back_percent is None else f"{back_percent[0]} % (files {back_percent[1]} %)"
    return f"PSI full {full} and some {some} ms in the last seconds, wanted back of what was reclaimed: {back}"
