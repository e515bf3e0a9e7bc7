"""The real loop on a simulated machine: the real readers, search, conditions, client and checks; no sleep, no clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from bustd_monitor import config, loop
from bustd_monitor.client import Client
from bustd_monitor.deciding.events import Event
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.reporting.events import told
from bustd_monitor.reporting.service_manager import ServiceManager
from bustd_monitor.sensing.command_lines import CommandLines
from bustd_monitor.sensing.fill_rate import FillRate
from bustd_monitor.sensing.group_charges import GroupCharges
from bustd_monitor.sensing.members import MemberReader
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.sensor import Sensor
from bustd_monitor.sensing.triggers import Triggers

from .files import shown
from .killing import Killer
from .machine import Machine
from .memory import GIB, MIB
from .pressure import Trigger

_MOMENT_S = 0.0004
"""A verdict, a wake-up: whatever takes no time here takes as long on a machine that is not emulated."""
HIERARCHY = "/sys/fs/cgroup"
MEASURED_PER_S = 6 * GIB
"""By this much memory fills in a second, as if it were measured: most machines come to it, with PSI triggers."""


class NoReclaimer:
    """A simulated exit has its speed from the machine."""

    due_ms = None

    def hold(self, pids: list[int]) -> None:
        pass

    def release(self) -> None:
        pass

    def release_at(self, at_ms: int) -> None:
        pass

    def keep(self, now_ms: int) -> None:
        pass

    def drop(self) -> None:
        pass


class QuickClient(Client):
    """The real client on the simulated socket."""

    def __init__(self, killer: Killer) -> None:
        super().__init__("", killer)  # type: ignore[arg-type]
        self._killer = killer

    def has_word(self) -> bool:
        return self._killer.speaks


class SimulatedSleep:
    """In place of the sleeper: the machine goes on meanwhile."""

    def __init__(self, machine: Machine, killer: Killer) -> None:
        self._machine, self._killer = machine, killer
        self._some, self._full = Trigger(0.1), Trigger(0.05)
        self._is_triggered = False
        self.killer_speaks = self.reader_knocks = self.ancestor_has_ended = False
        self.has_triggers = True
        self.count = 0

    def listen(self, _killer: int, _readers: int) -> None:
        pass

    def received(self, *_numbers: int) -> bool:
        return False

    def sleep(self, wait_ms: int) -> bool:
        self.count += 1
        self._is_triggered = False
        woken = self._machine.advance(max(wait_ms / 1000, _MOMENT_S), self._is_over)
        self.killer_speaks = self._killer.speaks
        return woken or self.killer_speaks

    def _is_over(self) -> bool:
        if self._killer.is_in_flight:
            self._killer.follow()
        stalls, now_s = self._machine.stalls, self._machine.now_s
        some, full = self._some.fires(now_s, stalls.some_s), self._full.fires(now_s, stalls.full_s)
        return some or full or self._killer.speaks


class Simulation:
    """One machine with the pair on it. `told`: (time, event) of the monitor; `said`: the same as lines of its log."""

    def __init__(
        self, machine: Machine, killer: Killer, settings: dict[str, object], measured_per_s: float = MEASURED_PER_S
    ) -> None:
        self.machine, self.killer = machine, killer
        self.told: list[tuple[float, Event]] = []
        self.sleep = SimulatedSleep(machine, killer)
        table = ProcessTable(
            hierarchy=HIERARCHY,
            commands=CommandLines(start=lambda function, arguments: function(*arguments), clock_ms=self._clock_ms),
        )
        with mock.patch.object(loop, "Sleeper", lambda *_: self.sleep):
            self.loop = loop.Loop(
                config.config_of(settings),
                killer.protection,
                sensor=Sensor(clock_ns=self._clock_ns),
                search=CandidateSearch(table, GroupCharges(HIERARCHY)),
                client=QuickClient(killer),
                members=MemberReader(HIERARCHY),
                reclaimer=NoReclaimer(),  # type: ignore[arg-type]
                triggers=Triggers((), "simulated"),
                fill_rate=FillRate(lambda: int(measured_per_s)),
                service_manager=ServiceManager({}),
                tell=lambda event: self.told.append((machine.now_s, event)),
                clock_ns=self._clock_ns,
                reload=lambda: None,
            )

    def run(self, seconds: float) -> None:
        """Let this time go by."""
        end_s = self.machine.now_s + seconds
        while self.machine.now_s < end_s:
            assert self.loop.turn() is None, "the monitor has ended"

    def _clock_ns(self) -> int:
        return int(self.machine.now_s * 1e9) + 10**12

    def _clock_ms(self) -> int:
        return self._clock_ns() // 10**6

    @property
    def said(self) -> list[tuple[float, str]]:
        return [(at_s, told(event).sentence) for at_s, event in self.told]

    @property
    def killed(self) -> list[str]:
        """The names of those that have died of a signal, in their order."""
        return [death.process.plan.name for death in self.machine.deaths]

    def report(self) -> str:
        """What happened, for a failed test."""
        machine = self.machine
        lines = [
            f"{death.at_s:8.2f} s  {death.process.plan.name} died: {death.cause}, {death.freed / MIB:.0f} MiB"
            for death in machine.deaths
        ]
        asked = [f"{one.at_s:8.2f} s  asked: {one.answer}" for one in self.killer.asked[:20]]
        said = [f"{at_s:8.2f} s  {line}" for at_s, line in self.said[-20:]]
        return "\n".join([*lines, *asked, *said, f"lowest available: {machine.least_available / MIB:.0f} MiB"])


@contextmanager
def simulated(
    machine: Machine,
    settings: dict[str, object] | None = None,
    killer: dict[str, object] | None = None,
    *,
    measured_per_s: float = MEASURED_PER_S,
) -> Iterator[Simulation]:
    """The pair on this machine, with these settings of bustd.toml and killer.toml. See FillRate for the rate."""
    served: list[Killer] = []
    with shown(machine, lambda number: served[0].cause(number)):
        served.append(Killer(machine, killer))
        yield Simulation(machine, served[0], settings or {}, measured_per_s)
