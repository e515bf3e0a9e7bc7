"""Random crises on the simulated machine (tests/simulated): whom bustd kills, and whom other policies would have."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from ..simulated import judging
from ..simulated.crises import KINDS, crisis
from ..simulated.judging import Outcome
from ..simulated.policies import OTHERS
from .parts import in_parts
from .table import Figure, against

SEED = 1
BUSTD = "bustd"
_AT_A_TIME = 20
_MOST_INNOCENT_PERCENT, _MOST_LATE_PERCENT = 0.5, 0.5
_TIMES_BETTER = 20
"""And so many times fewer crises in which an innocent dies than with the best other policy."""

Outcomes = dict[str, list[Outcome]]
"""By the name of the policy."""


def measure(count: int, jobs: int = 1) -> list[Figure]:
    """So many crises, judged by bustd and by each of the others; with `jobs` processes."""
    outcomes: Outcomes = {}
    for part in in_parts(judged, count, _AT_A_TIME, jobs):
        for name, some in part.items():
            outcomes.setdefault(name, []).extend(some)
    sys.stderr.write(f"\nnot as it should be with bustd: how many, and the first of them\n{failed(outcomes[BUSTD])}\n")
    return figures(outcomes)


def figures(outcomes: Outcomes) -> list[Figure]:
    """The table: shares of the crises, by policy; and of bustd's, by what ran away."""
    least = min(_percent(those, _kills_innocents) for name, those in outcomes.items() if name != BUSTD)
    limit = min(_MOST_INNOCENT_PERCENT, least / _TIMES_BETTER)
    found = [figure for name, those in outcomes.items() for figure in _of_policy(name, those, limit)]
    ours = outcomes[BUSTD]
    for kind in KINDS:
        those = [one for one in ours if one.kind == kind]
        if those:
            innocents = _percent(those, _kills_innocents)
            late = _percent(those, lambda one: one.is_late)
            note = f"too late in {late:.1f} % of {len(those)}"
            found.append(Figure(f"crises_{kind}", f"innocents die, bustd, {kind}", "%", innocents, note=note))
    return found


def failed(outcomes: list[Outcome]) -> str:
    """The numbers of the crises that did not come out well, by kind and swap: where to look."""
    bad = [one for one in outcomes if one.innocents or one.is_late]
    groups: dict[str, list[int]] = {}
    for one in bad:
        what = "innocents" if one.innocents else "late"
        groups.setdefault(f"{one.kind}, swap {one.swap}: {what}", []).append(one.number)
    return "\n".join(f"{name}: {len(numbers)}, {numbers[:8]}" for name, numbers in sorted(groups.items()))


def _kills_innocents(outcome: Outcome) -> bool:
    return outcome.innocents > 0


def _of_policy(name: str, outcomes: list[Outcome], limit: float) -> Iterator[Figure]:
    innocents = _percent(outcomes, _kills_innocents)
    late = _percent([one for one in outcomes if one.kind != "none"], lambda one: one.is_late)
    kernel = _percent(outcomes, lambda one: one.is_kernel_first)
    scarce_s = sum(one.scarce_s for one in outcomes) / len(outcomes)
    killed = sum(one.innocents for one in outcomes)
    whole = [
        Figure(f"innocents_{name}", f"innocents die, {name}", "%", innocents, note=f"{killed} processes"),
        Figure(f"late_{name}", f"the culprit lives or the kernel is first, {name}", "%", late),
        Figure(f"kernel_{name}", f"the kernel kills, {name}", "%", kernel),
        Figure(f"scarce_{name}", f"below 2 % available, {name}", "s", scarce_s, note="mean of a crisis"),
    ]
    if name == BUSTD:
        whole[0] = against(whole[0], innocents, limit)
        whole[1] = against(whole[1], late, _MOST_LATE_PERCENT)
    for figure in whole:
        yield figure._replace(samples=len(outcomes))


def _percent(outcomes: list[Outcome], is_so: Callable[[Outcome], bool]) -> float:
    return 100 * sum(is_so(one) for one in outcomes) / max(len(outcomes), 1)


def judged(numbers: range) -> Outcomes:
    """These crises under every policy."""
    outcomes: Outcomes = {BUSTD: [judging.under_bustd(crisis(SEED, number)) for number in numbers]}
    for policy in OTHERS:
        outcomes[policy.name] = [judging.under(policy, crisis(SEED, number)) for number in numbers]
    return outcomes
