"""What the tests of the conditions need beyond a reading: stalls, refaults, rates; and one condition by itself."""

from bustd_monitor.conditions.filling import UNKNOWN, Filling, Rate
from bustd_monitor.conditions.finding import Finding, Seen
from bustd_monitor.conditions.stalled_seconds import Second, Stalls
from bustd_monitor.conditions.table import Conditions, findings
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.sensing.reading import Reading, Refaults
from tests.unit.monitor.making import MIB, conditions


def stalls_of(*full_ms: int, some_ms: int = 0) -> Stalls:
    """Seconds with so much of full stall in each; refaults can't be read."""
    return Stalls(2000, seconds=tuple(Second(amount, some_ms) for amount in full_ms))


STALLED = stalls_of(*[300] * 10)
"""Ten seconds, which must do where refaults can't be read."""


def found_in(
    a_reading: Reading,
    stalls: Stalls,
    settings: Conditions,
    filling: Filling = UNKNOWN,
) -> tuple[Finding, ...]:
    """What the conditions say of this reading after these trends."""
    return findings(Seen(a_reading, Trends(stalls, filling)), settings)


def the(name: str, a_reading: Reading, stalls: Stalls = Stalls(), filling: Filling = UNKNOWN, **keys: object):  # noqa: B008
    """What one condition says, by default with its default thresholds."""
    (found,) = found_in(a_reading, stalls, conditions(**{"only": name, name: keys}), filling)
    assert found.name == name
    return found


def thrashing(anonymous: float = 0, file: float = 0, *, full_ms: int = 300, some_ms: int = 300) -> Stalls:
    """Two seconds of stalls, in each of which 100 MiB were reclaimed and so many MiB wanted back."""
    back = Refaults(int(anonymous * MIB), int(file * MIB), 100 * MIB)
    return Stalls(2000, refaults=Refaults(1, 1, 1), seconds=(Second(full_ms, some_ms, back),) * 2)


def filling_at(per_second: float, *, seen_ms: int = 2000) -> Filling:
    rate = Rate(int(per_second), seen_ms)
    return Filling(short=rate._replace(seen_ms=min(seen_ms, 600)), long=rate)
