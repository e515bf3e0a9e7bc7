"""Who should die first: pure, from what is known of each process to the order and the reason for each place.

Badness is counted in bytes, as the kernel's oom_badness() does (mm/oom_kill.c): what a death would give back, moved by
oom_score_adj, and by growth: bytes gained of late count again. Who has gained more than all others together runs away,
alone or with the others of his unit: what he holds counts three times, because any other death would only feed him.
"""

from __future__ import annotations

from enum import Enum

from bustd_protocol.messages import Scope
from bustd_shared.daemon.record import NamedTuple

from ..sensing.preferences import AVOID, OMIT
from ..sensing.processes import Process
from .family import Family
from .matching import advised_by, is_among, matched_by, why_unjudged
from .settings import Victims
from .terms import Terms

OOM_SCORE_ADJ_MIN = -1000
_MOST_RUNAWAYS = 4
"""If it takes more than these to have gained half, none of them runs away by itself."""
_NOTICEABLE_GROWTH = 16
"""Whose size was a sixteenth smaller ten seconds ago grows."""


class Cause(Enum):
    """What moves a badness away from the bytes that come back."""

    RUNS_AWAY = "it has gained more than all others together"
    RUNS_AWAY_WITH_UNIT = "its unit has gained more than all others together, and it grows"
    GAINED = "what it has gained recently counts again"
    OOM_SCORE_ADJ = "its oom_score_adj"
    PREFERRED = "a rule says that it should rather die"
    AVOIDED = "a rule, or systemd, says that it should rather live"


class Move(NamedTuple):
    """By how many bytes a cause moves a badness. `rule`: the one that asks for it, "" where none does."""

    cause: Cause
    moved_bytes: int
    rule: str = ""


class Candidate(NamedTuple):
    """A process that may die, and its place in the order: the greater its badness (bytes), the sooner it dies.

    `held_bytes`: what comes back when it dies, and with it everything in its `scope`; of that, `known` processes are
    known. `moves`: why its badness is not that. `family`: those that die with it, where it is one of many hands.
    """

    process: Process
    badness: int
    held_bytes: int
    scope: Scope = Scope.PROCESS
    known: int = 1
    moves: tuple[Move, ...] = ()
    family: Family | None = None


class Shield(Enum):
    """What keeps a process from being a candidate."""

    OOM_SCORE_ADJ = "oom_score_adj -1000"
    OTHER_USER = "it is another user's, and an ordinary user's monitor leaves it alone"
    KILLER_TOML = "the killer would refuse it"
    NEVER = "a rule in victims.never"
    UNJUDGED = "a rule in victims.never that can't be judged, because the command line is not known whole"
    OUTSIDE_ONLY = "there are rules in victims.only, and none of them matches"
    OMIT = "ManagedOOMPreference=omit"
    TOO_SMALL = "its death would not help"


class Spared(NamedTuple):
    """A process that is left out, and what keeps it.

    `rule`: the rule that does, "" where none does; for UNJUDGED why it can't be judged.
    """

    process: Process
    shield: Shield
    rule: str = ""


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
    protected = {process.pid: left for process in processes if (left := protection(process, terms)) is not None}
    eligible, spared = [], []
    for process in processes:
        left_out = protected.get(process.pid)
        if left_out is not None:
            spared.append(left_out)
        elif process.held_bytes < terms.minimum_bytes:
            spared.append(Spared(process, Shield.TOO_SMALL))
        else:
            eligible.append(process)
    companies = _companies(eligible, processes, protected, terms)
    runaway = _runaway(companies, processes, terms)
    candidates = [_placed(company, _how_it_runs_away(company, runaway), terms) for company in companies]
    candidates.sort(key=lambda candidate: (candidate.badness, candidate.process.oom_score), reverse=True)
    return Ranking(tuple(candidates), tuple(spared))


def protection(process: Process, terms: Terms) -> Spared | None:
    """What keeps this process from dying, however much it holds; None if it may die."""
    if process.oom_score_adj <= OOM_SCORE_ADJ_MIN:
        return Spared(process, Shield.OOM_SCORE_ADJ)
    if terms.only_uid not in (-1, process.uid):
        return Spared(process, Shield.OTHER_USER)
    advice = advised_by(terms.advice, process)
    if advice:
        return Spared(process, Shield.KILLER_TOML, advice)
    never = matched_by(terms.victims.never, process)
    if never:
        return Spared(process, Shield.NEVER, never)
    unjudged = why_unjudged(terms.victims.never, process)
    if unjudged:
        return Spared(process, Shield.UNJUDGED, unjudged)
    if not is_among(terms.victims.only, process):
        return Spared(process, Shield.OUTSIDE_ONLY)
    return Spared(process, Shield.OMIT) if process.preference == OMIT else None


def grows(process: Process) -> bool:
    """Whether he has gained a noticeable part of what he holds of late."""
    return process.gained_bytes * _NOTICEABLE_GROWTH >= process.held_bytes


def _companies(
    eligible: list[Process], known: list[Process], protected: dict[int, Spared], terms: Terms
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

    Its compilers each gain a little, and the larger, idle program beside it nothing. And if no unit does, several may:
    the fewest that gained this much together.
    """
    half = max(sum(process.gained_bytes for process in known) // 2, terms.filled_bytes // 2)
    least = max(half, terms.minimum_bytes)
    if any(company.gained_bytes > least for company in companies):
        return _Runaway(least)
    gained: dict[str, int] = {}
    for process in known:
        gained[process.cgroup] = gained.get(process.cgroup, 0) + process.gained_bytes
    unit = next((cgroup for cgroup, together in gained.items() if cgroup and together > least), "")
    return _Runaway(least if unit else _least_of_several(companies, half, terms) or least, unit)


def _least_of_several(companies: list[_Company], half: int, terms: Terms) -> int:
    """What each of the fewest has gained more than that gained more than `half` together; 0 if there are none.

    They stand out: each has gained enough to matter, and any other less than half of what each of them has.
    """
    growing = [company.gained_bytes for company in companies if grows(company.members[0])]
    most = [*sorted(growing, reverse=True)[: _MOST_RUNAWAYS + 1], 0]
    together = 0
    for place, gained in enumerate(most[:_MOST_RUNAWAYS]):
        together += gained
        if together > half:
            return gained - 1 if gained > terms.minimum_bytes and most[place + 1] * 2 < gained else 0
    return 0


def _how_it_runs_away(company: _Company, runaway: _Runaway) -> Cause | None:
    """None if it does not. A process that hardly grows does not run away with the others of its unit."""
    if company.gained_bytes > runaway.least:
        return Cause.RUNS_AWAY
    first = company.members[0]
    return Cause.RUNS_AWAY_WITH_UNIT if grows(first) and runaway.cgroup == first.cgroup != "" else None


def placed_together(members: tuple[Process, ...], terms: Terms, *, runs_away: bool) -> Candidate:
    """A candidate of which all these die together, the largest first."""
    return _placed(_Company(members), Cause.RUNS_AWAY if runs_away else None, terms)


def _placed(company: _Company, runs_away: Cause | None, terms: Terms) -> Candidate:
    """The badness of what dies together, and where it comes from. The rules look at its largest process."""
    process, victims, total = company.members[0], terms.victims, terms.total_bytes
    held, moves = company.held_bytes, []
    growth = (2 * held if runs_away else company.gained_bytes) * victims.growth_percent // 100
    if growth:
        moves.append(Move(runs_away or Cause.GAINED, growth))
    if process.oom_score_adj:
        moves.append(Move(Cause.OOM_SCORE_ADJ, process.oom_score_adj * total // 1000))
    preferred, avoided = matched_by(victims.prefer, process), matched_by(victims.avoid, process)
    if not avoided and process.preference == AVOID:
        avoided = "ManagedOOMPreference="
    if preferred:
        moves.append(Move(Cause.PREFERRED, victims.prefer_points * total // 1000, preferred))
    if avoided:
        moves.append(Move(Cause.AVOIDED, -victims.avoid_points * total // 1000, avoided))
    badness = held + sum([move.moved_bytes for move in moves])
    scope = Scope.CGROUP if company.whole else Scope.GROUP if victims.scope == "group" else Scope.PROCESS
    return Candidate(process, badness, held, scope, len(company.members), tuple(moves))
