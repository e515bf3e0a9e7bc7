"""The dialogue with the killer: it performs what the driver wants, and tells it what the killer answers."""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import Bye, Exited, KillerHello, KillRequest, Message, Verdict
from bustd_shared.daemon.log import Log

from .client import Client, Lost
from .conditions.finding import Finding
from .conditions.killer_limits import limits_told
from .conditions.table import killer_warnings
from .config import MonitorConfig
from .deciding.actions import Ask, Escalate
from .deciding.requests import escalation, kill_request
from .driver import Driver
from .ranking.search import CandidateSearch
from .ranking.terms import Rules
from .reporting import connection, sentences
from .sensing.cgroup_sensor import AnySensor
from .sensing.reading import Reading

_UNREACHABLE_HOLD_MS = 200
_CROSSED_HOLD_MS = 20
_DRY_RUN_HOLD_MS = 10_000


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
        log: Log,
        clock_ns: Callable[[], int],
    ) -> None:
        self.driver = Driver(config, rules, search, self)
        self._sensor = sensor
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
        self._send(kill_request(self._client.next_id(), ask, self._now_ms()))
        return 0

    def escalate(self, action: Escalate) -> None:
        """SIGKILL for the process in flight: the machine would not survive the grace of its SIGTERM."""
        self._send(escalation(self._client.next_id(), action, self._now_ms()))

    def say_choice(self, ask: Ask, took_us: int) -> None:
        """What was chosen and why, and how long it took."""
        self._log(sentences.decision(ask, self.driver.config.conditions, took_us))

    # --- the connection

    def keep(self, now_ms: int) -> None:
        """Connect if it is time to, and notice a killer that does not answer. Raises Lost: there is no other killer."""
        if self._client.is_overdue(now_ms):
            self._lose(connection.NO_ANSWER)
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
        except Lost as error:
            self._lose(str(error))

    def _heed(self, message: Message) -> None:
        if isinstance(message, KillerHello):
            self._meet(message)
        elif isinstance(message, Verdict):
            self._log(sentences.verdict(message))
            self.driver.answered(message, self._now_ms())
        elif isinstance(message, Exited):
            self._log(sentences.exited(message, self._sensor.read()))
            self.driver.exited(message)
        elif isinstance(message, Bye):
            raise Lost(connection.farewell(message))

    def _meet(self, hello: KillerHello) -> None:
        """A killer has said Hello: its limits are known, and so is the kill that it has in flight."""
        self._log(connection.connected(hello))
        for warning in killer_warnings(self.driver.config.conditions, limits_told(hello)):
            self._log(warning)
        self.driver.met(hello)
        if hello.flight_id:
            self._log(connection.in_flight(hello))

    def _send(self, request: KillRequest) -> None:
        try:
            self._client.ask(request, self._now_ms())
        except Lost as error:
            self._lose(str(error))

    def _lose(self, why: str) -> None:
        now_ms = self._now_ms()
        self.driver.lost(now_ms)
        self._log(connection.lost(self._client.lose(now_ms, why)))

    def _now_ms(self) -> int:
        return self._clock_ns() // 1_000_000
