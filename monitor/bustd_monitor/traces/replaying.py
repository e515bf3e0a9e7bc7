"""A trace decided over again by the code that runs live, with the trace's clock and a killer that accepts at once.

No data are made up. After a decision the kill is in flight until the trace itself shows that the process is gone, or
until the killer's patience would be over: then it is set aside, and what follows is what the recorded machine did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from bustd_protocol.messages import Exited, Fate, Outcome, Reason, Scope, Signal, Verdict
from bustd_shared.daemon.log import printable
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.protection import Protection

from ..conditions import table
from ..conditions.finding import Finding
from ..config import MonitorConfig
from ..deciding import states
from ..deciding.states import Action, Ask, Asked, Escalate, Phase, Rank, Say, State
from ..ranking import terms
from ..ranking.search import CandidateSearch
from ..ranking.terms import Terms
from ..reporting import sentences
from ..sensing.process_table import ProcessTable
from ..sensing.reading import Reading
from .format import Frame, Header, Listed, Sensed
from .recorded_table import RecordedTable

_NOBODY_KNOWN_HOLD_MS = 10_000
"""Without processes nobody can be asked for; the same is said again after so long, as in a dry run."""


class Rules(NamedTuple):
    """What of the killer's rules counts in a replay: whom it protects, whom it would refuse, and its patience."""

    protection: Protection
    minimum_bytes: int
    term_grace_ms: int
    stuck_ms: int


class Kill(NamedTuple):
    """A decision. `pid` 0: the trace has no processes to tell whom it would have been."""

    at_ms: int
    condition: str
    signal: Signal
    pid: int = 0
    start_ticks: int = 0
    comm: bytes = b""
    scope: Scope = Scope.PROCESS

    def __str__(self) -> str:
        """One line without the time."""
        whom = f"{self.pid} ({printable(self.comm)})" if self.pid else "somebody"
        with_whom = _WITH_WHOM[self.scope]
        return f"{self.condition}, SIG{self.signal.name} for {whom}{with_whom}"


_WITH_WHOM = {Scope.PROCESS: "", Scope.GROUP: " and its process group", Scope.CGROUP: " and its control group"}


class _Flying(NamedTuple):
    """The simulated kill in flight."""

    kill: Kill
    deadline_ms: int


class Replay:
    """Feed it the frames of a trace in their order. What happens is given to `say`, with its time into the trace."""

    def __init__(self, header: Header, config: MonitorConfig, rules: Rules, say: Callable[[int, str], None]) -> None:
        self._header = header
        self._config = config
        self._rules = rules
        self._say = say
        self._table = RecordedTable(header)
        self._shortlist = CandidateSearch(cast(ProcessTable, self._table))  # it answers the same questions
        self._has_processes = False
        self._state = State()
        self._flying: _Flying | None = None
        self.kills: list[Kill] = []
        self.escalations: list[Kill] = []

    def feed(self, frame: Frame) -> None:
        """One frame more."""
        self._table.at(frame.at_ms)
        if isinstance(frame, Listed):
            self._has_processes = True
            self._table.show(frame)
            self._look_for_the_victim(frame)
        elif isinstance(frame, Sensed):
            self._read(frame.reading, frame.at_ms)

    @property
    def in_flight(self) -> Kill | None:
        """The kill of which nobody has seen the end yet."""
        return self._flying.kill if self._flying else None

    # --- readings

    def _read(self, whole: Reading, at_ms: int) -> None:
        reading = self._as_seen(whole)
        self._lose_patience(whole, at_ms)
        before = self._state.phase
        self._state, actions = states.on_reading(self._state, reading, at_ms, self._config.conditions)
        if self._config.verbose and self._state.phase is not before:
            self._say(at_ms, f"{before.value} -> {self._state.phase.value}: {sentences.readings(reading)}")
        self._perform(actions, reading, at_ms)
        if self._state.phase is not Phase.CALM:
            self._shortlist.watch(self._terms(reading), at_ms)

    def _as_seen(self, reading: Reading) -> Reading:
        """What the monitor would have seen: while it is calm and enough is free, sysinfo alone (sensing.sensor)."""
        if self._state.phase is not Phase.CALM or self._header.reserve < 0:
            return reading
        enough_percent = table.enough_available_percent(self._config.conditions)
        surely = reading.free - self._header.reserve
        if surely * 100 <= reading.ram * enough_percent:
            return reading
        return Reading(reading.ram, reading.free, reading.ram, surely, 0, 0, None, is_whole=False)

    def _perform(self, actions: tuple[Action, ...], reading: Reading, at_ms: int) -> None:
        for action in actions:
            if isinstance(action, Say):
                self._say(at_ms, action.sentence)
            elif isinstance(action, Rank):
                self._rank(action.finding, reading, at_ms)
            elif isinstance(action, Ask):
                self._kill(action, reading, at_ms)
            else:
                self._escalate(action, at_ms)

    def _terms(self, reading: Reading) -> Terms:
        """What a ranking at this reading rests on, as in the monitor's loop; of any user's processes."""
        rules = terms.Rules(self._config.victims, self._rules.protection, self._rules.minimum_bytes)
        return terms.terms_at(reading, rules)

    def _rank(self, finding: Finding, reading: Reading, at_ms: int) -> None:
        """Rank and decide. The second look at the readings sees the same one: there is no other for this moment."""
        if not self._has_processes:
            kill = Kill(at_ms, finding.name, finding.signal)
            self.kills.append(kill)
            signal, values = finding.signal.name, sentences.readings(reading)
            self._say(at_ms, f"{finding.name} fires: {values}; SIG{signal} for whoever would have been ranked first")
            self._state = states.on_lost(self._state, at_ms + _NOBODY_KNOWN_HOLD_MS)
            return
        ranking = self._shortlist.rank(self._terms(reading), self._state.refused, at_ms)
        settings = self._config.conditions
        self._state, actions = states.on_ranking(self._state, ranking.candidates, reading, at_ms, settings)
        self._perform(actions, reading, at_ms)

    # --- the killer

    def _kill(self, ask: Ask, reading: Reading, at_ms: int) -> None:
        """It accepts at once: what it would have refused, no trace knows."""
        process, signal = ask.candidate.process, ask.finding.signal
        kill = Kill(
            at_ms, ask.finding.name, signal, process.pid, process.start_ticks, process.comm, ask.candidate.scope
        )
        self.kills.append(kill)
        grace_ms = self._rules.term_grace_ms if signal is Signal.TERM else 0
        self._flying = _Flying(kill, at_ms + grace_ms + self._rules.stuck_ms)
        self._say(at_ms, sentences.choice(ask, reading, self._table.boottime_s))
        accepted = Verdict(len(self.kills), Outcome.SIGNALLED, Reason.NONE, signalled_count=1)
        asked = Asked(ask.candidate, signal)
        self._state, actions = states.on_verdict(self._state, asked, accepted, at_ms)
        self._perform(actions, reading, at_ms)

    def _escalate(self, action: Escalate, at_ms: int) -> None:
        self._say(at_ms, f"{action.finding.name} is urgent now: SIGKILL for {action.flight.pid}, which is in flight")
        if self._flying is not None:
            kill = self._flying.kill._replace(at_ms=at_ms, condition=action.finding.name, signal=Signal.KILL)
            self.escalations.append(kill)
            deadline_ms = min(self._flying.deadline_ms, at_ms + self._rules.stuck_ms)
            self._flying = self._flying._replace(deadline_ms=deadline_ms)

    def _look_for_the_victim(self, table: Listed) -> None:
        """A table without the one in flight: he is gone, unless he only is not followed any more."""
        if self._flying is None:
            return
        kill = self._flying.kill
        if self._table.holds(kill.pid, kill.start_ticks) or kill.pid in table.left_out:
            return
        elapsed_ms = table.at_ms - kill.at_ms
        self._say(table.at_ms, f"{kill.pid} is gone in the trace, {elapsed_ms} ms after that")
        self._end(Exited(len(self.kills), Fate.GONE, elapsed_ms))

    def _lose_patience(self, reading: Reading, at_ms: int) -> None:
        """The killer would call him stuck: he was not killed on the recorded machine, or not yet."""
        if self._flying is None or at_ms < self._flying.deadline_ms:
            return
        kill = self._flying.kill
        elapsed_ms = at_ms - kill.at_ms
        self._say(
            at_ms,
            f"{kill.pid} lives on in the trace after {elapsed_ms} ms: from here on this is what the recorded machine "
            f"did without that kill; now {sentences.readings(reading)}",
        )
        self._end(Exited(len(self.kills), Fate.STUCK, elapsed_ms))

    def _end(self, exited: Exited) -> None:
        self._state = states.on_exited(self._state, exited)
        self._flying = None
