"""Who should die first: pure, from what is known of each process to the order and the reason for each place.

Badness is counted in bytes, as the kernel's oom_badness() does (mm/oom_kill.c): what a death would give back, moved by
oom_score_adj, and by growth: bytes gained of late count again. Who has gained more than all others together runs away,
alone or with the others of his unit: what he holds counts three times, because any other death would only feed him.
"""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Scope
from bustd_shared.daemon.record import NamedTuple

from ..sensing.preferences import AVOID, OMIT
from ..sensing.processes import Process
from .matching import advised_by, matched_by
from .settings import Victims
from .terms import Terms

OOM_SCORE_ADJ_MIN = -1000
_NOTICEABLE_GROWTH = 16
"""Whose size was a sixteenth smaller ten seconds ago grows."""


class Candidate(NamedTuple):
    """A process that may die, and its place in the order: the greater its badness (bytes), the sooner it dies.

    `held_bytes`: what comes back when it dies, and with it whoever is in its `scope`.
    """

    process: Process
    badness: int
    why: str
    held_bytes: int
    scope: Scope = Scope.PROCESS


class Spared(NamedTuple):
    """A process that is left out, and why."""

    process: Process
    why: str


class Ranking(NamedTuple):
    """The candidates, the first to die first, and who was left out."""

    candidates: tuple[Candidate, ...]
    spared: tuple[Spared, ...]


class _Company(NamedTuple):
    """What dies together, the largest first: mostly one process. `whole`: a control group, "" if it is no such."""

    members: tuple[Process, ...]
    whole: str = ""

    @property
    def held_bytes(self) -> int:
        return sum(member.held_bytes for member in self.members)

    @property
    def gained_bytes(self) -> int:
        return sum(member.gained_bytes for member in self.members)


def rank(processes: list[Process], terms: Terms) -> Ranking:
    """Order the processes by what they hold, what they have gained and what the rules say."""
    protected = {process.pid: why for process in processes if (why := why_protected(process, terms))}
    eligible, spared = [], []
    for process in processes:
        too_small = "its death would not help" if process.held_bytes < terms.minimum_bytes else ""
        why_not = protected.get(process.pid) or too_small
        if why_not:
            spared.append(Spared(process, why_not))
        else:
            eligible.append(process)
    companies = _companies(eligible, processes, protected, terms)
    runaway = _runaway(companies, processes, terms)
    candidates = [_placed(company, runaway, terms) for company in companies]
    candidates.sort(key=lambda candidate: (candidate.badness, candidate.process.oom_score), reverse=True)
    return Ranking(tuple(candidates), tuple(spared))


def why_protected(process: Process, terms: Terms) -> str:
    """Why this process must not die, however much it holds; "" if it may."""
    if process.oom_score_adj <= OOM_SCORE_ADJ_MIN:
        return "oom_score_adj -1000"
    if terms.only_uid not in (-1, process.uid):
        return "another user's"
    advice = advised_by(terms.advice, process)
    if advice:
        return f"protected by killer.toml: {advice}"
    never = matched_by(terms.victims.never, process)
    if never:
        return f"never: {never}"
    return "ManagedOOMPreference=omit" if process.preference == OMIT else ""


def grows(process: Process) -> bool:
    """Whether he has gained a noticeable part of what he holds of late."""
    return process.gained_bytes * _NOTICEABLE_GROWTH >= process.held_bytes


def _companies(
    eligible: list[Process], known: list[Process], protected: dict[int, str], terms: Terms
) -> list[_Company]:
    """Who dies with whom. One who is protected breaks his company up: the killer would refuse the whole of it."""
    together: dict[str, list[Process]] = {}
    for process in known:
        if _dies_whole(process, terms.victims):
            together.setdefault(process.whole, []).append(process)
    broken = terms.broken | {
        whole for whole, members in together.items() if any(member.pid in protected for member in members)
    }
    companies = []
    for process in eligible:
        if not _dies_whole(process, terms.victims) or process.whole in broken:
            companies.append(_Company((process,)))
        elif process.whole in together:
            members = together.pop(process.whole)
            largest_first = sorted(members, key=lambda member: member.held_bytes, reverse=True)
            companies.append(_Company(tuple(largest_first), process.whole))
    return companies


def _dies_whole(process: Process, victims: Victims) -> bool:
    return bool(process.whole) and (process.is_indivisible or victims.scope == "cgroup")


class _Runaway(NamedTuple):
    """Who runs away: whoever gained more than `least`, or else those in `cgroup` that grow."""

    least: int
    cgroup: str = ""


def _runaway(companies: list[_Company], known: list[Process], terms: Terms) -> _Runaway:
    """Only one can gain more than all others, and than what was filled besides. If none does, a unit may: a build.

    Its compilers each gain a little, and the larger, idle program beside it nothing.
    """
    gained_together = sum(process.gained_bytes for process in known)
    least = max(gained_together // 2, terms.filled_bytes // 2, terms.minimum_bytes)
    if any(company.gained_bytes > least for company in companies):
        return _Runaway(least)
    gained: dict[str, int] = {}
    for process in known:
        gained[process.cgroup] = gained.get(process.cgroup, 0) + process.gained_bytes
    return _Runaway(least, next((cgroup for cgroup, together in gained.items() if cgroup and together > least), ""))


def _why_it_runs_away(company: _Company, runaway: _Runaway) -> str:
    """In words, "" if it does not. Who hardly grows does not run away with the others of his unit."""
    if company.gained_bytes > runaway.least:
        return "runs away"
    first = company.members[0]
    return "runs away with its unit" if grows(first) and runaway.cgroup == first.cgroup != "" else ""


def _placed(company: _Company, runaway: _Runaway, terms: Terms) -> Candidate:
    """The badness of what dies together, and where it comes from. The rules look at its largest process."""
    process, victims, total = company.members[0], terms.victims, terms.total_bytes
    held = badness = company.held_bytes
    why = f"holds {size(held)}"
    if company.whole:
        why += f" in {company.whole} ({len(company.members)} known)"
    runs_away = _why_it_runs_away(company, runaway)
    growth = (2 * held if runs_away else company.gained_bytes) * victims.growth_percent // 100
    if growth:
        badness, why = badness + growth, f"{why}, {runs_away or 'gained of late'} +{size(growth)}"
    if process.oom_score_adj:
        moved = process.oom_score_adj * total // 1000
        badness, why = badness + moved, f"{why}, oom_score_adj {process.oom_score_adj} {_signed(moved)}"
    preferred, avoided = matched_by(victims.prefer, process), matched_by(victims.avoid, process)
    if not avoided and process.preference == AVOID:
        avoided = "ManagedOOMPreference="
    if preferred:
        moved = victims.prefer_points * total // 1000
        badness, why = badness + moved, f"{why}, preferred by {preferred} {_signed(moved)}"
    if avoided:
        moved = -victims.avoid_points * total // 1000
        badness, why = badness + moved, f"{why}, avoided by {avoided} {_signed(moved)}"
    scope = Scope.CGROUP if company.whole else Scope.GROUP if victims.scope == "group" else Scope.PROCESS
    return Candidate(process, badness, why, held, scope)


def _signed(amount: int) -> str:
    return f"{'-' if amount < 0 else '+'}{size(abs(amount))}"
