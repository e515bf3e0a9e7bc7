"""The monitor's loop: read, decide, perform, sleep. All decisions are made by `deciding`; here is only the I/O."""

from __future__ import annotations

import signal
from collections.abc import Callable

from bustd_protocol.messages import Bye, Exited, KillerHello, KillRequest, Message, Outcome, Ping, Verdict
from bustd_shared.daemon.log import Log
from bustd_shared.rules.protection import Protection

from .client import Client, Lost
from .conditions import table
from .conditions.killer_limits import KillerLimits
from .config import MonitorConfig
from .deciding import pace, states
from .deciding.requests import escalation, kill_request
from .deciding.states import Action, Ask, Asked, Escalate, Phase, Rank, Say, State
from .ranking.search import CandidateSearch
from .ranking.terms import Rules, Terms, terms_at
from .reporting import sentences
from .reporting.service_manager import ServiceManager, standing
from .sensing.cgroup_sensor import AnySensor
from .sensing.reading import Reading
from .sensing.triggers import Triggers
from .sleeper import Sleeper

EXIT_STOPPED, EXIT_KILLER_GONE = 0, 70

_SETTLE_SLEEP_MS = 50
_UNREACHABLE_HOLD_MS = 200
_CROSSED_HOLD_MS = 20
_DRY_RUN_HOLD_MS = 10_000
_UNREADABLE_SLEEP_MS = 1000
_SETTLE_SPARE_MS = 2000


class Loop:
    """Everything that is read or sent goes through what is passed in. `reload` gives a new configuration or None."""

    def __init__(
        self,
        config: MonitorConfig,
        advice: Protection,
        *,
        sensor: AnySensor,
        shortlist: CandidateSearch,
        client: Client,
        triggers: Triggers,
        service_manager: ServiceManager,
        log: Log,
        clock_ns: Callable[[], int],
        reload: Callable[[], MonitorConfig | None],
        only_uid: int = -1,
    ) -> None:
        self._config = config
        self._advice = advice
        self._sensor = sensor
        self._shortlist = shortlist
        self._client = client
        self._service_manager = service_manager
        self._log = log
        self._clock_ns = clock_ns
        self._reload = reload
        self._only_uid = only_uid
        self._state = State()
        self._reading: Reading | None = None
        self._asked: Asked | None = None
        self._answer_due_ms: int | None = None
        self._pong_due_ms: int | None = None
        self._exit_patience_ms = 0
        self._minimum_bytes = 0
        self._pinged_ms = self._clock_ms()
        self._sleeper = Sleeper(triggers, log)

    def run(self) -> int:
        """Until a signal (0), or until the killer of a pair is gone (70)."""
        code = None
        while code is None:
            code = self.turn()
        self._service_manager.stopping()
        return code

    def turn(self) -> int | None:
        """One reading, a word to the service manager, one sleep, and what woke it. The exit code when it ends."""
        now_ms = self._clock_ms()
        try:
            self._keep_connection(now_ms)
        except Lost as error:
            self._log(str(error))
            return EXIT_KILLER_GONE
        due_ms = self._tick(now_ms)
        has_read = due_ms is not None
        now_ms = self._clock_ms()  # ranking takes its time
        killer_pid = self._client.killer_pid if self._client.is_ready else 0
        status = standing(killer_pid, self._client.trouble, dry_run=self._config.dry_run, is_blind=not has_read)
        self._service_manager.tell(now_ms, status, has_read=has_read)
        killer_speaks = self._sleeper.sleep(self._sleep_ms(now_ms, due_ms), self._client.fileno())
        if self._sleeper.received(signal.SIGTERM, signal.SIGINT):
            self._log("stopping")
            return EXIT_STOPPED
        if self._sleeper.received(signal.SIGHUP):
            self._config = self._reload() or self._config
        if killer_speaks:
            self._hear()
        return None

    # --- readings

    def _tick(self, now_ms: int) -> int | None:
        """One reading and what follows from it. When the next is due; None: it made no sense."""
        reading = self._sensor.read(self._enough_available_percent())
        if reading is None:
            self._log("what is available makes no sense: nothing is decided on it")
            return None
        self._reading = reading
        before = self._state.phase
        self._state, actions = states.on_reading(self._state, reading, now_ms, self._config.conditions)
        if self._config.verbose and self._state.phase is not before:
            self._log(f"{before.value} -> {self._state.phase.value}: {sentences.readings(reading)}")
        self._perform(actions)
        due_ms = now_ms + self._pace_ms(now_ms)
        if self._state.phase is not Phase.CALM:
            self._client.hurry(now_ms)
            terms = self._terms(reading)
            self._shortlist.watch(terms, now_ms, lambda: self._clock_ms() >= due_ms or self._client.has_word())
        self._maybe_ping(now_ms)
        return due_ms

    def _enough_available_percent(self) -> float:
        """So much available memory rules trouble out, while there was none."""
        is_calm = self._state.phase is Phase.CALM
        return table.enough_available_percent(self._config.conditions) if is_calm else 100

    def _sleep_ms(self, now_ms: int, due_ms: int | None) -> int:
        """Until the next reading, or until something else is due."""
        wait_ms = _UNREADABLE_SLEEP_MS if due_ms is None else max(due_ms - now_ms, 0)
        dues_ms = (self._client.due_ms(), self._answer_due_ms, self._pong_due_ms, self._service_manager.due_ms())
        for other_ms in dues_ms:
            if other_ms is not None:
                wait_ms = min(wait_ms, max(other_ms - now_ms, 0))
        if self._config.verbose:
            self._log(f"[adaptive-sleep] {wait_ms} ms")
        return wait_ms

    def _pace_ms(self, now_ms: int) -> int:
        """Until the next reading, by what the last one found."""
        if states.firing_now(self._state) and self._state.phase is Phase.WATCH:
            return min(max(self._state.hold_until_ms - now_ms, 0), self._config.sleep.watch_longest_ms)
        wait_ms = pace.sleep_ms(self._state.found, self._config.sleep)
        return min(wait_ms, _SETTLE_SLEEP_MS) if self._state.phase is Phase.SETTLE else wait_ms

    def _perform(self, actions: tuple[Action, ...]) -> None:
        for action in actions:
            if isinstance(action, Say):
                self._log(action.sentence)
            elif isinstance(action, Rank):
                self._rank()
            elif isinstance(action, Ask):
                self._ask(action)
            else:
                self._escalate(action)

    def _terms(self, reading: Reading) -> Terms:
        rules = Rules(self._config.victims, self._advice, self._minimum_bytes, self._only_uid)
        return terms_at(reading, rules)

    def _rank(self) -> None:
        """Rank, look at the readings a second time, say what was found, and ask for the first.

        Without a killer there is nobody to ask: ranking then would only take the processor from what starts it again.
        """
        if not self._client.is_ready and not self._config.dry_run:
            self._log("MEMORY IS SHORT AND THE KILLER CAN'T BE REACHED")
            self._state = states.on_lost(self._state, self._clock_ms() + _UNREACHABLE_HOLD_MS)
            return
        started_ns = self._clock_ns()
        now_ms = self._clock_ms()
        assert self._reading is not None, "nobody ranks before a reading"
        ranking = self._shortlist.rank(self._terms(self._reading), self._state.refused, now_ms)
        reading = self._sensor.read()
        now_ms = self._clock_ms()
        if reading is None:
            self._state = states.on_lost(self._state, now_ms + _UNREADABLE_SLEEP_MS)
            return
        candidates, settings = ranking.candidates, self._config.conditions
        self._state, actions = states.on_ranking(self._state, candidates, reading, now_ms, settings)
        took_us = (self._clock_ns() - started_ns) // 1000
        self._perform(actions)
        for action in actions:
            if isinstance(action, Ask):  # said only now: the request must not wait for the log
                self._log(sentences.decision(action, reading, took_us))

    def _ask(self, ask: Ask) -> None:
        """Send the request, unless this is a dry run or an answer is still due."""
        now_ms = self._clock_ms()
        if self._config.dry_run:
            self._log("dry run: nothing is sent")
            self._state = states.on_lost(self._state, now_ms + _DRY_RUN_HOLD_MS)
            return
        if not self._client.may_ask:
            self._state = states.on_lost(self._state, now_ms + _CROSSED_HOLD_MS)
            return
        self._asked = Asked(ask.candidate, ask.finding.signal)
        self._request(kill_request(self._client.next_id(), ask, now_ms))

    def _escalate(self, action: Escalate) -> None:
        """SIGKILL for the process in flight: the machine would not survive the grace of its SIGTERM."""
        self._request(escalation(self._client.next_id(), action, self._clock_ms()))
        self._log(f"{action.finding.name} is urgent now: SIGKILL for {action.flight.pid}, which is in flight")

    def _request(self, request: KillRequest) -> None:
        try:
            self._client.send(request)
            self._answer_due_ms = self._clock_ms() + self._client.deadline_ms
        except Lost as error:
            self._lose(str(error))

    # --- the killer

    def _keep_connection(self, now_ms: int) -> None:
        """Connect if it is time to, and notice a killer that does not answer. Raises Lost: there is no other killer."""
        due_ms = [due for due in (self._answer_due_ms, self._pong_due_ms) if due is not None]
        if due_ms and now_ms >= min(due_ms):
            self._lose("the killer does not answer")
        trouble = self._client.keep(now_ms)
        if trouble:
            self._log(f"no connection to the killer: {trouble}")

    def _clock_ms(self) -> int:
        return self._clock_ns() // 1_000_000

    def _lose(self, why: str) -> None:
        now_ms = self._clock_ms()
        self._answer_due_ms = self._pong_due_ms = None
        self._state = states.on_lost(self._state, now_ms)
        self._log(f"lost the killer: {self._client.lose(now_ms, why)}")

    def _hear(self) -> None:
        """Everything that the killer has sent."""
        try:
            while (message := self._client.receive()) is not None:
                self._heed(message)
        except Lost as error:
            self._lose(str(error))

    def _heed(self, message: Message) -> None:
        now_ms = self._clock_ms()
        if isinstance(message, KillerHello):
            self._meet(message)
        elif isinstance(message, Verdict):
            self._answer_due_ms = None
            if message.outcome is Outcome.SIGNALLED:
                self._answer_due_ms = now_ms + self._exit_patience_ms
            self._log(sentences.verdict(message))
            if self._asked is not None:
                self._state, actions = states.on_verdict(self._state, self._asked, message, now_ms)
                self._perform(actions)
                for action in actions:
                    if isinstance(action, Ask):
                        self._log(f"asking for the next: {sentences.next_victim(action.candidate)}")
        elif isinstance(message, Exited):
            if self._client.may_ask:
                self._answer_due_ms = None
            self._log(sentences.exited(message, self._sensor.read()))
            self._state = states.on_exited(self._state, message)
        elif isinstance(message, Bye):
            raise Lost(f"it said Bye: {message.farewell.name.lower()}")
        else:
            self._pong_due_ms = None

    def _meet(self, hello: KillerHello) -> None:
        """A killer has said Hello: its limits are known, and so is the kill that it has in flight."""
        self._minimum_bytes = hello.minimum_bytes
        self._exit_patience_ms = hello.term_grace_ms + hello.stuck_ms + _SETTLE_SPARE_MS
        self._log(f"connected to the killer {hello.pid}")
        limits = KillerLimits(hello.available_percent, hello.pressured_available_percent, hello.pressure_some_percent)
        for warning in table.killer_warnings(self._config.conditions, limits):
            self._log(warning)
        self._state = states.on_hello(self._state, hello)
        if hello.flight_id:
            self._log(f"the killer has {hello.flight_pid} in flight")
            self._answer_due_ms = self._clock_ms() + self._exit_patience_ms

    def _maybe_ping(self, now_ms: int) -> None:
        """Now and then, at a reading that is due anyway: a killer that hangs must be noticed before the crisis."""
        is_due = now_ms >= self._pinged_ms + self._config.killer.ping_seconds * 1000
        if is_due and self._client.is_ready and self._pong_due_ms is None:
            self._pinged_ms = now_ms
            try:
                self._client.send(Ping(self._client.next_id()))
                self._pong_due_ms = now_ms + self._client.deadline_ms
            except Lost as error:
                self._lose(str(error))
