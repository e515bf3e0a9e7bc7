"""A tick of the monitor: what it does each time that it wakes, through its own sensor and deciding code."""

from __future__ import annotations

import time

from bustd_monitor import config
from bustd_monitor.calm import Calm
from bustd_monitor.conditions import table
from bustd_monitor.config import MonitorConfig
from bustd_monitor.deciding import pace, states
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.sensing.quick_look import QuickLook
from bustd_monitor.sensing.sensor import Sensor

from . import quiet
from .table import Figure, against, of_samples

_TARGET_US = 50
_APART_MS = 1000
"""Readings a second apart, as in `watch`: each one adds to the stalls that are remembered."""
_COLD_APART_S = 0.3


def measure(count: int, cold_count: int) -> list[Figure]:
    """Each tick `count` times, one right after the other; and those of a calm machine as in life, after a sleep.

    A calm wake-up is a quick look: at free memory, or, where the page cache has taken that, at what is available.
    """
    sensor = Sensor()
    quick_look = sensor.quick_look
    assert quick_look is not None, "a sensor of the whole machine has one"
    settings = config.config_of({})
    figures = []
    try:
        with quiet.no_collection():
            for key, look in (("free", _ByFree(quick_look)), ("available", _ByAvailable(quick_look))):
                name = f"wake-up in calm, by {look.source}"
                try:
                    hot, cold = (
                        _quick(sensor, look, settings, n, apart_s)
                        for n, apart_s in ((count, 0), (cold_count, _COLD_APART_S))
                    )
                except _LooksClosely as error:
                    figures.append(Figure(f"tick_quick_{key}", name, why_not=str(error)))
                    continue
                figures.append(_judged(f"tick_quick_{key}", name, hot))
                figures.append(of_samples(f"tick_quick_{key}_cold", f"{name}, after a sleep", "µs", cold))
            calm = _ticks(sensor, settings, Stage.CALM, count)
            watch = _ticks(sensor, _always_scarce(), Stage.WATCH, count)
            cold = _ticks(sensor, settings, Stage.CALM, cold_count, _COLD_APART_S)
        cheap = sensor.read(table.enough_free_percent(settings.conditions))
    finally:
        sensor.close()
    # With a full page cache little is free, and a calm machine is read as closely as any other.
    was_cheap = cheap is not None and cheap.total == cheap.ram
    note = "" if was_cheap else "not by sysinfo alone: too little memory is free here"
    return [
        *figures,
        _judged("tick_calm", "whole turn of the monitor, calm (sysinfo)", calm)._replace(note=note),
        _judged("tick_watch", "whole turn of the monitor, watch (meminfo, PSI)", watch),
        of_samples("tick_cold", "whole turn of the monitor, calm, after a sleep", "µs", cold, note="caches are cold"),
    ]


class _ByFree:
    """A quick look on a machine whose page cache is empty: all that is available is free."""

    source = "sysinfo"
    sysinfo_is_usable = True

    def __init__(self, look: QuickLook) -> None:
        self.free_bytes = self.available_bytes = look.free_bytes


class _ByAvailable(_ByFree):
    """A quick look on a machine whose page cache is full: what is free says nothing."""

    source = "MemAvailable"
    sysinfo_is_usable = False

    def __init__(self, look: QuickLook) -> None:
        self.free_bytes = self.available_bytes = look.available_bytes


class _LooksClosely(Exception):
    """A quick look does not rule out trouble on this machine now."""


def _quick(sensor: Sensor, look: _ByFree, settings: MonitorConfig, count: int, apart_s: float) -> list[float]:
    """Microseconds of each wake-up in calm, from the clock to the length of the next sleep."""
    reading = sensor.read()
    assert reading is not None, "/proc/meminfo makes no sense"
    state, _ = states.on_reading(State(), reading, 0, settings.conditions)
    calm = Calm(look)  # type: ignore[arg-type]
    calm.begin(reading.ram, state.found, settings, due_ms=1 << 62)
    samples = []
    for _ in range(count):
        if apart_s:
            time.sleep(apart_s)
        started_ns = time.perf_counter_ns()
        wait_ms = calm.sleep_ms(time.monotonic_ns() // 1_000_000)
        samples.append((time.perf_counter_ns() - started_ns) / 1000)
        if not wait_ms:
            raise _LooksClosely("too little memory is free here")
    return samples


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
        pace.sleep_ms(state.found, settings.sleep)
        samples.append((time.perf_counter_ns() - started_ns) / 1000)
        now_ms += _APART_MS
        if state.stage is not stage or actions:
            raise RuntimeError(f"memory is too short here: {state.stage.value} instead of {stage.value}")
    return samples
