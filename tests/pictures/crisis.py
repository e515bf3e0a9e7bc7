"""What happened in a recorded crisis, as far as the pictures show it: readings, sizes, conditions and the decision."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bustd_monitor.cli.seen_now import state
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import advanced, findings
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.config import config_of
from bustd_monitor.deciding.actions import Ask
from bustd_monitor.deciding.events import Chosen, Event
from bustd_monitor.sensing.reading import Reading
from bustd_monitor.traces.format import Listed, Sensed
from bustd_monitor.traces.replaying import KillerRules, Replay
from bustd_shared.rules import killer_toml
from tests.support.traces import decoded

TRACE = Path(__file__).parents[1] / "data/traces/vm-two-thirds.trace"
MENTIONABLE_BYTES = 16 * 2**20


class Crisis(NamedTuple):
    """Times are milliseconds since the trace began. `sizes`: of each process, by its name, what it held when.

    `states`: of each condition, what it said when. `ask`: the decision, at `killed_ms`; the first table without the
    victim is that of `gone_ms`.
    """

    readings: list[tuple[int, Reading]]
    sizes: dict[str, list[tuple[int, int]]]
    states: dict[str, list[tuple[int, str]]]
    ask: Ask
    killed_ms: int
    gone_ms: int

    @property
    def end_ms(self) -> int:
        return self.readings[-1][0]

    def reading_at(self, at_ms: int) -> Reading:
        """The first reading from then on."""
        return next(reading for when, reading in self.readings if when >= at_ms)


class Watched(Replay):
    """A replay that keeps its decisions."""

    chosen: list[tuple[int, Ask]]

    def tell(self, event: Event) -> None:
        if isinstance(event, Chosen):
            self.chosen.append((self.now_ns() // 1_000_000, event.ask))
        super().tell(event)


def crisis(trace: Path = TRACE) -> Crisis:
    """Everything of a trace with one kill, with the configuration as it is shipped."""
    header, frames = decoded(trace.read_bytes())
    config, killer = config_of({}), killer_toml.config_of({})
    least = killer_toml.minimum_bytes(header.ram, killer)
    rules = KillerRules(killer_toml.protection_of(killer), least, killer.term_ms, killer.stuck_ms)
    run = Watched(header, config, rules, lambda _at_ms, _sentence: None)
    run.chosen = []
    trends = Trends()
    readings: list[tuple[int, Reading]] = []
    sizes: dict[str, list[tuple[int, int]]] = {}
    states: dict[str, list[tuple[int, str]]] = {name: [] for name in config.conditions._fields}
    for frame in frames:
        run.feed(frame)
        if isinstance(frame, Sensed):
            readings.append((frame.at_ms, frame.reading))
            trends = advanced(trends, frame.reading, frame.at_ms, config.conditions)
            for finding in findings(Seen(frame.reading, trends), config.conditions):
                states[finding.name].append((frame.at_ms, state(finding)))
        elif isinstance(frame, Listed):
            for entry in frame.entries:
                if entry.process.held_bytes >= MENTIONABLE_BYTES:
                    name = entry.process.comm.decode()
                    sizes.setdefault(name, []).append((frame.at_ms, entry.process.held_bytes))
    ((killed_ms, ask),) = run.chosen
    pid = ask.candidate.process.pid
    tables = [frame for frame in frames if isinstance(frame, Listed) and frame.at_ms > killed_ms]
    gone = next(table for table in tables if pid not in [entry.process.pid for entry in table.entries])
    return Crisis(readings, sizes, states, ask, killed_ms, gone.at_ms)
