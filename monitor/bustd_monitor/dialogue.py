"""The dialogue with the killer: it performs what the driver wants, and tells it what the killer answers."""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    KillRequest,
    Message,
    Outcome,
    Reason,
    Scope,
    Signal,
    Verdict,
)
from bustd_shared.daemon.record import NamedTuple

from .batch import Batch, members_of, most_of
from .client import Client, Lost, OtherVersionSpoken
from .conditions.finding import Finding
from .conditions.killer_limits import limits_told
from .conditions.table import killer_warnings
from .config import MonitorConfig
from .deadlines import earliest
from .deciding.actions import Ask, Escalate, Flight
from .deciding.events import Answered, Ended, Event, Noted
from .deciding.requests import escalation, kill_request
from .deciding.stages import Stage
from .driver import Driver
from .ranking.search import CandidateSearch
from .ranking.terms import Rules
from .reclaimer import MOST_HELD, Reclaimer
from .reporting import connection
from .reporting.killer_news import KillerNews
from .sensing.cgroup_sensor import AnySensor
from .sensing.family_members import AnyMembers
from .sensing.members import Member, MemberReader
from .sensing.reading import Reading

_UNREACHABLE_HOLD_MS = 200
_CROSSED_HOLD_MS = 20
_DRY_RUN_HOLD_MS = 10_000
_OTHER_VERSION_MS = 60_000


class Begun(NamedTuple):
    """The kill that was asked for last, whether it is in flight or over: a continuation names further members."""

    ask: Ask
    members: AnyMembers
    batch: Batch


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
        members: MemberReader,
        reclaimer: Reclaimer,
        tell: Callable[[Event], None],
        clock_ns: Callable[[], int],
    ) -> None:
        self.driver = Driver(config, rules, search, self)
        self._sensor = sensor
        self._client = client
        self._members = members
        self._reclaimer = reclaimer
        self._clock_ns = clock_ns
        self._tell = tell
        self._begun: Begun | None = None
        self._sent: KillRequest | None = None
        self._is_continuing = False
        self._escalation: Escalate | None = None
        self._term_grace_ms = 0
        self._news = KillerNews(tell)

    # --- what the driver wants

    def now_ns(self) -> int:
        """The time."""
        return self._clock_ns()

    def tell(self, event: Event) -> None:
        """For the log."""
        self._tell(event)

    def instead_of_ranking_ms(self, _finding: Finding, _reading: Reading) -> int:
        """Without a killer a ranking would only take the processor from what starts it again."""
        if self._client.is_ready or self.driver.config.dry_run:
            return 0
        self._news.unreachable(self._now_ms())
        return _UNREACHABLE_HOLD_MS

    def second_look(self) -> Reading | None:
        """A whole reading of this moment."""
        return self._sensor.read()

    def ask(self, ask: Ask) -> int:
        """Send the request, unless this is a dry run or an answer is still due."""
        if self.driver.config.dry_run:
            self._tell(Noted(connection.DRY_RUN))
            return _DRY_RUN_HOLD_MS
        if not self._client.may_ask:
            return _CROSSED_HOLD_MS
        self._begin(ask)
        return 0

    def escalate(self, action: Escalate) -> None:
        """SIGKILL for the process in flight: the machine would not survive the grace of its SIGTERM."""
        if self.driver.config.dry_run:
            self._tell(Noted(connection.DRY_RUN))
        elif self._client.may_ask:
            self._send(escalation(self._client.next_id(), action, self._now_ms()))
        else:  # one request at a time: it is sent when the continuation is answered
            self._escalation = action

    # --- the connection

    def keep(self, now_ms: int) -> None:
        """Connect if it is time to, and notice a killer that does not answer. Raises Lost: there is no other killer."""
        if self._client.is_overdue(now_ms):
            self._lose(connection.NO_ANSWER)
        self._reclaimer.keep(now_ms)
        self._news.keep(now_ms)
        put_off_ms = self._put_off_ms()
        if put_off_ms is not None and now_ms >= put_off_ms:
            self._continue()
        trouble = self._client.keep(now_ms)
        if trouble:
            self._news.not_connected(trouble, now_ms, self._client.trouble)

    def due_ms(self) -> int | None:
        """When `keep` must be called again, None while nothing is due."""
        return earliest(self._client.due_ms(), self._reclaimer.due_ms, self._put_off_ms(), self._news.due_ms)

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
            self._tell(Answered(message, self._sent))
            self._answered(message)
        elif isinstance(message, Exited):
            self._tell(Ended(message, self._sent, self._sensor.read()))
            self._over(message)
        elif isinstance(message, Bye) and message.farewell is Farewell.VERSION:
            raise OtherVersionSpoken(connection.OTHER_VERSION)
        elif isinstance(message, Bye):
            raise Lost(connection.farewell(message))

    # --- one kill

    def _begin(self, ask: Ask) -> None:
        """Ask for a candidate with the members that it has now."""
        members = members_of(ask.candidate, self._members)
        listed = most_of(members.listed(), self._members)
        if not self.driver.may_die_together(ask.candidate, self._members.read(listed)):
            ask = ask._replace(candidate=ask.candidate.alone())
            listed = []
        batch = Batch(listed)
        self._begun, self._is_continuing, self._escalation = Begun(ask, members, batch), False, None
        self._name(ask, batch.first())
        if self._begun is not None:  # only now: the request must not wait for it
            self._reclaimer.hold([ask.candidate.process.pid, *self._members.largest(listed, MOST_HELD - 1)])

    def _answered(self, verdict: Verdict) -> None:
        """The answer to a request, to a continuation of it, or to an escalation."""
        sent, was_continuation, self._is_continuing = self._sent, self._is_continuing, False
        is_signalled = verdict.outcome is Outcome.SIGNALLED
        if was_continuation:
            if verdict.reason is Reason.RATE and self._begun is not None:
                self._begun.batch.put_off(self._now_ms(), verdict.retry_after_ms)
        else:
            if is_signalled and sent is not None:
                self._prepare_to_reclaim(sent.signal)
            elif self.driver.state.stage is Stage.ACT:
                self._begun = None
                self._reclaimer.drop()
            self.driver.answered(verdict, self._now_ms())
        if is_signalled and sent is not None and self.driver.state.flight is None:
            self.driver.resumed(Flight(sent.pid, sent.start_ticks, sent.signal))
        action, self._escalation = self._escalation, None
        if action is not None:
            self.escalate(action)
        elif is_signalled:
            self._continue()

    def _continue(self) -> None:
        """Name which members were not named yet, and which the group has started meanwhile."""
        begun, now_ms = self._begun, self._now_ms()
        if begun is None or begun.ask.candidate.scope is Scope.PROCESS:
            return
        if not self._client.may_ask or self.driver.config.dry_run:
            return
        if begun.batch.may_look_again(now_ms):
            begun.batch.found(begun.members.listed())
        further = begun.batch.further(now_ms)
        if further:
            self._is_continuing = True
            self._name(begun.ask, further)

    def _put_off_ms(self) -> int | None:
        """When a continuation that came too fast is sent again."""
        is_possible = self._begun is not None and self._client.may_ask and not self.driver.config.dry_run
        return self._begun.batch.due_ms() if self._begun is not None and is_possible else None

    def _name(self, ask: Ask, members: list[Member]) -> None:
        self._send(kill_request(self._client.next_id(), ask, members, self._now_ms()))

    def _prepare_to_reclaim(self, signal: Signal) -> None:
        """Memory can be taken once the victim has its SIGKILL: now, or at the end of its grace."""
        if signal is Signal.KILL:
            if self._begun is not None:  # what is named from now on gets SIGKILL too
                ask = self._begun.ask
                self._begun = self._begun._replace(ask=ask._replace(finding=ask.finding._replace(signal=signal)))
            self._reclaimer.release()
        else:
            self._reclaimer.release_at(self._now_ms() + self._term_grace_ms)

    def _over(self, exited: Exited) -> None:
        """The kill in flight has ended. What has died with its victim may not be all that was to die."""
        self.driver.exited(exited)
        self._escalation = None
        self._reclaimer.drop()
        if self._begun is not None and exited.fate in (Fate.GONE, Fate.RELEASED):
            self._begun.batch.over(self._now_ms())
        elif self._begun is not None:
            self._begun.batch.end()

    def _meet(self, hello: KillerHello) -> None:
        """A killer has said Hello: its limits are known, and so is the kill that it has in flight."""
        warnings = killer_warnings(self.driver.config.conditions, limits_told(hello))
        is_told = self._news.met(hello.pid, tuple(warnings), self._now_ms())
        self._term_grace_ms = hello.term_grace_ms
        self.driver.met(hello)
        if hello.flight_id and is_told:
            self._tell(Noted(connection.in_flight(hello)))

    def _send(self, request: KillRequest) -> None:
        self._sent = request
        try:
            self._client.ask(request, self._now_ms())
        except Lost as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        self._news.lost(self._forget(why), self._now_ms())

    def _lose_version(self, why: str) -> None:
        """Said once, and tried again after a minute: the other half may be updated by then."""
        self._news.lost_for_its_version(self._forget(why, _OTHER_VERSION_MS), self._now_ms())

    def _forget(self, why: str, pause_ms: int = 0) -> str:
        now_ms = self._now_ms()
        self._begun = self._sent = self._escalation = None
        self._is_continuing = False
        self._reclaimer.drop()
        self.driver.lost(now_ms)
        return self._client.lose(now_ms, why, pause_ms)

    def _now_ms(self) -> int:
        return self._clock_ns() // 1_000_000
