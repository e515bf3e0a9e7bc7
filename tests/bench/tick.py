"""What the monitor does each time that it wakes: a quick look in calm, or a tick through its sensor and decisions."""

from __future__ import annotations

import time

from bustd_monitor import config
from bustd_monitor.calm import LONGEST_MS, Calm
from bustd_monitor.conditions import table
from bustd_monitor.config import MonitorConfig
from bustd_monitor.deciding import pace, states
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.sensing.fill_rate import MOST_WITH_TRIGGERS
from bustd_monitor.sensing.quick_look import QuickLook
from bustd_monitor.sensing.sensor import Sensor

from . import machine, quiet
from .table import Figure, against, of_samples

_TARGET_US = 50
_APART_MS = 1000
"""Readings a second apart, as in `watch`: each one adds to the stalls that are remembered."""


_COLD_APART_S = 0.3
_MEASURES = {"free": "sysinfo", "available": "MemAvailable"}


def measure(count: int, cold_count: int) -> list[Figure]:
    """Both ticks, `count` times each, one right after the other; and the calm one as it is in life, after a sleep."""
    sensor = Sensor()
    try:
        with quiet.no_collection():
            calm = _ticks(sensor, config.config_of({}), Stage.CALM, count)
            watch = _ticks(sensor, _always_scarce(), Stage.WATCH, count)
            cold = _ticks(sensor, config.config_of({}), Stage.CALM, cold_count, _COLD_APART_S)
            looks = [_looks(sensor, by, cold_count) for by in _MEASURES]
        cheap = sensor.read(table.enough_free_percent(config.config_of({}).conditions))
    finally:
        sensor.close()
    # With a full page cache little is free, and a calm machine is read as closely as any other.
    was_cheap = cheap is not None and cheap.total == cheap.ram
    note = "" if was_cheap else "not by sysinfo alone: too little memory is free here"
    return [
        _judged("tick_calm", "tick of the monitor, calm (sysinfo)", calm)._replace(note=note),
        _judged("tick_watch", "tick of the monitor, watch (meminfo, PSI)", watch),
        of_samples("tick_cold", "tick of the monitor, calm, after a sleep", "µs", cold, note="caches are cold"),
        *(_look(by, samples) for by, samples in zip(_MEASURES, looks, strict=True)),
    ]


def _look(by: str, samples_us: list[float]) -> Figure:
    key, what = f"look_cold_{by}", f"quick look of the monitor, after a sleep ({_MEASURES[by]})"
    if not samples_us:
        return Figure(key, what, why_not=f"too little memory is {by} here")
    return of_samples(key, what, "µs", samples_us)


def _looks(sensor: Sensor, by: str, count: int) -> list[float]:
    """Microseconds of each quick look with cold caches, and of the arithmetic that says how long to sleep.

    Empty where this measure does not suffice, and every wake-up would take a reading.
    """
    assert sensor.quick_look is not None
    calm = Calm(_OneMeasure(sensor.quick_look, by))
    memory = machine.meminfo()
    samples = []
    for _ in range(count):
        calm.begin(memory.total, (), config.config_of({}), MOST_WITH_TRIGGERS, LONGEST_MS)
        time.sleep(_COLD_APART_S)
        started_ns = time.perf_counter_ns()
        suffices = calm.sleep_ms(0) > 0
        samples.append((time.perf_counter_ns() - started_ns) / 1000)
        if not suffices:
            return []
    return samples


class _OneMeasure(QuickLook):
    """Another quick look, of which only one measure is used."""

    def __init__(self, whole: QuickLook, by: str) -> None:
        self.sysinfo_is_usable = by == "free"
        self.free_bytes = whole.free_bytes  # type: ignore[method-assign]
        self.available_bytes = whole.free_bytes if by == "free" else whole.available_bytes  # type: ignore[method-assign]


def _judged(key: str, what: str, samples_us: list[float]) -> Figure:
    figure = of_samples(key, what, "µs", samples_us)
    return against(figure, figure.value, _TARGET_US)


def _always_scarce() -> MonitorConfig:
    """Conditions that hold this machine in `watch` and fire only if all of its tasks stall all of the time."""
    return config.config_of(
        {
            "conditions": {
                "pressure": {"free_percent": 100, "available_percent": 100, "psi_some_avg10": 100},
                "stall": {"available_percent": 100, "full_ms_per_second": 1000, "seconds": 60},
            }
        }
    )


def _ticks(sensor: Sensor, settings: MonitorConfig, stage: Stage, count: int, apart_s: float = 0) -> list[float]:
    """Microseconds of each tick: reading, decision, length of the next sleep. What bustd_monitor.loop does in one."""
    samples = []
    state, now_ms = State(stage=stage), 0
    for _ in range(count):
        if apart_s:
            time.sleep(apart_s)
        started_ns = time.perf_counter_ns()
        is_calm = state.stage is Stage.CALM
        reading = sensor.read(table.enough_free_percent(settings.conditions) if is_calm else 100)
        assert reading is not None, "/proc/meminfo makes no sense"
        state, actions = states.on_reading(state, reading, now_ms, settings.conditions)
        pace.sleep_ms(state.found, settings.sleep, MOST_WITH_TRIGGERS)
        samples.append((time.perf_counter_ns() - started_ns) / 1000)
        now_ms += _APART_MS
        if state.stage is not stage or actions:
            raise RuntimeError(f"memory is too short here: {state.stage.value} instead of {stage.value}")
    return samples
