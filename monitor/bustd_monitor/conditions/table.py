"""The named conditions under which a process must die: one file for each, and here what is true of all of them.

To add one: a file with its CONDITION, its place in CONDITIONS, and its field in Conditions.
"""

from __future__ import annotations

from collections.abc import Iterator

from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Schema, Values

from ..sensing.reading import Reading
from . import emergency, filling, floor, forecast, pressure, stall, trends
from .emergency import Emergency
from .finding import Condition, Finding, Seen, killer_warning
from .floor import Floor
from .forecast import Forecast
from .killer_limits import KillerLimits
from .pressure import Pressure
from .stall import Stall
from .trends import Trends

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any

CONDITIONS: tuple[Condition, ...] = (
    floor.CONDITION,
    forecast.CONDITION,
    stall.CONDITION,
    pressure.CONDITION,
    emergency.CONDITION,
)
"""The most urgent first."""

BY_NAME: dict[str, Condition] = {one.name: one for one in CONDITIONS}

TERM_GRACE_MS = 2000
"""The killer waits for this time after SIGTERM by default. Where root makes it longer (grace.term_ms of killer.toml),
the same finding asks for SIGKILL for a process that has had its SIGTERM, as soon as no more than this is left."""


class Conditions(NamedTuple):
    """The settings of each, by its name."""

    pressure: Pressure
    floor: Floor
    stall: Stall
    forecast: Forecast
    emergency: Emergency


SCHEMA: Schema = {name: BY_NAME[name].keys for name in Conditions._fields}
"""The tables below [conditions] of bustd.toml."""


def settings_of(tables: Values) -> Conditions:
    """From validated values."""
    return Conditions(**{one.name: one.settings(**tables[one.name]) for one in CONDITIONS})


def switched_on(conditions: Conditions) -> Iterator[tuple[Condition, Any]]:
    """Each condition that is switched on, with its settings, the most urgent first."""
    for one in CONDITIONS:
        settings = getattr(conditions, one.name)
        if settings.enabled:
            yield one, settings


def advanced(before: Trends, reading: Reading, now_ms: int, conditions: Conditions) -> Trends:
    """The trends after one more reading."""
    return trends.advanced(before, reading, now_ms, is_short=stall.is_short(reading, conditions.stall))


def findings(seen: Seen, conditions: Conditions) -> tuple[Finding, ...]:
    """What every condition that is switched on says, the most urgent first.

    Whichever fires, the signal is SIGKILL where memory and swap would be gone before the grace of a SIGTERM is over.
    """
    found = [one.judge(seen, settings) for one, settings in switched_on(conditions)]
    if seen.trends.is_after_death:
        found = [one._replace(fires=False) if one.condition.rests_on_average else one for one in found]
    if any(one.fires for one in found) and would_not_survive_the_grace(seen):
        found = [one._replace(signal=Signal.KILL) if one.fires else one for one in found]
    return tuple(found)


def would_not_survive_the_grace(seen: Seen) -> bool:
    """Memory and swap are foreseen to be gone before the grace of a SIGTERM is over.

    The rate of half a second says nothing of the next two: a program that takes memory in steps has fast moments. If it
    goes on after all, that is foreseen later, or half of the floor is reached: both are SIGKILL for a process that had
    SIGTERM.
    """
    foreseen = filling.foreseen_ms(seen.trends.filling, seen.reading)
    return foreseen is not None and foreseen < TERM_GRACE_MS


def enough_free_percent(conditions: Conditions) -> float:
    """The share of RAM that, while it is free, rules every condition out without a look at anything else."""
    return _enough_percent(conditions, is_free=True)


def enough_available_percent(conditions: Conditions) -> float:
    """The share of RAM that, while it is available, rules every condition out, however little is free."""
    return _enough_percent(conditions, is_free=False)


def _enough_percent(conditions: Conditions, *, is_free: bool) -> float:
    """What is free is available as well."""
    shares = []
    for one, settings in switched_on(conditions):
        percent = one.most_available_percent(settings)
        if is_free and one.most_free_percent is not None:
            percent = min(percent, one.most_free_percent(settings))
        shares.append(percent + one.margin_percent)
    return max(shares, default=0)


def killer_warnings(conditions: Conditions, limits: KillerLimits) -> list[str]:
    """A sentence for each condition that is switched on and can fire while the killer would answer `not_short`."""
    warnings = [killer_warning(one, settings, limits) for one, settings in switched_on(conditions)]
    return [warning for warning in warnings if warning]


def demands(condition: Condition, reading: Reading, conditions: Conditions) -> str:
    """What the condition demands, in the units of this machine."""
    return condition.demands(reading, getattr(conditions, condition.name))


def rests_on(condition: Condition, seen: Seen, conditions: Conditions) -> str:
    """What the condition rests on beyond the reading itself, in words; "" if nothing."""
    return condition.grounds(seen, getattr(conditions, condition.name))


def unable(condition: Condition, seen: Seen, conditions: Conditions, pressure_trouble: str = "") -> str:
    """Why the condition can't fire on this machine, whatever its memory; "" if it can.

    `pressure_trouble`: why there is no PSI, where that is known.
    """
    if condition.needs_psi and seen.reading.pressure is None:
        return f"no PSI ({pressure_trouble})" if pressure_trouble else "no PSI"
    return condition.unable(seen, getattr(conditions, condition.name))


def grounds(finding: Finding, seen: Seen, conditions: Conditions) -> str:
    """What the readings alone do not show of why this condition fires, and with this signal; "" if they show it all."""
    words = rests_on(finding.condition, seen, conditions)
    return words or (forecast.of_filling(seen) if would_not_survive_the_grace(seen) else "")
