"""What drives the decisions: it performs the actions that `deciding` returns, and hands back what came of them.

The live loop and a replay share it. Where they differ stands in `Performer`: what the time is, and where requests and
sentences go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bustd_protocol.messages import Exited, KillerHello, Scope, Verdict

from .config import MonitorConfig
from .deciding import states
from .deciding.actions import (
    MOST_CANDIDATES,
    Action,
    Ask,
    Asked,
    Escalate,
    Flight,
    NodeIsFull,
    NoVictim,
    Rank,
    Scarce,
    ShortSoon,
)
from .deciding.events import Chosen, Event, NextAsked, NotRead, StageChanged, Unjudged
from .deciding.stages import Stage
from .deciding.states import State
from .deciding.worth_killing import in_their_turn, needed_bytes
from .ranking.order import Candidate
from .ranking.search import CandidateSearch
from .ranking.terms import Rules, Terms, terms_at
from .ranking.together import may_die_together
from .ranking.what_may_die import Shield
from .reporting.repeated import Repeated
from .sensing.processes import Process
from .sensing.reading import Reading
from .sensing.unread import ALL_READ

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Protocol

    from .conditions.finding import Finding

    class Performer(Protocol):
        """The machine and its killer, or a trace. A hold: for this many milliseconds no process is asked for."""

        def now_ns(self) -> int:
            """The time: monotonic nanoseconds."""

        def instead_of_ranking_ms(self, finding: Finding, reading: Reading) -> int:
            """0 if a ranking makes sense now, or the hold: no process could be asked for, and that has been said."""

        def second_look(self) -> Reading | None:
            """A reading after the ranking, None if it makes no sense."""

        def ask(self, ask: Ask) -> int:
            """Ask the killer. 0 if that was done, or the hold: it was not."""

        def escalate(self, action: Escalate) -> None:
            """Ask the killer for SIGKILL for the process in flight."""

        def tell(self, event: Event) -> None:
            """For the log: after the request that it is about, which must not wait for it."""


_UNREADABLE_HOLD_MS = 1000


class Driver:
    """The state of the decisions and what changes it. Times are monotonic milliseconds.

    `rules`: of the configuration, and of the killer: which processes it protects, and how much a victim must hold.
    """

    def __init__(self, config: MonitorConfig, rules: Rules, search: CandidateSearch, performer: Performer) -> None:
        self.config = config
        self.state = State()
        self._rules = rules
        self._search = search
        self._performer = performer
        self._repeated = Repeated(performer.tell)
        self._reading: Reading | None = None
        self._asked: Asked | None = None

    def configure(self, config: MonitorConfig) -> None:
        """A new configuration."""
        self.config = config
        self._rules = self._rules._replace(victims=config.victims)

    # --- what happens

    def read(self, reading: Reading, now_ms: int) -> None:
        """A reading has come."""
        self._reading, before = reading, self.state.stage
        self.state, actions = states.on_reading(self.state, reading, now_ms, self.config.conditions)
        if self.config.verbose and self.state.stage is not before:
            self._performer.tell(StageChanged(before, self.state.stage, reading))
        self._perform(actions)

    def watch(self, now_ms: int, is_due: Callable[[], bool]) -> None:
        """After a reading that is not calm: follow the candidates, until it is time for something else."""
        if self.state.stage is not Stage.CALM and self._reading is not None:
            self._search.watch(self._terms(self._reading), now_ms, is_due)

    def met(self, hello: KillerHello) -> None:
        """A killer has said Hello."""
        self._rules = self._rules._replace(minimum_bytes=hello.minimum_bytes)
        self.state = states.on_hello(self.state, hello)

    def answered(self, verdict: Verdict, now_ms: int) -> None:
        """The killer has answered a request."""
        if self._asked is None:
            return
        self.state, actions = states.on_verdict(self.state, self._asked, verdict, now_ms)
        self._perform(actions)
        for action in actions:
            if isinstance(action, Ask):
                self._performer.tell(NextAsked(action))

    def resumed(self, flight: Flight) -> None:
        """The kill whose end was told is in flight again: what was asked of it crossed that end."""
        self.state = states.on_resumed(self.state, flight)

    def exited(self, exited: Exited) -> None:
        """The kill in flight is over."""
        self.state = states.on_exited(self.state, exited, self._now_ms())

    def lost(self, hold_until_ms: int) -> None:
        """What was asked for is void, and no process is asked for before this time."""
        self.state = states.on_lost(self.state, hold_until_ms)

    def may_die_together(self, candidate: Candidate, members: Iterable[Process]) -> bool:
        """Whether these may die with it by the rules in force.

        The members of a process group are known only now; those of a control group, and a family, the ranking has
        looked at.
        """
        is_known = candidate.family is not None and not candidate.family.is_whole
        if candidate.scope is not Scope.GROUP or is_known:
            return True
        return may_die_together(candidate.process, list(members), Terms(*self._rules))

    # --- what is done about it

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in sorted(actions, key=lambda one: isinstance(one, NodeIsFull)):  # no kill waits for its walk
            if isinstance(action, Rank):
                self._rank(action.finding)
            elif isinstance(action, Ask):
                self._ask(action)
            elif isinstance(action, Scarce | ShortSoon):
                self._performer.tell(action._replace(candidates=self._known()))
            elif isinstance(action, NodeIsFull):
                self._tell_of_node(action)
            else:
                if isinstance(action, Escalate):
                    self._performer.escalate(action)
                self._performer.tell(action)

    def _tell_of_node(self, full: NodeIsFull) -> None:
        """The processes are looked for only where the line is due: it may come and go all the time."""
        now_ms, key = self._now_ms(), f"node {full.node}"
        if now_ms >= self._repeated.due_ms(key):
            self._repeated.tell(full._replace(bound=self._search.bound_to(full.node)), now_ms, key)

    def _rank(self, finding: Finding) -> None:
        """Rank, look at the readings a second time, and ask for the first."""
        assert self._reading is not None, "nothing is ranked before a reading"
        hold_ms = self._performer.instead_of_ranking_ms(finding, self._reading)
        if hold_ms:
            self.lost(self._now_ms() + hold_ms)
            return
        started_ns = self._performer.now_ns()
        ranking = self._search.rank(self._terms(self._reading), self.state.refused, self._now_ms())
        reading, now_ms = self._performer.second_look(), self._now_ms()
        if reading is None:
            self.lost(now_ms + _UNREADABLE_HOLD_MS)
            return
        self.state, actions = states.on_ranking(
            self.state, ranking.candidates, reading, now_ms, self.config.conditions, ranking.spared
        )
        took_us = (self._performer.now_ns() - started_ns) // 1000
        unread = ranking.unread
        self._perform(tuple(one._replace(unread=unread) if isinstance(one, NoVictim) else one for one in actions))
        for action in actions:
            if isinstance(action, Ask):  # said only now: the request must not wait for the log
                self._performer.tell(Chosen(action, self.config.conditions, took_us))
                if unread != ALL_READ:
                    self._repeated.tell(NotRead(unread), now_ms, f"unread {unread.reasons}")
        unjudged = tuple(left for left in ranking.spared if left.shield is Shield.UNJUDGED)
        if unjudged:
            self._performer.tell(Unjudged(unjudged))

    def _ask(self, ask: Ask) -> None:
        hold_ms = self._performer.ask(ask)
        if hold_ms:
            self.lost(self._now_ms() + hold_ms)
        else:
            self._asked = Asked(ask.candidate, ask.finding.signal)

    def _known(self) -> tuple[Candidate, ...]:
        """The first that a decision would name now, if nothing was read for it."""
        assert self._reading is not None, "nothing is told before a reading"
        known = self._search.known(self._terms(self._reading), self.state.refused, self._now_ms())
        return in_their_turn(known, self._reading, self.config.conditions.floor)[:MOST_CANDIDATES]

    def _terms(self, reading: Reading) -> Terms:
        needed = needed_bytes(reading, self.config.conditions.floor)
        goes = reading.swap_total - reading.swap_free if self.state.trends.swap_fall is not None else 0
        terms = terms_at(reading, self._rules)
        return terms._replace(needed_bytes=needed, books=self.state.books, swap_goes_bytes=goes)

    def _now_ms(self) -> int:
        return self._performer.now_ns() // 1_000_000
