"""Random healthy hours on the simulated machine (tests/simulated): nothing must die in them, and little wake bustd."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ..simulated.healthy import HOUR_S, KINDS, hour
from ..simulated.judging import HealthyOutcome, healthy_under_bustd
from .parts import in_parts
from .table import Figure, against, of_samples

SEED = 1
_AT_A_TIME = 4
_MOST_WAKEUPS = 5.0
_LIVES_CLOSE = "close"


def measure(count: int, jobs: int = 1) -> list[Figure]:
    """So many hours; with `jobs` processes."""
    outcomes = [one for part in in_parts(judged, count, _AT_A_TIME, jobs) for one in part]
    sys.stderr.write(f"\nhours in which something died, or that were not healthy\n{failed(outcomes)}\n")
    return list(figures(outcomes))


def judged(numbers: range, seconds: float = HOUR_S) -> list[HealthyOutcome]:
    """These hours, or so much of each."""
    return [healthy_under_bustd(hour(SEED, number), seconds) for number in numbers]


def figures(outcomes: list[HealthyOutcome]) -> Iterator[Figure]:
    """The deaths, of all hours and by what goes on in them; and the wake-ups."""
    sound = [one for one in outcomes if not _is_unsound(one)]
    whole = Figure("healthy_deaths", "deaths in healthy hours", "", _deaths(sound), samples=len(sound))
    yield against(whole, whole.value, 0)
    unsound = len(outcomes) - len(sound)
    yield Figure("healthy_unsound", "hours that were not healthy", "", unsound, samples=len(outcomes))
    for kind in KINDS:
        those = [one for one in sound if one.kind == kind]
        if those:
            figure = Figure(f"healthy_{kind}", f"deaths, {kind}", "", _deaths(those), samples=len(those))
            warnings = sum(one.warnings for one in those)
            yield figure._replace(note=f"{len(those)} hours; {warnings} false warnings")
            yield _wakeups(kind, [one.wakeups_per_s for one in those])


def _wakeups(kind: str, samples: list[float]) -> Figure:
    figure = of_samples(f"healthy_wakeups_{kind}", f"wake-ups, {kind}", "1/s", samples)
    return against(figure, max(samples), _MOST_WAKEUPS) if kind == _LIVES_CLOSE else figure


def failed(outcomes: list[HealthyOutcome]) -> str:
    """Their numbers and their dead: where to look."""
    lines = []
    for one in outcomes:
        if one.killed or _is_unsound(one):
            why = " (less was available than planned)" if one.is_short else ""
            why += f" (the kernel killed {one.kernel_kills})" if one.kernel_kills else ""
            lines.append(f"hour {one.number}, {one.kind}, swap {one.swap}: {', '.join(one.killed) or 'nothing'}{why}")
    return "\n".join(lines)


def _is_unsound(one: HealthyOutcome) -> bool:
    return one.is_short or (one.kernel_kills > 0 and not one.killed)


def _deaths(outcomes: list[HealthyOutcome]) -> int:
    return sum(len(one.killed) for one in outcomes)
