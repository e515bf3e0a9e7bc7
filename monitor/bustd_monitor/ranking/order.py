"""Which process should die first: pure, from what is known of each to the order and the reason for each place.

Badness is counted in bytes, as the kernel's oom_badness() does (mm/oom_kill.c): what a death would give back, moved by
oom_score_adj and by growth. Bytes that were gained recently count again. A process that has gained more than all others
together, alone or with the rest of its unit, runs away: what it holds counts three times, because any other death would
only feed it.
"""

from __future__ import annotations

from bustd_protocol.messages import Scope
from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import Process
from ..sensing.unread import ALL_READ, Unread
from . import ending, what_may_die
from .family import Family
from .settings import Victims
from .terms import Terms
from .together import takes_an_avoided
from .what_may_die import Cause, Move, Shield, Spared, protection

_MOST_RUNAWAYS = 4
"""If it takes more than these to have gained half, none of them runs away by itself."""
_ALIKE_PART = 8
"""What gained within an eighth of another has gained the same."""
_NOTICEABLE_GROWTH = 16
"""A process that grew by a sixteenth of its size in ten seconds is growing."""


class Candidate(NamedTuple):
    """A process that may die, and its place in the order: the greater its badness (bytes), the sooner it dies.

    `held_bytes`: what it holds, and with it everything in its `scope` that dies too; of that, `known` processes are
    known. `moves`: why its badness is not that. `service`: the system service that ends with it, "" if none does;
    `is_killed_at_once`: it gets SIGKILL instead of SIGTERM (see ending). `children_bytes`: what its children hold,
    which may exit with it. `family`: those that die with it, where it is one of many hands.
    """

    process: Process
    badness: int
    held_bytes: int
    scope: Scope = Scope.PROCESS
    known: int = 1
    moves: tuple[Move, ...] = ()
    service: str = ""
    is_killed_at_once: bool = False
    children_bytes: int = 0
    family: Family | None = None

    @property
    def brings_bytes(self) -> int:
        """Of what it holds, what comes back: copies that a forked child has stay when it dies alone."""
        return self.held_bytes + sum(move.moved_bytes for move in self.moves if move.cause is Cause.COPIED)

    @property
    def runs_away(self) -> bool:
        """Whether it has gained more than all others together, by itself."""
        return any(move.cause is Cause.RUNS_AWAY for move in self.moves)

    @property
    def takes_swap_away(self) -> bool:
        """Whether it is swapoff(8), whose death brings more than what it holds."""
        return any(move.cause is Cause.TAKES_SWAP_AWAY for move in self.moves)

    @property
    def is_held_back(self) -> bool:
        """Whether anything moves it towards the end of the order."""
        return any(move.moved_bytes < 0 for move in self.moves)

    def alone(self) -> Candidate:
        """The same process, without the others that would die with it: what a forked child keeps stays then."""
        service, copied = ending.service_ended_with(self.process, ""), self.process.copied_bytes
        moves = tuple(move for move in self.moves if move.cause is not Cause.COPIED)
        moves += (Move(Cause.COPIED, -copied),) if copied else ()
        held_bytes = self.process.held_bytes
        return self._replace(scope=Scope.PROCESS, held_bytes=held_bytes, service=service, family=None, moves=moves)


class Ranking(NamedTuple):
    """The candidates, the first to die first; which were left out, and which could not be read."""

    candidates: tuple[Candidate, ...]
    spared: tuple[Spared, ...]
    unread: Unread = ALL_READ


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
    children: dict[int, int] = {}
    for process in processes:
        children[process.parent] = children.get(process.parent, 0) + process.held_bytes
    candidates = [_placed(company, _how_it_runs_away(company, runaway), terms, children) for company in companies]
    candidates.sort(key=lambda candidate: (candidate.badness, candidate.process.oom_score), reverse=True)
    return Ranking(tuple(candidates), tuple(spared))


def grows(process: Process) -> bool:
    """Whether it has gained a noticeable part of what it holds in the last ten seconds."""
    return process.gained_bytes * _NOTICEABLE_GROWTH >= process.held_bytes


def _companies(
    eligible: list[Process], known: list[Process], protected: dict[int, Spared], terms: Terms
) -> list[_Company]:
    """Which processes die together. A protected one breaks its company up: the killer would refuse the whole of it.

    So does one that is avoided (see together).
    """
    together: dict[str, list[Process]] = {}
    for process in known:
        if _dies_whole(process, terms.victims):
            together.setdefault(process.whole, []).append(process)
    broken = terms.broken | {
        whole
        for whole, members in together.items()
        if any(member.pid in protected for member in members)
        or takes_an_avoided(max(members, key=lambda member: member.held_bytes), members, terms.victims)
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
    """What runs away: a process that gained more than `least`, or else the growing ones in `cgroup`."""

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

    They stand out: each has gained enough to matter, and any other less than half of what each of them has. Those that
    have gained the same are told from no other of them: of three equal leaks all run away.
    """
    growing = [company.gained_bytes for company in companies if grows(company.members[0])]
    most = [*sorted(growing, reverse=True)[: _MOST_RUNAWAYS + 1], 0]
    together = 0
    for gained in most[:_MOST_RUNAWAYS]:
        together += gained
        if together > half:
            place = sum([one * _ALIKE_PART >= gained * (_ALIKE_PART - 1) for one in most[:-1]])
            least, more = most[place - 1], most[place]
            stand_out = place <= _MOST_RUNAWAYS and least > terms.minimum_bytes and more * 2 < least
            return least - 1 if stand_out else 0
    return 0


def _how_it_runs_away(company: _Company, runaway: _Runaway) -> Cause | None:
    """None if it does not. A process that hardly grows does not run away with the others of its unit."""
    if company.gained_bytes > runaway.least:
        return Cause.RUNS_AWAY
    first = company.members[0]
    return Cause.RUNS_AWAY_WITH_UNIT if grows(first) and runaway.cgroup == first.cgroup != "" else None


def placed_together(members: tuple[Process, ...], whole: str, terms: Terms, *, runs_away: bool) -> Candidate:
    """A candidate of which all these die together, the largest first. `whole`: the control group, if all of it dies."""
    return _placed(_Company(members, whole), Cause.RUNS_AWAY if runs_away else None, terms, {})


def _placed(company: _Company, runs_away: Cause | None, terms: Terms, children: dict[int, int]) -> Candidate:
    """The badness of what dies together, and where it comes from. The rules look at its largest process."""
    process, victims = company.members[0], terms.victims
    held = company.held_bytes
    moves: list[Move] = []
    growth = (2 * held if runs_away else company.gained_bytes) * victims.growth_percent // 100
    if growth:
        moves.append(Move(runs_away or Cause.GAINED, growth))
    is_alone = len(company.members) == 1 and not company.whole
    moves += what_may_die.moves(process if is_alone else process._replace(copied_bytes=0), terms)
    badness = held + sum([move.moved_bytes for move in moves])
    is_group = victims.scope == "group" or process.twins
    scope = Scope.CGROUP if company.whole else Scope.GROUP if is_group else Scope.PROCESS
    beside = children.get(process.pid, 0) if scope is Scope.PROCESS else 0
    service = ending.service_ended_with(process, company.whole)
    ends = service, ending.is_killed_at_once(service, victims)
    return Candidate(process, badness, held, scope, len(company.members), tuple(moves), *ends, beside)
