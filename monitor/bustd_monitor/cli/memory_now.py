"""How short memory is now, by the conditions as they are configured: for `bustd status` and `bustd metrics`."""

from __future__ import annotations

from typing import NamedTuple

from .. import config
from ..arguments import Arguments
from ..conditions.finding import Finding, Seen
from ..conditions.table import Conditions, findings
from ..sensing.cgroup_sensor import watch
from ..sensing.sensor import Unreadable
from .options import examine
from .seen_now import READINGS, seen_in_a_second


class MemoryNow(NamedTuple):
    """What was seen in a second. `found`: what each condition that is switched on says, the most urgent first.

    `trouble`: why nothing was seen, a clause; then `seen` and `conditions` are None.
    """

    seen: Seen | None = None
    conditions: Conditions | None = None
    found: tuple[Finding, ...] = ()
    trouble: str = ""


def memory_now(arguments: Arguments, readings: int = READINGS) -> MemoryNow:
    """Look for a second, as `bustd explain` does, or for so many readings; at once if it can't be."""
    monitor, killer = examine(arguments)
    problems = len(monitor.problems) + len(killer.problems)
    if problems:
        counted = "1 problem" if problems == 1 else f"{problems} problems"
        return MemoryNow(trouble=f"the configuration has {counted}: bustd check")
    settings = config.config_of(monitor.values)
    try:
        sensor = watch(settings.cgroup).sensor
    except Unreadable as error:
        return MemoryNow(trouble=str(error))
    try:
        seen = seen_in_a_second(sensor, settings.conditions, readings)
    except Unreadable as error:
        return MemoryNow(trouble=str(error))
    finally:
        sensor.close()
    return MemoryNow(seen, settings.conditions, findings(seen, settings.conditions))
