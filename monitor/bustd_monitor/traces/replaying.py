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
from ..deciding.actions import Ask, Escalate
from ..deciding.events import Chosen, Event
from ..deciding.stages import Stage
from ..driver import Driver
from ..ranking import terms
from ..ranking.search import CandidateSearch
from ..reporting import sentences
from ..reporting.events import told
from ..sensing.process_table import ProcessTable
from ..sensing.reading import Reading, lower_bound
from .format import Frame, Header, Listed, Sensed
from .recorded_table import RecordedTable

_NO_PROCESSES_HOLD_MS = 10_000
"""Without processes none can be asked for; the same is said again after this time, as in a dry run."""


class KillerRules(NamedTuple):
    """What of the killer's rules counts in a replay: which processes it protects or would refuse, and its patience."""

    protection: Protection
    minimum_bytes: int
    term_grace_ms: int
    stuck_ms: int


class Kill(NamedTuple):
    """A decision. `pid` 0: the trace has no processes, so the victim is not known.

    `kin`: how many others of its family die with it, of everything in its scope.
    """

    at_ms: int
    condition: str
    signal: Signal
    pid: int = 0
    start_ticks: int = 0
    comm: bytes = b""
    scope: Scope = Scope.PROCESS
    kin: int = 0

    def __str__(self) -> str:
        """One line without the time."""
        victim = f"{self.pid} ({printable(self.comm)})" if self.pid else "the first of a ranking"
        others = f" and {self.kin} of its kin" if self.kin else _DIES_WITH_IT[self.scope]
        return f"{self.condition}, SIG{self.signal.name} for {victim}{others}"


_DIES_WITH_IT = {Scope.PROCESS: "", Scope.GROUP: " and its process group", Scope.CGROUP: " and its control group"}


class _Flying(NamedTuple):
    """The simulated kill in flight."""

    kill: Kill
    deadline_ms: int


class Replay:
    """Feed it the frames of a trace in their order. What happens is given to `say`, with its time into the trace.

    It is the performer of its driver: the time is the trace's, and the killer accepts at once.
    """

    def __init__(
        self, header: Header, config: MonitorConfig, rules: KillerRules, say: Callable[[int, str], None]
    ) -> None:
        self._header = header
        self._rules = rules
        self._say = say
        self._at_ms = 0
        self._table = RecordedTable(header)
        search = CandidateSearch(cast(ProcessTable, self._table))  # it answers the same questions
        what_counts = terms.Rules(config.victims, rules.protection, rules.minimum_bytes)  # of any user's processes
        self._driver = Driver(config, what_counts, search, self)
        self._reading: Reading | None = None
        self._has_processes = False
        self._is_asked = False
        self._flying: _Flying | None = None
        self.kills: list[Kill] = []
        self.escalations: list[Kill] = []

    def feed(self, frame: Frame) -> None:
        """One frame more."""
        self._at_ms = frame.at_ms
        self._table.at(frame.at_ms)
        if isinstance(frame, Listed):
            self._has_processes = True
            self._table.show(frame)
            self._look_for_the_victim(frame)
        elif isinstance(frame, Sensed):
            self._read(frame.reading)

    @property
    def in_flight(self) -> Kill | None:
        """The kill that has not ended yet."""
        return self._flying.kill if self._flying else None

    def _read(self, whole: Reading) -> None:
        self._reading = self._as_seen(whole)
        self._lose_patience(whole)
        self._driver.read(self._reading, self._at_ms)
        if self._is_asked:
            self._is_asked = False
            accepted = Verdict(len(self.kills), Outcome.SIGNALLED, Reason.NONE, signalled_count=1)
            self._driver.answered(accepted, self._at_ms)
        self._driver.watch(self._at_ms, lambda: False)

    def _as_seen(self, reading: Reading) -> Reading:
        """What the monitor would have seen: while it is calm and enough is free, sysinfo alone (sensing.sensor)."""
        if self._driver.state.stage is not Stage.CALM or self._header.reserve < 0:
            return reading
        enough_percent = table.enough_free_percent(self._driver.config.conditions)
        surely = reading.free - self._header.reserve
        if surely * 100 <= reading.ram * enough_percent:
            return reading
        bound = lower_bound(reading.ram, reading.free, surely, reading.swap_total)
        return bound._replace(oom_kills=reading.oom_kills, full_node=reading.full_node)  # these are read all the same

    # --- what the driver wants

    def now_ns(self) -> int:
        """The trace's time."""
        return self._at_ms * 1_000_000

    def tell(self, event: Event) -> None:
        """With the trace's time, which the age of a victim counts by too."""
        if isinstance(event, Chosen):
            self.say(sentences.choice(event.ask, event.conditions, self._table.boottime_s))
        else:
            self.say(told(event).sentence)

    def say(self, sentence: str) -> None:
        """A sentence with the trace's time."""
        self._say(self._at_ms, sentence)

    def instead_of_ranking_ms(self, finding: Finding, reading: Reading) -> int:
        """Without processes the kill is counted, but nothing can be ranked."""
        if self._has_processes:
            return 0
        self.kills.append(Kill(self._at_ms, finding.name, finding.signal))
        signal, values = finding.signal.name, sentences.readings(reading)
        self.say(f"{finding.name} fires: {values}; SIG{signal} for the process that would have been ranked first")
        return _NO_PROCESSES_HOLD_MS

    def second_look(self) -> Reading | None:
        """The same reading: there is no other for this moment."""
        return self._reading

    def ask(self, ask: Ask) -> int:
        """It is accepted after this reading: what the killer would have refused, no trace knows."""
        process, signal = ask.candidate.process, ask.finding.signal
        identity = (process.pid, process.start_ticks, process.comm)
        family = ask.candidate.family
        kin = 0 if family is None or family.is_whole else len(family.others)
        kill = Kill(self._at_ms, ask.finding.name, signal, *identity, ask.candidate.scope, kin)
        self.kills.append(kill)
        grace_ms = self._rules.term_grace_ms if signal is Signal.TERM else 0
        self._flying = _Flying(kill, self._at_ms + grace_ms + self._rules.stuck_ms)
        self._is_asked = True
        return 0

    def escalate(self, action: Escalate) -> None:
        """The kill in flight is a SIGKILL from here on."""
        if self._flying is not None:
            kill = self._flying.kill._replace(at_ms=self._at_ms, condition=action.finding.name, signal=Signal.KILL)
            self.escalations.append(kill)
            deadline_ms = min(self._flying.deadline_ms, self._at_ms + self._rules.stuck_ms)
            self._flying = self._flying._replace(deadline_ms=deadline_ms)

    # --- the end of a kill

    def _look_for_the_victim(self, listed: Listed) -> None:
        """A table without the process in flight: it is gone, unless it is only not recorded any longer."""
        if self._flying is None:
            return
        kill = self._flying.kill
        if self._table.holds(kill.pid, kill.start_ticks) or kill.pid in listed.left_out:
            return
        self.say(f"{kill.pid} is gone in the trace, {self._at_ms - kill.at_ms} ms after that")
        self._end(Fate.GONE)

    def _lose_patience(self, reading: Reading) -> None:
        """The killer would call it stuck: it was not killed on the recorded machine, or not yet."""
        if self._flying is None or self._at_ms < self._flying.deadline_ms:
            return
        kill = self._flying.kill
        self.say(
            f"{kill.pid} lives on in the trace after {self._at_ms - kill.at_ms} ms: from here on this is what the "
            f"recorded machine did without that kill; now {sentences.readings(reading)}"
        )
        self._end(Fate.STUCK)

    def _end(self, fate: Fate) -> None:
        if self._flying is not None:
            self._driver.exited(Exited(len(self.kills), fate, self._at_ms - self._flying.kill.at_ms))
            self._flying = None
