"""Warnings on the simulated machine (tests/simulated): in time before slow crises, and none on a busy desktop."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..simulated.healthy import hour
from ..simulated.judging import HealthyOutcome, SlowOutcome, healthy_under_bustd, slow_under_bustd
from ..simulated.slow import KINDS, slow_crisis
from .parts import in_parts
from .table import Figure, against, of_samples

SEED = 1
DESKTOPS = ("desktop", "builds")
"""What goes on at a busy desktop, by turns."""
_AT_A_TIME = 2
_LEAST_S = 10.0
_MOST_LATE_PERCENT = 10.0
_HOURS_PER_WARNING = 500


def measure(crises: int, hours: int, jobs: int = 1) -> list[Figure]:
    """So many slow crises, and so many hours at a busy desktop; with `jobs` processes."""
    slow = [one for part in in_parts(judged_crises, crises, _AT_A_TIME, jobs) for one in part]
    busy = [one for part in in_parts(judged_hours, hours, _AT_A_TIME, jobs) for one in part]
    sys.stderr.write(f"\nwarned late or for nothing\n{failed(slow, busy)}\n")
    return [*of_crises(slow), *of_hours(busy)]


def judged_crises(numbers: range) -> list[SlowOutcome]:
    """These crises."""
    return [slow_under_bustd(slow_crisis(SEED, number)) for number in numbers]


def judged_hours(numbers: range) -> list[HealthyOutcome]:
    """These hours."""
    return [healthy_under_bustd(hour(SEED, number, DESKTOPS[number % len(DESKTOPS)])) for number in numbers]


def of_crises(outcomes: list[SlowOutcome]) -> Iterator[Figure]:
    """How long before the decision, and in how many too late; by what runs away and by swap."""
    decided = [one for one in outcomes if one.is_decided]
    late = Figure("warned_late", "slow crises without a warning 10 s before", "%", _late(decided), samples=len(decided))
    yield against(late, late.value, _MOST_LATE_PERCENT)
    yield of_samples("warned_s", "from the warning to the decision", "s", [one.warned_s for one in decided])
    for name in (*KINDS, "none", "disk", "zram"):
        those = [one for one in decided if name in (one.kind, one.swap)]
        if those:
            what = f"without, {name}" if name in KINDS else f"without, swap {name}"
            yield Figure(f"warned_late_{name}", what, "%", _late(those), samples=len(those), note=f"of {len(those)}")


def of_hours(outcomes: list[HealthyOutcome]) -> Iterator[Figure]:
    """False warnings, of all hours and by what goes on in them."""
    for name in ("", *DESKTOPS):
        those = [one for one in outcomes if name in ("", one.kind)]
        if those:
            count, hours = sum(one.warnings for one in those), len(those)
            figure = Figure(f"false_warnings_{name or 'all'}", f"false warnings {name}".strip(), "", count)
            figure = figure._replace(samples=hours, note=f"in {hours} hours")
            yield figure if name else against(figure, count, hours / _HOURS_PER_WARNING)


def failed(slow: list[SlowOutcome], busy: list[HealthyOutcome]) -> str:
    """Their numbers: where to look."""
    late = [f"crisis {one.number}, {one.kind}, swap {one.swap}: {one.warned_s:.1f} s" for one in slow if _is_late(one)]
    return "\n".join(late + [f"hour {one.number}, {one.kind}, swap {one.swap}" for one in busy if one.warnings])


def _is_late(outcome: SlowOutcome) -> bool:
    return outcome.warned_s < _LEAST_S


def _late(outcomes: list[SlowOutcome]) -> float:
    return 100 * sum(map(_is_late, outcomes)) / max(len(outcomes), 1)
