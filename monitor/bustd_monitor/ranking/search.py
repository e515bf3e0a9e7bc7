"""The few processes that matter, found so that a decision costs the same however many there are.

While memory may soon be short the process table is walked a piece at a time, and the largest are followed. At the
moment of decision only those are looked at again, and whoever has been started since. Only where that can't be enough
the walk is finished first, or even begun anew: when none was finished of late, and when more memory was lost meanwhile
than those who are followed have gained.
"""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import Scope
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.cgroups import MOST_MEMBERS

from ..sensing.process_table import MOST_NEWCOMERS, ProcessTable
from . import growth, order
from .growth import Samples
from .order import Ranking
from .settings import Matchers, Victims
from .terms import Terms
from .tracked import NOWHERE, Tracked

_MOST_FOLLOWED, _MOST_FOLLOWED_BY_RULES = 32, 128
"""A preference can bring somebody from far down to the top."""
_FRESH = 4
"""So many at the top of a ranking were looked at for it, whether they seemed to have moved or not."""

_COST_PER_SECOND = 1000
"""What the walk may cost, in reads of a small file of procfs: about 11 us each."""
_COST_OF_A_SCORE, _COST_OF_A_PLACE, _COST_OF_A_CLOSE_LOOK = 1, 2, 6
_PIECE, _PIECE_AT_ONCE = 16, 1024
_INTERRUPTED_MS = 10_000
_STALE_MS = 300_000
_REST_MS, _MOVES = 10_000, 64
"""After a round there is none for so long, unless a sixty-fourth of memory and swap was lost since it began."""
_VERIFIED = 4
"""So many at the top of a ranking die whole only if everybody in their control group may die."""
_COMMANDS_WAIT_MS = 50
_NOTHING = Matchers((), (), (), ())


def _never() -> bool:
    return False


class Mark(NamedTuple):
    """Where things stood when a round of the walk began."""

    at_ms: int
    room_bytes: int
    gained_bytes: int


class CandidateSearch:
    """Finds candidates in the process table. Times are monotonic milliseconds."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table
        self._tracked = Tracked(table)
        self._watched_ms = -_INTERRUPTED_MS - 1
        self._rooms: Samples = ()
        self._allowance = 0
        self._misses_newcomers = True
        self._new: list[int] = []
        self._unseen: list[int] = []
        """Who has come and was not met yet; and who is still to be looked at for the sample of this second."""
        self._round: Mark | None = None
        self._whole: Mark | None = None
        """The round that is under way, and the last that was finished."""

    @property
    def has_met_everybody(self) -> bool:
        """Whether a round of the walk was ever finished."""
        return self._whole is not None

    def watch(self, terms: Terms, now_ms: int, is_due: Callable[[], bool] = _never) -> None:
        """What those who are followed hold now, and a piece of the walk: as much as the time since the last permits.

        `is_due`: whether it is time for something else. Then the rest is left for after that; a little is always done.
        """
        elapsed_ms = now_ms - self._watched_ms
        self._watched_ms = now_ms
        allowance = self._allowance + elapsed_ms * _COST_PER_SECOND // 1000
        self._allowance = max(min(allowance, _COST_PER_SECOND), -_COST_PER_SECOND)
        if elapsed_ms > _INTERRUPTED_MS:
            self._round = None
        self._allowance -= self._offer_newcomers(terms, now_ms, is_due)
        rooms = growth.sampled(self._rooms, now_ms, terms.room_bytes)
        is_sampled = rooms is not self._rooms  # it is time for a sample
        if is_sampled:
            self._rooms = rooms
            left = self._unseen
            self._unseen = [pid for pid in self._tracked.pids() if pid not in left] + left
        while self._unseen:
            self._tracked.look_again([self._unseen.pop()], now_ms)
            if is_due():
                break
        while self._allowance > 0 and not self._may_rest(terms, now_ms):
            cost = self._walk(terms, now_ms)
            self._allowance -= cost
            if not cost or is_due():
                break
        if is_sampled:
            self._tracked.read_commands()

    def rank(self, terms: Terms, refused: frozenset[tuple[int, int]], now_ms: int) -> Ranking:
        """The order in which to ask. `refused` are (PID, start time) that the killer has refused already."""
        terms = terms._replace(filled_bytes=growth.lost_bytes(self._rooms, now_ms, terms.room_bytes))
        fresh = self._catch_up(terms, now_ms)
        must_meet_everybody = self._may_have_missed_somebody(terms, now_ms)
        if must_meet_everybody:
            self._meet_everybody(terms, now_ms)
        ranking = self._rank_freshly(terms, refused, fresh, now_ms)
        if not ranking.candidates and not must_meet_everybody:
            self._meet_everybody(terms, now_ms)
            ranking = self._rank_freshly(terms, refused, fresh, now_ms)
        return ranking._replace(spared=ranking.spared + self._tracked.spared())

    def _catch_up(self, terms: Terms, now_ms: int) -> set[int]:
        """Look again at those who seem to have changed since the last watch, and at more if needed. Who that was.

        What is left of a round that is under way takes less than a new one, and mostly it is enough.
        """
        self._offer_newcomers(terms, now_ms, _never)
        fresh = self._tracked.look_again_where_moved(now_ms)
        if self._whole is not None:
            fresh |= self._look_for_an_explanation(fresh, terms, now_ms)
        is_under_way = self._round is not None and now_ms <= self._watched_ms + _INTERRUPTED_MS
        if is_under_way and self._may_have_missed_somebody(terms, now_ms):
            self._finish_round(terms, now_ms)
            fresh |= self._look_for_an_explanation(fresh, terms, now_ms)
        return fresh

    def _look_for_an_explanation(self, fresh: set[int], terms: Terms, now_ms: int) -> set[int]:
        """Many who gained a little each may be what is missing. Who was looked at for that."""
        others = set(self._tracked.pids()) - fresh if self._may_have_missed_somebody(terms, now_ms) else set()
        self._tracked.look_again(others, now_ms)
        return others

    def _rank_freshly(self, terms: Terms, refused: frozenset[tuple[int, int]], fresh: set[int], now_ms: int) -> Ranking:
        """The first of this ranking were looked at just now. Command lines are waited for where a rule needs them."""
        if _asks_for_commands(terms.victims):
            self._tracked.read_commands(_COMMANDS_WAIT_MS)
        else:
            self._tracked.learn_commands()
        verified: set[str] = set()
        while True:
            known = [
                process for process in self._tracked.processes() if (process.pid, process.start_ticks) not in refused
            ]
            ranking = order.rank(known, terms)
            stale = [one.process.pid for one in ranking.candidates[:_FRESH] if one.process.pid not in fresh]
            broken = self._broken(ranking, terms, verified)
            if not stale and not broken:
                return ranking
            terms = terms._replace(broken=terms.broken | broken)
            self._tracked.look_again(stale, now_ms)
            fresh.update(stale)

    def _broken(self, ranking: Ranking, terms: Terms, verified: set[str]) -> frozenset[str]:
        """The control groups at the top that the killer would refuse to kill whole."""
        wholes = {one.process.whole for one in ranking.candidates[:_VERIFIED] if one.scope is Scope.CGROUP} - verified
        verified |= wholes
        return frozenset(whole for whole in wholes if self._may_not_die(whole, terms))

    def _may_not_die(self, whole: str, terms: Terms) -> bool:
        """Whether it has too many members, or one who is protected: he may be too small to be followed."""
        pids = self._table.members(whole)
        if len(pids) > MOST_MEMBERS:
            return True
        members = (self._table.read(pid, 0) for pid in pids)
        return any(member is not None and order.protection(member, terms) is not None for member in members)

    def _may_rest(self, terms: Terms, now_ms: int) -> bool:
        """Between two rounds, while memory does not move: with a full page cache a condition is scarce for months."""
        whole = self._whole
        if whole is None or self._round is not None or self._misses_newcomers or now_ms >= whole.at_ms + _REST_MS:
            return False
        return (whole.room_bytes - terms.room_bytes) * _MOVES <= terms.total_bytes

    def _may_have_missed_somebody(self, terms: Terms, now_ms: int) -> bool:
        """Whether one who is not followed could be the one to take.

        He can hold no more than the least of those who are, and what has been lost since he was last met and nobody
        who is followed has gained.
        """
        whole = self._whole
        if whole is None or now_ms > whole.at_ms + _STALE_MS:
            return True
        lost = whole.room_bytes - terms.room_bytes
        unexplained = lost - (self._tracked.gained_bytes - whole.gained_bytes)
        largest = max((process.held_bytes for process in self._tracked.processes()), default=0)
        return unexplained * 2 > largest

    def _offer_newcomers(self, terms: Terms, now_ms: int, is_due: Callable[[], bool]) -> int:
        """What that cost. Where there are too many to tell, or to look at, the walk meets them."""
        newcomers = self._table.newcomers()
        self._misses_newcomers = newcomers is None or len(self._new) + len(newcomers) > MOST_NEWCOMERS
        self._new = [] if self._misses_newcomers else self._new + (newcomers or [])
        cost = 0
        while self._new:
            cost += self._offer(self._new.pop(), terms, now_ms)
            if is_due():
                break
        return cost

    def _walk(self, terms: Terms, now_ms: int) -> int:
        """One piece of the walk. What it cost, 0 at the end of a round."""
        if self._round is None:
            self._begin_round(terms, now_ms)
        pids = self._table.walk(_PIECE)
        if not pids:
            self._end_round(is_whole=pids is not None)
        return sum(self._offer(pid, terms, now_ms) for pid in pids or ())

    def _meet_everybody(self, terms: Terms, now_ms: int) -> None:
        """A whole round at once."""
        self._begin_round(terms, now_ms)
        self._finish_round(terms, now_ms)

    def _finish_round(self, terms: Terms, now_ms: int) -> None:
        """All that is left of it: the first of many get their close look first, so that the others need none."""
        while pids := self._table.walk(_PIECE_AT_ONCE):
            places = {pid: place for pid in pids if (place := self._tracked.place(pid)) != NOWHERE}
            by_place = sorted(places, key=lambda pid: places[pid], reverse=True)
            by_size = sorted(places, key=lambda pid: places[pid][1], reverse=True)
            for pid in dict.fromkeys(pid for pair in zip(by_place, by_size, strict=True) for pid in pair):
                self._tracked.offer(pid, places[pid], _most(terms.victims), terms, now_ms)
        self._end_round(is_whole=pids is not None)

    def _begin_round(self, terms: Terms, now_ms: int) -> None:
        self._table.rewind()
        self._tracked.begin_round(now_ms)
        self._round = Mark(now_ms, terms.room_bytes, self._tracked.gained_bytes)

    def _end_round(self, *, is_whole: bool) -> None:
        if is_whole:
            self._whole = self._round
        self._round = None

    def _offer(self, pid: int, terms: Terms, now_ms: int) -> int:
        """What that cost."""
        place = self._tracked.place(pid)
        if place == NOWHERE:
            return _COST_OF_A_SCORE
        needed_a_look = self._tracked.offer(pid, place, _most(terms.victims), terms, now_ms)
        return _COST_OF_A_PLACE + (_COST_OF_A_CLOSE_LOOK if needed_a_look else 0)


def _asks_for_commands(victims: Victims) -> bool:
    return bool(victims.prefer.commands or victims.avoid.commands or victims.never.commands)


def _most(victims: Victims) -> int:
    """How many are followed. With rules somebody further down could come first, or only his command line protects."""
    has_rules = victims.prefer != _NOTHING or victims.avoid != _NOTHING or bool(victims.never.commands)
    return _MOST_FOLLOWED_BY_RULES if has_rules else _MOST_FOLLOWED
