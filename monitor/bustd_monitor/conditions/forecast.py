"""`forecast`: at the rate at which memory and swap fill up they are about to be gone."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from . import filling as fill
from .finding import Condition, Finding, Seen


class Forecast(NamedTuple):
    """At the rate at which memory and swap fill up they are about to be gone."""

    enabled: bool
    exhaustion_seconds: float
    available_percent: float


KEYS: Schema = {
    "enabled": Key("bool", True, "This condition can ask for a kill."),
    "exhaustion_seconds": Key(
        "number", 2, "At the present rate, memory and swap are used up within this many seconds.", 0.1, 60
    ),
    "available_percent": Key(
        "number", 8, "Available memory is at most this percentage of what programs can use.", 0.1, 100
    ),
}


def judge(seen: Seen, forecast: Forecast) -> Finding:
    """At the rate at which memory and swap fill up they are about to be gone."""
    reading, filling = seen.reading, seen.trends.filling
    least = int(reading.total * forecast.available_percent / 100)
    scarce = reading.available <= least
    foreseen = fill.foreseen_ms(filling, reading) if scarce else None
    fires = foreseen is not None and foreseen < forecast.exhaustion_seconds * 1000
    headroom = max(reading.available - least, 0)
    filled_ahead = int(fill.rate(filling).per_second * forecast.exhaustion_seconds) if fires else 0
    return Finding(CONDITION, scarce, fires, headroom, Signal.TERM, fill.look_again_ms(filling), filled_ahead)


def demands(reading: Reading, forecast: Forecast) -> str:
    """In the units of this machine."""
    least = size(reading.total * forecast.available_percent / 100)
    return (
        f"memory and swap gone within {forecast.exhaustion_seconds:g} s at the present rate, "
        f"and available at most {forecast.available_percent:g} % ({least})"
    )


def of_filling(seen: Seen) -> str:
    """The rate of filling and the time until nothing is left."""
    time_ms = fill.exhaustion_ms(seen.trends.filling, seen.reading)
    rate = fill.rate(seen.trends.filling)
    if time_ms is None:
        return "memory is not filling up" if rate.seen_ms else "too few readings to say how fast memory fills"
    return (
        f"memory and swap fill at {size(rate.per_second)} a second (over the last {rate.seen_ms / 1000:.1f} s) "
        f"and would be gone in {time_ms / 1000:.1f} s"
    )


CONDITION = Condition(
    "forecast",
    Forecast,
    KEYS,
    judge,
    lambda forecast: forecast.available_percent,
    demands,
    lambda seen, _forecast: of_filling(seen),
    needs_time=True,
    margin_percent=10,
)
