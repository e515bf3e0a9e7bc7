"""Who should die first: pure, from what is known of each process to the order and the reason for each place.

The base is the kernel's own oom_score, a tie is broken by the memory that a death would give back.
"""

from __future__ import annotations

from bustd_common.protection import Protection, protected_by
from bustd_protocol.record import NamedTuple

from ..config import Victims
from ..sensing.processes import Process
from .rules import matched_by

OOM_SCORE_ADJ_MIN = -1000


class Candidate(NamedTuple):
    """A process that may die, and its place in the order: more points die sooner."""

    process: Process
    points: int
    why: str


class Spared(NamedTuple):
    """A process that is left out, and why."""

    process: Process
    why: str


class Ranking(NamedTuple):
    """The candidates, the first to die first, and who was left out."""

    candidates: tuple[Candidate, ...]
    spared: tuple[Spared, ...]


class Terms(NamedTuple):
    """What a ranking rests on. `only_uid` -1: any. `advice` is what the killer will refuse anyway."""

    victims: Victims
    advice: Protection
    minimum_bytes: int
    only_uid: int = -1


def rank(processes: list[Process], terms: Terms) -> Ranking:
    """Order the processes by what they hold and what the rules say."""
    candidates, spared = [], []
    for process in processes:
        why_not = why_spared(process, terms)
        if why_not:
            spared.append(Spared(process, why_not))
        else:
            candidates.append(_placed(process, terms.victims))
    candidates.sort(key=lambda candidate: (candidate.points, candidate.process.held_bytes), reverse=True)
    return Ranking(tuple(candidates), tuple(spared))


def why_spared(process: Process, terms: Terms) -> str:
    """Why this process must not or need not die; "" if it may."""
    if process.oom_score_adj <= OOM_SCORE_ADJ_MIN:
        return "oom_score_adj -1000"
    if terms.only_uid not in (-1, process.uid):
        return "another user's"
    advice = protected_by(terms.advice, process.unit, process.uid, process.comm)
    if advice:
        return f"protected by killer.toml: {advice}"
    never = matched_by(terms.victims.never, process)
    if never:
        return f"never: {never}"
    if process.held_bytes < terms.minimum_bytes:
        return "its death would not help"
    return ""


def _placed(process: Process, victims: Victims) -> Candidate:
    """The points of a process, and where they come from."""
    points, why = process.oom_score, f"oom_score {process.oom_score}"
    if process.oom_score_adj:
        why += f" (oom_score_adj {process.oom_score_adj})"
    preferred, avoided = matched_by(victims.prefer, process), matched_by(victims.avoid, process)
    if preferred:
        points, why = points + victims.prefer_points, f"{why}, preferred by {preferred} +{victims.prefer_points}"
    if avoided:
        points, why = points - victims.avoid_points, f"{why}, avoided by {avoided} -{victims.avoid_points}"
    return Candidate(process, points, why)
