"""The named conditions under which somebody must die: one file for each, and here what is true of all of them.

To add one: a file with its CONDITION, its place in CONDITIONS, and its field in Conditions.
"""

from __future__ import annotations

from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Schema, Values

from ..sensing.reading import Reading
from . import filling as fill
from . import floor, forecast, pressure, stall
from .filling import Filling
from .finding import Condition, Seen
from .finding import Finding as Finding
from .floor import Floor
from .floor import floor_bytes as floor_bytes
from .floor import swap_floor_bytes as swap_floor_bytes
from .forecast import Forecast
from .pressure import Pressure
from .stall import Stall
from .stalled_seconds import Stalls

CONDITIONS: tuple[Condition, ...] = (floor.CONDITION, forecast.CONDITION, stall.CONDITION, pressure.CONDITION)
"""The most urgent first."""

TERM_GRACE_MS = 2000
"""For so long the killer waits after SIGTERM by default. Where root makes it longer (grace.term_ms of killer.toml), the
same finding asks for SIGKILL for whoever has had SIGTERM already, as soon as no more than this is left."""


class Conditions(NamedTuple):
    """The settings of each, by its name."""

    pressure: Pressure
    floor: Floor
    stall: Stall
    forecast: Forecast


SCHEMA: Schema = {name: next(one.keys for one in CONDITIONS if one.name == name) for name in Conditions._fields}
"""The tables below [conditions] of bustd.toml."""


def settings_of(tables: Values) -> Conditions:
    """From validated values."""
    return Conditions(**{one.name: one.settings(**tables[one.name]) for one in CONDITIONS})


def findings(
    reading: Reading, stalls: Stalls, conditions: Conditions, filling: Filling = fill.UNKNOWN
) -> tuple[Finding, ...]:
    """What every condition that is switched on says, the most urgent first.

    Whichever fires, the signal is SIGKILL where memory and swap would be gone before the grace of a SIGTERM is over.
    """
    seen = Seen(reading, stalls, filling)
    found = [one.judge(seen, settings) for one in CONDITIONS if (settings := getattr(conditions, one.name)).enabled]
    if any(finding.fires for finding in found) and would_not_survive_the_grace(reading, filling):
        found = [finding._replace(signal=Signal.KILL) if finding.fires else finding for finding in found]
    return tuple(found)


def would_not_survive_the_grace(reading: Reading, filling: Filling) -> bool:
    """Memory and swap are foreseen to be gone before the grace of a SIGTERM is over.

    The rate of half a second says nothing of the next two: a program that takes memory in steps has fast moments. If it
    goes on after all, that is foreseen later, or half of the floor is reached: both are SIGKILL for who had SIGTERM.
    """
    foreseen = fill.foreseen_ms(filling, reading)
    return foreseen is not None and foreseen < TERM_GRACE_MS


def enough_available_percent(conditions: Conditions) -> float:
    """The share of RAM that, while it is available, rules every condition out without a look at anything else."""
    margin = forecast.MARGIN_PERCENT if conditions.forecast.enabled else 0
    most = most_available_percents(conditions)
    return max(*most.values(), most.get("forecast", 0) + margin) if most else 0


def most_available_percents(conditions: Conditions) -> dict[str, float]:
    """For each that is switched on: with more available than this it never fires."""
    return {
        one.name: one.most_available_percent(settings)
        for one in CONDITIONS
        if (settings := getattr(conditions, one.name)).enabled
    }


def demands(name: str, reading: Reading, conditions: Conditions) -> str:
    """What the condition demands, in the units of this machine."""
    return _named(name).demands(reading, getattr(conditions, name))


def rests_on(name: str, seen: Seen, conditions: Conditions) -> str:
    """What the condition rests on beyond the reading itself, in words; "" if nothing."""
    return _named(name).grounds(seen, getattr(conditions, name))


def grounds(finding: Finding, stalls: Stalls, filling: Filling, reading: Reading, conditions: Conditions) -> str:
    """What the readings alone do not show of why this condition fires, and with this signal; "" if they show it all."""
    words = rests_on(finding.name, Seen(reading, stalls, filling), conditions)
    return words or (forecast.of_filling(filling, reading) if would_not_survive_the_grace(reading, filling) else "")


def _named(name: str) -> Condition:
    return next(one for one in CONDITIONS if one.name == name)
