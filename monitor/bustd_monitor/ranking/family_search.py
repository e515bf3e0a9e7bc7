"""Finds a family that runs away, in the census of the process table, and puts it into the ranking.

It looks only where no single process runs away. What it reads more closely is what has gained: that costs a stat and a
statm each, and everything of those that are the family.
"""

from __future__ import annotations

from bustd_protocol import limits
from bustd_protocol.messages import Scope
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.cgroups import MOST_MEMBERS

from ..sensing.kin import Kin
from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from . import accounting, books, families, order
from .accounting import SharedMemory
from .census import Count, SizeCensus
from .families import Growth, Hand, Member, Pool, Why
from .family import Family
from .matching import avoided_by
from .order import Candidate, Ranking
from .settings import Victims
from .terms import Terms
from .what_may_die import protection

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    MayNotDie = Callable[[str, Process, Terms], bool]

_NOTICED = 256 * 1024
"""A process that has gained less, or holds less, is not looked at."""
_MATTERS = 2**20
"""Where nothing grows: a process that holds less is not killed for what its kin holds."""
_MOST_LOOKED_AT, _MOST_OF_ALL = 1024, 512
"""Of those that have gained, and where nothing was seen to gain or everything may matter."""
_MOST_POOLS, _MOST_PARENTS = 3, 16
_COUNTED_PART = 16
"""The kernel counts the pages of a process within a few dozen for each processor (proc_pid_statm(5))."""
_REMEMBERED_MS = 60_000
_MOST_REMEMBERED = 16
_COMMANDS_WAIT_MS = 50

Refused = frozenset[tuple[int, int]]


class _Found(NamedTuple):
    """A family as it may die, and what all processes have gained."""

    members: list[Member]
    pool: Pool
    why: Why

    @property
    def weight(self) -> tuple[bool, int, int]:
        """The greatest is the family that dies."""
        gained = sum(member.process.gained_bytes for member in self.members)
        return self.why is Why.RUNS_AWAY, gained, sum(member.process.held_bytes for member in self.members)


class _Look(NamedTuple):
    """What holds for one search. `has_copies`: a child may hold copies of what its parent holds."""

    terms: Terms
    refused: Refused
    now_ms: int
    grew: Growth
    has_copies: bool


class FamilySearch:
    """Of the processes in `table`, by what was seen of them in `census`. Times are monotonic milliseconds.

    `may_not_die`: whether a control group can't die whole with this process.
    """

    def __init__(self, table: ProcessTable, census: SizeCensus, may_not_die: MayNotDie) -> None:
        self._table, self._census, self._may_not_die = table, census, may_not_die
        self._chosen: dict[int, int] = {}
        """PIDs of parents whose family was put first, and when: if one forks it again, it dies with the next."""

    def joined(self, ranking: Ranking, terms: Terms, refused: Refused, now_ms: int) -> Ranking:
        """The ranking with the family that runs away, if there is one, in the place of its members."""
        if not terms.needed_bytes or _one_runs_away(ranking):
            return ranking
        found = self._find(ranking.candidates, terms, refused, now_ms)
        if found is None:
            return ranking
        candidate = self._candidate(found, terms, now_ms)
        assert candidate.family is not None
        pids = {candidate.process.pid, *(pid for pid, _ in candidate.family.others)}
        singles = [one for one in ranking.candidates if one.process.pid not in pids]
        place = sum(single.badness > candidate.badness for single in singles)
        if place == 0 and found.pool.kinship.parent:
            self._remember(found.pool.kinship.parent, now_ms)
        return ranking._replace(candidates=(*singles[:place], candidate, *singles[place:]))

    def _find(self, singles: tuple[Candidate, ...], terms: Terms, refused: Refused, now_ms: int) -> _Found | None:
        """The family that runs away, or else the one that holds most."""
        before = self._census.before(now_ms)
        may_hold_most = max((one.brings_bytes for one in singles), default=0) * 2 < terms.needed_bytes
        lost = None if before is None else max(before.room_bytes - terms.room_bytes, 0)
        if not may_hold_most and lost is not None and max(lost, terms.filled_bytes) <= terms.minimum_bytes:
            return None  # nothing runs away where hardly anything was lost
        hands = self._hands(before, is_all=may_hold_most or before is None)
        is_each_once = (lambda: False) if before is not None else (lambda: self._is_each_page_once(terms))
        apart = families.without_copies(hands, max(lost or 0, terms.filled_bytes), is_each_once)
        hands = apart or hands
        grew = Growth(sum(hand.gained for hand in hands), lost)
        look = _Look(terms, refused, now_ms, grew, has_copies=apart is None)
        pools = [pool for pool in families.pools(hands) if pool.size >= terms.minimum_bytes]
        by_gain = sorted(pools, key=lambda pool: (pool.gained, pool.size), reverse=True)[:_MOST_POOLS]
        by_size = sorted(pools, key=lambda pool: pool.size, reverse=True)[:_MOST_POOLS]
        known: dict[int, Process | None] = {}
        found = []
        for pool in dict.fromkeys(by_gain + by_size if may_hold_most else by_gain):
            if may_hold_most or pool.gained * 2 > grew.gained:
                members = self._members(pool, known, look)
                grown = [member for member in members if member.process.gained_bytes >= _NOTICED]
                for those in families.together(grown):
                    if families.runs_away(those, singles, grew, terms):
                        found.append(_Found(those, pool, Why.RUNS_AWAY))
                for those in families.together([one for one in members if one.process.held_bytes >= _MATTERS]):
                    if families.holds_most(those, singles, terms):
                        found.append(_Found(those, pool, Why.HOLDS_MOST))
        return max(found, key=lambda one: one.weight, default=None)

    def _is_each_page_once(self, terms: Terms) -> bool:
        """Whether all processes together hold no more anonymous memory than the machine has. All are looked at."""
        together = sum([self._table.anonymous_bytes(pid) for pid in self._table.pids()])
        return 0 < together * _COUNTED_PART <= terms.anonymous_bytes * (_COUNTED_PART + 1)

    def _hands(self, before: Count | None, *, is_all: bool) -> list[Hand]:
        """The processes of which a family may consist: what has gained, or everything."""
        seen, known = self._census.kib(), before.kib() if before is not None else None
        least = {} if is_all or known is None else known
        held_before = least.get
        noticed = [(kib, pid) for pid, kib in seen.items() if kib - held_before(pid, 0) >= _NOTICED // 1024]
        most = _MOST_OF_ALL if is_all else _MOST_LOOKED_AT
        kins = [self._table.kin(pid) for _, pid in sorted(noticed, reverse=True)[:most]]
        found = {kin.pid: kin for kin in kins if kin is not None}
        # A new process was small when it was first seen.
        sizes = {pid: self._table.resident_bytes(pid) for pid in found}
        for parent in {kin.parent for kin in found.values()} & seen.keys() - found.keys():
            kins.append(self._table.kin(parent))
            sizes[parent] = seen[parent] * 1024
        comms = {kin.pid: kin.comm for kin in kins if kin is not None}
        return [
            families.hand_of(
                kin,
                sizes[kin.pid],
                known,
                self._table.age_ms(kin),
                sizes[kin.parent] if comms.get(kin.parent) == kin.comm else 0,
            )
            for kin in found.values()
        ]

    def _members(self, pool: Pool, known: dict[int, Process | None], look: _Look) -> list[Member]:
        """Those of a pool that may die, each read closely, once; of very many those that gained and hold most."""
        terms = look.terms
        hands = sorted(pool.hands, key=lambda one: (one.gained, one.size), reverse=True)[:MOST_MEMBERS]
        unknown = [hand.kin for hand in hands if hand.kin.pid not in known]
        known |= {kin.pid: None for kin in unknown} | {process.pid: process for process in self._read(unknown, terms)}
        read = [(hand, process) for hand in hands if (process := known[hand.kin.pid]) is not None]
        grown = [one._replace(gained_bytes=families.gained_by(hand, one.held_bytes, look.grew)) for hand, one in read]
        counted = self._counted(grown, pool, look)
        return [
            Member(hand.kin, process._replace(gained_bytes=min(process.gained_bytes, process.held_bytes)))
            for hand, _ in read
            if _may_die(process := counted[hand.kin.pid], hand.kin, terms, look.refused)
        ]

    def _counted(self, processes: list[Process], pool: Pool, look: _Look) -> dict[int, Process]:
        """What counts for each, by PID: copies of what the parent holds do not, and shared memory counts once."""
        unread = {hand.kin.parent for hand in pool.hands} - {one.pid for one in processes}
        parents = [self._table.read(pid, 0) for pid in sorted(unread)[:_MOST_PARENTS]]
        known = [*processes, *(parent for parent in parents if parent is not None)]
        shared = SharedMemory(look.terms.shared_bytes)
        counted = accounting.counted_together(known, shared, has_copies=look.has_copies)
        terms, age_ms = look.terms, self._table.age_ms
        settled = books.corrected(counted, terms.books, terms.in_use_bytes, look.now_ms, age_ms)
        return {one.pid: one for one in settled}

    def _read(self, kins: list[Kin], terms: Terms) -> list[Process]:
        """Each of these as it is now, with its command line where a rule asks for that; without, it is left out."""
        found = [process for kin in kins if (process := self._table.read(kin.pid, 0)) is not None]
        if not _asks_for_commands(terms.victims):
            return found
        for process in found:
            self._table.command(process)
        self._table.read_commands()
        self._table.await_commands(_COMMANDS_WAIT_MS)
        lines = [(process, self._table.command(process)) for process in found]
        return [
            process._replace(command=line.text, command_trouble=line.trouble)
            for process, line in lines
            if line is not None
        ]

    def _candidate(self, found: _Found, terms: Terms, now_ms: int) -> Candidate:
        """How it dies: its unit whole, or its members alone, and with them a parent that has forked them again."""
        members, kinship = found.members, found.pool.kinship
        parent = self._table.kin(kinship.parent) if kinship.parent else None
        again = self._that_forks_again(parent, members, terms, now_ms)
        dying = members if again is None else [*members, again]
        is_whole, whole = self._dies_whole(members, terms), members[0].process.whole
        processes = tuple(one.process for one in members)
        runs_away = found.why is Why.RUNS_AWAY
        placed = order.placed_together(processes, whole if is_whole else "", terms, runs_away=runs_away)
        family = Family(
            kinship._replace(comm=_common_name(members)),
            tuple((one.process.pid, one.process.start_ticks) for one in dying[1:]),
            sum(one.process.held_bytes for one in members[: limits.MEMBERS + 1]),
            parent.comm if parent is not None else b"",
            is_whole=is_whole,
            born_ticks=max(one.kin.start_ticks for one in members),
        )
        scope = Scope.CGROUP if whole else Scope.GROUP
        return placed._replace(scope=scope, family=family)

    def _dies_whole(self, members: list[Member], terms: Terms) -> bool:
        first = members[0].process
        if not first.whole:
            return terms.victims.scope == "group"
        unit = {pid: self._table.resident_bytes(pid) for pid in self._table.members(first.whole)}
        sizes = {one.process.pid: unit.get(one.process.pid, 0) for one in members}
        wanted = first.is_indivisible or terms.victims.scope == "cgroup"
        if not wanted and not families.is_most_of(members, unit, sizes, terms):
            return False
        return not self._may_not_die(first.whole, first, terms)

    def _that_forks_again(self, parent: Kin | None, members: list[Member], terms: Terms, now_ms: int) -> Member | None:
        """The parent, if a family of it was to die before any of these was born, and it may die with them."""
        chosen_ms = self._chosen.get(parent.pid) if parent is not None else None
        if parent is None or chosen_ms is None or now_ms - chosen_ms > _REMEMBERED_MS:
            return None
        if any(self._table.age_ms(one.kin) >= now_ms - chosen_ms for one in members):
            return None
        for process in self._read([parent], terms):
            member = Member(parent, process)
            if _may_die(process, parent, terms, frozenset()):
                return member if families.place_of(member) == families.place_of(members[0]) else None
        return None

    def _remember(self, parent: int, now_ms: int) -> None:
        self._chosen = {pid: ms for pid, ms in self._chosen.items() if now_ms - ms <= _REMEMBERED_MS}
        if len(self._chosen) < _MOST_REMEMBERED:
            self._chosen.setdefault(parent, now_ms)


def _one_runs_away(ranking: Ranking) -> bool:
    """Whether a single process was seen to: of several it may be that no death helps.

    Of a newcomer all that it holds counts as gained, and many small ones may have come with it.
    """
    running = [one.process for one in ranking.candidates if one.runs_away]
    return len(running) == 1 and running[0].gained_bytes < running[0].held_bytes


def _may_die(process: Process, kin: Kin, terms: Terms, refused: Refused) -> bool:
    """Whether it may die with others. One that is avoided does not: it would die for what they have done."""
    if process.start_ticks != kin.start_ticks or (kin.pid, kin.start_ticks) in refused:
        return False
    return protection(process, terms) is None and not avoided_by(terms.victims, process)


def _asks_for_commands(victims: Victims) -> bool:
    return any(table.commands for table in (victims.never, victims.only, victims.avoid))


def _common_name(members: list[Member]) -> bytes:
    """The name of most of them."""
    names = [one.process.comm for one in members]
    return max(dict.fromkeys(names), key=names.count)
