"""A decision among many real processes: from "a condition fires" to a packet that is ready. Nothing is sent."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from bustd_common import killer_toml
from bustd_common.protection import Protection
from bustd_monitor import config
from bustd_monitor.deciding import states
from bustd_monitor.deciding.requests import kill_request
from bustd_monitor.deciding.states import Ask, Phase, State
from bustd_monitor.ranking.order import Terms
from bustd_monitor.ranking.shortlist import Shortlist
from bustd_monitor.sensing.sensor import Sensor
from bustd_protocol import codec

from ..support import victims
from . import crowd, machine, quiet
from .table import Figure, of_samples

_VICTIM_MIB = 64
_ALWAYS = {"conditions": {"floor": {"available_percent": 100, "available_mib": 2**30, "swap_percent": 100}}}
"""`floor` fires whatever the machine has."""


def measure(sizes: tuple[int, ...], runs: int) -> list[Figure]:
    """Decide `runs` times among each of these numbers of small processes, and whatever else runs on this machine."""
    figures = []
    with victims.victim(_VICTIM_MIB):
        for size in sizes:
            key, what = f"decision_{size}", f"decision among {size:,} more processes"
            try:
                with crowd.sleepers(size), quiet.no_collection():
                    found = sum(entry.name.isdigit() for entry in Path("/proc").iterdir())
                    samples, cached = _decisions(runs), _command_lines(runs)
            except crowd.NoRoom as error:
                figures.append(Figure(key, what, why_not=str(error)))
                continue
            figure = of_samples(key, what, "ms", samples, note=f"{runs} runs, {found:,} processes in /proc")
            figures.append(figure)
            remembered = statistics.median(cached)
            about = f"command lines remembered, among {size:,} more"
            figures.append(Figure(f"remember_{size}", about, "ms", remembered, note="every 5 s, in watch only"))
    return figures


def _terms() -> Terms:
    """What a ranking rests on with the shipped configuration, and the killer's shipped minimum."""
    rules = killer_toml.config_of({})
    advice = Protection(rules.protect_units, rules.protect_uids, rules.protect_names)
    least = min(rules.minimum_mib * 2**20, machine.meminfo().total * rules.minimum_percent // 100)
    return Terms(config.config_of({}).victims, advice, least)


def _decisions(runs: int) -> list[float]:
    """Milliseconds of each: rank, look at the readings a second time, make the request and its packet."""
    shortlist, terms, settings = Shortlist(), _terms(), config.config_of(_ALWAYS)
    sensor = Sensor()
    samples = []
    try:
        for number in range(runs):
            started_ns = time.perf_counter_ns()
            ranking = shortlist.rank(terms)
            reading = sensor.read()
            assert reading is not None, "/proc/meminfo makes no sense"
            state = State(phase=Phase.ACT)
            _, actions = states.on_ranking(state, ranking.candidates, reading, 0, settings.conditions)
            (ask,) = actions
            assert isinstance(ask, Ask), "nobody to ask for"
            codec.encode(kill_request(number + 1, ask, settings.victims.scope, 0))
            samples.append((time.perf_counter_ns() - started_ns) / 1e6)
    finally:
        sensor.close()
    return samples


def _command_lines(runs: int) -> list[float]:
    """Milliseconds of what `watch` does every five seconds, beside its readings."""
    shortlist, chosen = Shortlist(), config.config_of({}).victims
    samples = []
    for _ in range(runs):
        started_ns = time.perf_counter_ns()
        shortlist.remember_commands(chosen)
        samples.append((time.perf_counter_ns() - started_ns) / 1e6)
    return samples
