"""The dialogue with the killer: it performs what the driver wants, and tells it what the killer answers."""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    KillerHello,
    KillRequest,
    Message,
    Outcome,
    Scope,
    Signal,
    Verdict,
)
from bustd_shared.daemon.log import Log

from .batch import Batch
from .client import Client, Lost, OtherVersionSpoken
from .conditions.finding import Finding
from .conditions.killer_limits import limits_told
from .conditions.table import killer_warnings
from .config import MonitorConfig
from .deciding.actions import Ask, Escalate
from .deciding.requests import escalation, kill_request
from .driver import Driver
from .ranking.search import CandidateSearch
from .ranking.terms import Rules
from .reclaimer import Reclaimer
from .reporting import connection, sentences
from .sensing.cgroup_sensor import AnySensor
from .sensing.reading import Reading

_UNREACHABLE_HOLD_MS = 200
_CROSSED_HOLD_MS = 20
_DRY_RUN_HOLD_MS = 10_000
_OTHER_VERSION_MS = 60_000
_GRACE_SPARE_MS = 50
"""The killer sends SIGKILL at the end of a SIGTERM's grace by itself; so much later the victim has it."""


class KillerDialogue:
    """The performer of a live driver. Everything that is read or sent goes through what is passed in."""

    def __init__(
        self,
        config: MonitorConfig,
        rules: Rules,
        *,
        search: CandidateSearch,
        sensor: AnySensor,
        client: Client,
        reclaimer: Reclaimer,
        log: Log,
        clock_ns: Callable[[], int],
    ) -> None:
        self.driver = Driver(config, rules, search, self)
        self._search = search
        self._sensor = sensor
        self._reclaimer = reclaimer
        self._term_grace_ms = 0
        self._reclaim_at_ms: int | None = None
        self._asked: Ask | None = None
        self._batch: Batch | None = None
        self._is_continuing = False
        self._escalation: Escalate | None = None
        self._says_version = True
        self._client = client
        self._clock_ns = clock_ns
        self._log = log

    # --- what the driver wants

    def now_ns(self) -> int:
        """The time."""
        return self._clock_ns()

    def say(self, sentence: str) -> None:
        """For the log."""
        self._log(sentence)

    def instead_of_ranking_ms(self, _finding: Finding, _reading: Reading) -> int:
        """Without a killer a ranking would only take the processor from what starts it again."""
        if self._client.is_ready or self.driver.config.dry_run:
            return 0
        self._log(connection.UNREACHABLE)
        return _UNREACHABLE_HOLD_MS

    def second_look(self) -> Reading | None:
        """A whole reading of this moment."""
        return self._sensor.read()

    def ask(self, ask: Ask) -> int:
        """Send the request, unless this is a dry run or an answer is still due."""
        if self.driver.config.dry_run:
            self._log(connection.DRY_RUN)
            return _DRY_RUN_HOLD_MS
        if not self._client.may_ask:
            return _CROSSED_HOLD_MS
        members = self._search.members_of(ask.candidate)
        self._reclaimer.hold([ask.candidate.process.pid, *[pid for pid, _ in members]])
        self._asked, self._batch, self._is_continuing = ask, Batch(members), False
        self._name(ask, self._batch.first())
        return 0

    def escalate(self, action: Escalate) -> None:
        """SIGKILL for the process in flight: the machine would not survive the grace of its SIGTERM."""
        if self._is_continuing:  # one request at a time: it is sent when that is answered
            self._escalation = action
        else:
            self._send(escalation(self._client.next_id(), action, self._now_ms()))

    def say_choice(self, ask: Ask, took_us: int) -> None:
        """What was chosen and why, and how long it took."""
        self._log(sentences.decision(ask, self.driver.config.conditions, took_us))

    # --- the connection

    def keep(self, now_ms: int) -> None:
        """Connect if it is time to, and notice a killer that does not answer. Raises Lost: there is no other killer."""
        if self._client.is_overdue(now_ms):
            self._lose(connection.NO_ANSWER)
        if self._reclaim_at_ms is not None and now_ms >= self._reclaim_at_ms:
            self._reclaim()
        trouble = self._client.keep(now_ms)
        if trouble:
            self._log(connection.not_connected(trouble))

    def ping(self, now_ms: int) -> None:
        """Now and then, at a reading that is due anyway: a killer that hangs must be noticed before the crisis."""
        try:
            self._client.ping(now_ms, self.driver.config.killer.ping_seconds * 1000)
        except Lost as error:
            self._lose(str(error))

    def hear(self) -> None:
        """Everything that the killer has sent."""
        try:
            while (message := self._client.hear(self._now_ms())) is not None:
                self._heed(message)
        except OtherVersionSpoken as error:
            self._lose_version(str(error))
        except Lost as error:
            self._lose(str(error))

    def _heed(self, message: Message) -> None:
        if isinstance(message, KillerHello):
            self._meet(message)
        elif isinstance(message, Verdict):
            self._log(sentences.verdict(message))
            self._answered(message)
        elif isinstance(message, Exited):
            self._log(sentences.exited(message, self._sensor.read()))
            self.driver.exited(message)
            self._reclaim_at_ms = None
            self._reclaimer.drop()
        elif isinstance(message, Bye) and message.farewell is Farewell.VERSION:
            raise OtherVersionSpoken("it speaks another version of the protocol: update and restart both daemons")
        elif isinstance(message, Bye):
            raise Lost(connection.farewell(message))

    def _answered(self, verdict: Verdict) -> None:
        """The answer to a request, to a continuation of it, or to an escalation."""
        was_continuation, self._is_continuing = self._is_continuing, False
        if not was_continuation:
            if verdict.outcome is Outcome.SIGNALLED:
                self._prepare_to_reclaim()
            self.driver.answered(verdict, self._now_ms())
        if self._escalation is not None:
            action, self._escalation = self._escalation, None
            self.escalate(action)
        elif verdict.outcome is Outcome.SIGNALLED:
            self._continue()

    def _continue(self) -> None:
        """Name what of the group was not named yet, and what it has started meanwhile."""
        ask, batch = self._asked, self._batch
        if ask is None or batch is None or ask.candidate.scope is Scope.PROCESS or not self._client.may_ask:
            return
        if batch.may_look_again():
            batch.found(self._search.members_of(ask.candidate))
        further = batch.further()
        if further:
            self._is_continuing = True
            self._name(ask, further)

    def _name(self, ask: Ask, members: list[tuple[int, int]]) -> None:
        self._send(kill_request(self._client.next_id(), ask, members, self._now_ms()))

    def _prepare_to_reclaim(self) -> None:
        """Memory can be taken once the victim has its SIGKILL: now, or at the end of its grace."""
        stage = self.driver.state.flight
        is_kill = (self._asked is not None and self._asked.finding.signal is Signal.KILL) or (
            stage is not None and stage.signal == Signal.KILL
        )
        if is_kill:
            self._reclaim()
        else:
            self._reclaim_at_ms = self._now_ms() + self._term_grace_ms + _GRACE_SPARE_MS

    def _reclaim(self) -> None:
        self._reclaim_at_ms = None
        self._reclaimer.release()

    def _meet(self, hello: KillerHello) -> None:
        """A killer has said Hello: its limits are known, and so is the kill that it has in flight."""
        self._log(connection.connected(hello))
        for warning in killer_warnings(self.driver.config.conditions, limits_told(hello)):
            self._log(warning)
        self._says_version = True
        self._term_grace_ms = hello.term_grace_ms
        self.driver.met(hello)
        if hello.flight_id:
            self._log(connection.in_flight(hello))

    def _send(self, request: KillRequest) -> None:
        try:
            self._client.ask(request, self._now_ms())
        except Lost as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        self._log(connection.lost(self._forget(why)))

    def _lose_version(self, why: str) -> None:
        """Said once, and tried again after a minute: the other half may be updated by then."""
        said = self._forget(why, _OTHER_VERSION_MS)
        if self._says_version:
            self._log(connection.lost(said))
            self._says_version = False

    def _forget(self, why: str, pause_ms: int = 0) -> str:
        now_ms = self._now_ms()
        self._asked = self._batch = self._escalation = self._reclaim_at_ms = None
        self._is_continuing = False
        self._reclaimer.drop()
        self.driver.lost(now_ms)
        return self._client.lose(now_ms, why, pause_ms)

    def _now_ms(self) -> int:
        return self._clock_ns() // 1_000_000
