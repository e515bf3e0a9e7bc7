"""A decision among many processes: from "a condition fires" to the request's packet in the killer's socket.

The processes are real ones as far as this machine carries them, and a generated tree like procfs beyond. Nobody is
killed: nothing reads the socket but this program.
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from bustd_monitor import config
from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask
from bustd_monitor.deciding.requests import kill_request
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.order import Terms
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.sensor import Sensor
from bustd_protocol import codec
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection

from ..support import victims
from . import crowd, machine, quiet, search
from .peers import Peer
from .procfs_tree import tree
from .table import Figure, against, of_samples

_VICTIM_MIB = 192
_ALWAYS = {
    "conditions": {
        "pressure": {"free_percent": 100, "psi_some_avg10": 0, "available_percent": 100},
        "floor": {"relief_percent": 0},
    }
}
"""`pressure` fires whatever the machine has."""
_REAL_AT_MOST = 10_000
_LONGEST_ROUND_S = 300
_SECONDS_OF_WATCH = 30
_TARGET_MS, _TARGET_SHARE, _TARGET_WATCH_PERCENT = 10, 0.2, 2
_JUDGED_AT = 10_000


class Costs(NamedTuple):
    """Milliseconds of each decision; and of CPU in each second of `watch`."""

    decisions: list[float]
    watch: list[float]
    first: float


class EndlessWalk(Exception):
    """The process table was not read to its end in a reasonable time, with the reason."""


def measure(sizes: tuple[int, ...], runs: int, directory: Path, earlyoom: Peer | None) -> list[Figure]:
    """Decide `runs` times among each of these numbers of small processes, and whatever else runs on this machine."""
    figures = []
    with victims.victim(_VICTIM_MIB):
        for size in sizes:
            try:
                with _processes(size, directory) as proc, quiet.no_collection():
                    found = sum(entry.name.isdigit() for entry in Path(proc).iterdir())
                    costs = _costs(proc, runs)
                    theirs = search.milliseconds(earlyoom, runs) if earlyoom and proc == "/proc" else []
            except (crowd.NoRoom, EndlessWalk) as error:
                figures.append(Figure(f"decision_{size}", f"decision among {size:,}", why_not=str(error)))
                continue
            kind = "processes" if proc == "/proc" else "generated entries"
            figures += _figures(size, costs, theirs, f"{found:,} {kind}")
    return figures


def _figures(size: int, costs: Costs, theirs: list[float], note: str) -> list[Figure]:
    decision = of_samples(f"decision_{size}", f"decision among {size:,}", "ms", costs.decisions, note=note)
    watch = of_samples(f"watch_{size}", f"a second of watch among {size:,}", "ms of CPU", costs.watch, note=note)
    mean = statistics.mean(costs.watch)
    watch = watch._replace(value=mean, note=f"the mean of {len(costs.watch)} s; {note}")
    unprepared = Figure(
        f"unprepared_{size}", f"first decision, unprepared, {size:,}", "ms", costs.first, note="no watch before it"
    )
    if size == _JUDGED_AT:
        decision = against(decision, decision.value, _TARGET_MS)
        watch = against(watch, mean, _TARGET_WATCH_PERCENT * 10)
    figures = [decision, watch, unprepared]
    if theirs:
        figures.append(of_samples(f"earlyoom_{size}", f"earlyoom's search among {size:,}", "ms", theirs, note=note))
        share = decision.value / statistics.median(theirs)
        ratio = Figure(f"share_{size}", f"decision / earlyoom's search, {size:,}", "", share, note="medians")
        figures.append(against(ratio, share, _TARGET_SHARE) if size == _JUDGED_AT else ratio)
    return figures


@contextmanager
def _processes(size: int, directory: Path) -> Iterator[str]:
    """Where procfs, or what looks like it, shows so many."""
    if size <= _REAL_AT_MOST:
        with crowd.sleepers(size):
            yield "/proc"
    else:
        with tree(directory / f"proc{size}", size) as path:
            yield path


def shipped_terms() -> Terms:
    """What a ranking rests on with the shipped configuration, and the killer's shipped minimum."""
    rules = killer_toml.config_of({})
    advice = Protection(rules.protect_units, rules.protect_uids, rules.protect_names)
    total = machine.meminfo().total
    least = killer_toml.minimum_bytes(total, rules)
    return Terms(config.config_of({}).victims, advice, least, total_bytes=total)


def _costs(proc: str, runs: int) -> Costs:
    """First without any preparation; then after as much `watch` as a whole walk takes, and some more."""
    terms = shipped_terms()
    with closing(ProcessTable(proc)) as table:
        first = _decisions(CandidateSearch(table), terms, 1)[0]
    with closing(ProcessTable(proc)) as table:
        shortlist = CandidateSearch(table)
        now_ms, watch = _now_ms(), []
        while len(watch) < _SECONDS_OF_WATCH or (not shortlist.has_finished_a_round and len(watch) < _LONGEST_ROUND_S):
            now_ms += 1000  # the clock is ours: a second of watch costs what it costs, however short it is made
            started_ns = time.process_time_ns()
            shortlist.watch(terms, now_ms)
            watch.append((time.process_time_ns() - started_ns) / 1e6)
        if not shortlist.has_finished_a_round:
            raise EndlessWalk(f"no walk of the process table was over after {len(watch)} s of watch")
        return Costs(_decisions(shortlist, terms, runs, now_ms), watch, first)


def _decisions(shortlist: CandidateSearch, terms: Terms, runs: int, now_ms: int = 0) -> list[float]:
    """Milliseconds of each: rank, look at the readings a second time, make the request, send its packet."""
    settings = config.config_of(_ALWAYS)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    samples = []
    with ours, theirs, closing(Sensor()) as sensor:
        for number in range(runs):
            started_ns = time.perf_counter_ns()
            ranking = shortlist.rank(terms, frozenset(), now_ms)
            reading = sensor.read()
            assert reading is not None, "/proc/meminfo makes no sense"
            _, actions = states.on_ranking(
                State(stage=Stage.ACT), ranking.candidates, reading, now_ms, settings.conditions
            )
            asks = [action for action in actions if isinstance(action, Ask)]
            assert asks, f"nobody to ask for: {actions}"
            ours.send(codec.encode(kill_request(number + 1, asks[0], [], now_ms)))
            samples.append((time.perf_counter_ns() - started_ns) / 1e6)
            os.read(theirs.fileno(), 4096)
    return samples


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
