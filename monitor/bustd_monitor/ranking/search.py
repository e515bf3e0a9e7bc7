"""Finds the few processes that matter, so that a decision costs the same however many processes there are.

- Tracked processes are the largest that were found so far. Each is read again once a second, and so its growth is known
  (ranking.tracked).
- A round is a walk through the whole process table. It goes a piece at a time while memory may soon be short, and
  offers every process that it meets: those among the largest are tracked from then on.
- A newcomer is a process whose PID the kernel assigned since the last call. It is offered without waiting for a round.

A decision reads only the tracked processes again and offers the newcomers. That can't be enough when no round was
finished recently, and when more memory was lost since then than the tracked processes have gained. The first of such
decisions offers the processes of the control groups that matter (ranking.group_search). Where that is not enough
either, it finishes the round that is under way, or makes a whole one.
"""

from __future__ import annotations

from collections.abc import Callable

from ..sensing.group_charges import GroupCharges
from ..sensing.process_table import MOST_NEWCOMERS, ProcessTable
from ..sensing.processes import Process
from . import bound, order, swapoff
from .accounts import Accounts
from .census import SizeCensus
from .family_search import FamilySearch, Refused
from .group_look import GroupLook, is_enough
from .order import Candidate, Ranking
from .round_start import Room, RoundStart
from .terms import Terms
from .tracked import NOWHERE, Place, Tracked, asks_for_commands, largest_first, most_tracked
from .whole_groups import WholeGroups

_FRESH = 4
"""This many at the top of a ranking were read for this ranking, also where their place had not changed."""

_COST_PER_SECOND = 1000
"""The cost that the walk may have, in reads of a small file of procfs, which take about 11 us each."""
_COST_OF_A_PLACE, _COST_OF_A_CLOSE_LOOK = 2, 6
_PIECE, _PIECE_AT_ONCE = 16, 1024
_INTERRUPTED_MS = 10_000
_STALE_MS = 300_000
_REST_MS, _MOVES = 10_000, 64
"""The next round begins this long after the last one began, or when a 64th of memory and swap was lost since then."""
_COMMANDS_WAIT_MS = 50


class CandidateSearch:
    """Finds candidates in the process table, by `groups` first if they are given. Times are monotonic milliseconds."""

    def __init__(self, table: ProcessTable, groups: GroupCharges | None = None) -> None:
        self._table = table
        self._tracked = Tracked(table)
        self._look = GroupLook(groups, table, self._tracked)
        self._census = SizeCensus()
        self._wholes = WholeGroups(table)
        self._families = FamilySearch(table, self._census, self._wholes.may_not_die)
        self._watched_ms, self._looked_ms = -_INTERRUPTED_MS - 1, -_STALE_MS - 1
        self._accounts = Accounts()
        self._allowance = 0
        self._misses_newcomers = True
        self._newcomers: list[int] = []
        """PIDs of newcomers that were not offered yet."""
        self._unsampled: list[int] = []
        """PIDs of tracked processes that are still to be read for the sample of this second."""
        self._round: RoundStart | None = None
        self._last_round: RoundStart | None = None
        """The round that is under way, and the last one that was finished."""
        self._room = Room()

    @property
    def has_finished_a_round(self) -> bool:
        """Whether a round was ever finished."""
        return self._last_round is not None

    def watch(self, terms: Terms, now_ms: int, is_due: Callable[[], bool] = lambda: False) -> None:
        """Offer the newcomers, read the tracked processes, and walk on, as far as the time since the last call permits.

        `is_due` returns whether the caller has something else to do now. Then the rest is left for the next call, but
        something of each is always done. After a decision by control groups it walks the whole table.
        """
        elapsed_ms = now_ms - self._watched_ms
        self._watched_ms = now_ms
        self._room.note(terms.room_bytes, terms.total_bytes)
        allowance = self._allowance + elapsed_ms * _COST_PER_SECOND // 1000
        self._allowance = max(min(allowance, _COST_PER_SECOND), -_COST_PER_SECOND)
        cost = self._offer_newcomers(terms, now_ms, is_due)
        if elapsed_ms > _INTERRUPTED_MS:
            self._round, cost = None, 0  # the sooner a round is made, the sooner growth in many small hands is seen
            self._census.forget()
        self._allowance -= cost
        is_sampled = self._accounts.note(terms, self._tracked.processes, now_ms)
        if is_sampled:
            self._unsampled = [pid for pid in self._tracked.pids() if pid not in self._unsampled] + self._unsampled
        while self._unsampled:
            self._tracked.look_again([self._unsampled.pop()], now_ms)
            if is_due():
                break
        while self._owes_a_round() or (self._allowance > 0 and not self._may_rest(terms, now_ms)):
            cost = self._walk(terms, now_ms)
            self._allowance -= cost
            if not cost or is_due():
                break
        if is_sampled:
            self._tracked.read_commands()

    def rank(self, terms: Terms, refused: Refused, now_ms: int) -> Ranking:
        """The candidates in their order. `refused`: (PID, start time) of each process that the killer has refused."""
        terms = terms._replace(filled_bytes=self._accounts.filled_bytes(terms, now_ms))
        self._room.note(terms.room_bytes, terms.total_bytes)
        self._table.begin_look()
        try:
            fresh = self._catch_up(terms, now_ms)
            ranking = self._by_groups(terms, refused, fresh, now_ms) or self._by_walk(terms, refused, fresh, now_ms)
            ranking = self._families.joined(ranking, terms, refused, now_ms)
            ranking = swapoff.put_first(ranking, self._table, terms, refused)
        finally:
            self._table.end_look()
        return ranking._replace(spared=ranking.spared + self._tracked.spared(), unread=self._table.unread())

    def known(self, terms: Terms, refused: Refused, now_ms: int) -> tuple[Candidate, ...]:
        """The candidates as they are known from the last watch, without a look at any; none if that was long ago."""
        if now_ms > self._watched_ms + _INTERRUPTED_MS:
            return ()
        terms = terms._replace(filled_bytes=self._accounts.filled_bytes(terms, now_ms))
        return self._ranked(terms, refused, now_ms).candidates

    def bound_to(self, node: int) -> tuple[Process, ...] | None:
        """The largest processes that are bound to a NUMA node: see ranking.bound. It takes as long as a round."""
        return bound.bound_to(node, self._table)

    def _by_groups(self, terms: Terms, refused: Refused, fresh: set[int], now_ms: int) -> Ranking | None:
        """The ranking after a look at the control groups that matter; None where a walk is needed, or nothing is.

        The next decision does not: what grows in many small processes is seen from one walk to the next alone.
        """
        if now_ms <= self._looked_ms + _STALE_MS or not self._may_have_missed_one(terms, now_ms):
            return None
        self._looked_ms = now_ms
        hidden = self._look.hidden_bytes(lambda pids: self._offer_at_once(pids, terms, now_ms), terms)
        if hidden is None:
            return None
        ranking = self._rank_freshly(terms, refused, fresh, now_ms)
        return ranking if is_enough(ranking, hidden, terms) else None

    def _by_walk(self, terms: Terms, refused: Refused, fresh: set[int], now_ms: int) -> Ranking:
        """The ranking of the tracked, after a walk where one may have been missed or none may die.

        The rest of a round that is under way takes less time than a new one, and mostly it is enough.
        """
        is_under_way = self._round is not None and now_ms <= self._watched_ms + _INTERRUPTED_MS
        if is_under_way and self._may_have_missed_one(terms, now_ms):
            self._finish_round(terms, now_ms)
            fresh |= self._look_for_small_gains(fresh, terms, now_ms)
        if not self._may_have_missed_one(terms, now_ms):
            ranking = self._rank_freshly(terms, refused, fresh, now_ms)
            if ranking.candidates:
                return ranking
        self._begin_round(terms, now_ms)
        self._finish_round(terms, now_ms)
        return self._rank_freshly(terms, refused, fresh, now_ms)

    def _catch_up(self, terms: Terms, now_ms: int) -> set[int]:
        """Read the tracked processes again that have changed since the last watch, and more if needed. Their PIDs."""
        self._offer_newcomers(terms, now_ms, lambda: False)
        fresh = self._tracked.look_again_where_moved(now_ms, is_swap_empty=terms.is_swap_empty)
        if self._last_round is not None:
            fresh |= self._look_for_small_gains(fresh, terms, now_ms)
        return fresh

    def _look_for_small_gains(self, fresh: set[int], terms: Terms, now_ms: int) -> set[int]:
        """Read the other tracked processes while a loss is unexplained: each may have gained a little. Their PIDs."""
        others = set(self._tracked.pids()) - fresh if self._may_have_missed_one(terms, now_ms) else set()
        self._tracked.look_again(others, now_ms)
        return others

    def _rank_freshly(self, terms: Terms, refused: Refused, fresh: set[int], now_ms: int) -> Ranking:
        """A ranking whose first candidates were read for it. Command lines are waited for where a rule needs them."""
        if asks_for_commands(terms.victims):
            self._tracked.read_commands(_COMMANDS_WAIT_MS)
        else:
            self._tracked.learn_commands()
        verified: set[str] = set()
        while True:
            ranking = self._ranked(terms, refused, now_ms)
            stale = [one.process.pid for one in ranking.candidates[:_FRESH] if one.process.pid not in fresh]
            broken = self._wholes.broken(ranking, terms, verified)
            is_news = self._tracked.look_again(stale, now_ms)
            if not is_news and not broken:
                return ranking
            terms = terms._replace(broken=terms.broken | broken)
            fresh.update(stale)

    def _ranked(self, terms: Terms, refused: Refused, now_ms: int) -> Ranking:
        """The ranking of the tracked processes as they were read last."""
        known = [one for one in self._tracked.processes() if (one.pid, one.start_ticks) not in refused]
        return order.rank(self._accounts.settled(known, terms, now_ms, self._table.age_ms), terms)

    def _may_rest(self, terms: Terms, now_ms: int) -> bool:
        """Whether no round need begin yet, because hardly any memory was lost since the last.

        With a full page cache memory may look scarce for months.
        """
        last = self._last_round
        if last is None or self._round is not None or self._misses_newcomers or now_ms >= last.at_ms + _REST_MS:
            return False
        return (last.room_bytes - self._room.bytes) * _MOVES <= terms.total_bytes

    def _owes_a_round(self) -> bool:
        """Whether the last decision looked at control groups, and no round was finished since then."""
        return self._looked_ms > (self._last_round.at_ms if self._last_round is not None else -_STALE_MS - 1)

    def _may_have_missed_one(self, terms: Terms, now_ms: int) -> bool:
        """Whether a process that is not tracked could be the right victim.

        Such a process holds at most as much as the least tracked one, plus the memory that was lost since the last
        round began and that no tracked process has gained. It matters where that is half of what the largest holds.
        """
        last = self._last_round
        if last is None or now_ms > last.at_ms + _STALE_MS:
            return True
        lost = last.room_bytes - self._room.bytes
        shared_gained = self._tracked.shared_gained_bytes - last.shared_gained_bytes
        shared_gained = min(shared_gained, max(terms.shared_bytes - last.shared_bytes, 0))
        unexplained = lost - (self._tracked.gained_bytes - last.gained_bytes) - shared_gained
        return unexplained * 2 > self._tracked.largest_bytes(terms.shared_bytes)

    def _offer_newcomers(self, terms: Terms, now_ms: int, is_due: Callable[[], bool]) -> int:
        """Offer the newcomers; returns the cost. Where they are too many or not known, a round has to find them."""
        newcomers = self._table.newcomers()
        self._misses_newcomers = newcomers is None or len(self._newcomers) + len(newcomers) > MOST_NEWCOMERS
        self._newcomers = [] if self._misses_newcomers else self._newcomers + (newcomers or [])
        cost = 0
        while self._newcomers:
            cost += self._offer(self._newcomers.pop(), terms, now_ms)
            if is_due():
                break
        return cost

    def _walk(self, terms: Terms, now_ms: int) -> int:
        """Walk one piece of a round; returns the cost, 0 at the end of the round."""
        if self._round is None:
            self._begin_round(terms, now_ms)
        pids = self._table.walk(_PIECE)
        if not pids:
            self._end_round(is_complete=pids is not None)
        return sum(self._offer(pid, terms, now_ms) for pid in pids or ())

    def _finish_round(self, terms: Terms, now_ms: int) -> None:
        """Walk to the end of the round."""
        while pids := self._table.walk(_PIECE_AT_ONCE):
            self._offer_at_once(pids, terms, now_ms)
        self._end_round(is_complete=pids is not None)

    def _offer_at_once(self, pids: list[int], terms: Terms, now_ms: int) -> None:
        """Offer many. The largest are offered first, so that the others need not be read closely."""
        places = {pid: place for pid in pids if (place := self._place(pid)) != NOWHERE}
        for pid in largest_first(places):
            self._tracked.offer(pid, places[pid], most_tracked(terms.victims), terms, now_ms)

    def _begin_round(self, terms: Terms, now_ms: int) -> None:
        self._table.rewind()
        self._tracked.begin_round(now_ms)
        self._census.begin(now_ms, terms.room_bytes)
        gained = self._tracked.gained_bytes, self._tracked.shared_gained_bytes
        self._round = RoundStart(now_ms, self._room.bytes, *gained, terms.shared_bytes)

    def _end_round(self, *, is_complete: bool) -> None:
        if is_complete:
            self._last_round = self._round
            self._census.end()
        self._round = None

    def _place(self, pid: int) -> Place:
        """The place of a process that is offered."""
        place = self._tracked.place(pid)
        if place != NOWHERE:
            self._census.saw(pid, place[1])
        return place

    def _offer(self, pid: int, terms: Terms, now_ms: int) -> int:
        """Offer a process to be tracked; returns the cost."""
        place = self._place(pid)
        if place == NOWHERE:
            return _COST_OF_A_PLACE
        needed_a_look = self._tracked.offer(pid, place, most_tracked(terms.victims), terms, now_ms)
        return _COST_OF_A_PLACE + (_COST_OF_A_CLOSE_LOOK if needed_a_look else 0)
