"""The named conditions under which somebody must die. Each has its own thresholds and can be switched off."""

from __future__ import annotations

from bustd_protocol.messages import Signal
from bustd_protocol.record import NamedTuple

from ..config import Conditions, Floor, Pressure, Stall
from .reading import Reading
from .stalls import Stalls


class Finding(NamedTuple):
    """What one condition says of a reading.

    `is_scarce`: memory is as short as the condition demands. `fires`: so is everything else that it demands.
    `headroom`: bytes that must be taken before it can be scarce. `needs_psi`: it can't fire before PSI says so too.
    """

    name: str
    is_scarce: bool
    fires: bool
    headroom: int
    signal: Signal
    needs_psi: bool


def findings(reading: Reading, stalls: Stalls, conditions: Conditions) -> tuple[Finding, ...]:
    """What every condition that is switched on says, the most urgent first."""
    found = []
    if conditions.floor.enabled:
        found.append(_floor(reading, conditions.floor))
    if conditions.stall.enabled:
        found.append(_stall(reading, stalls, conditions.stall))
    if conditions.pressure.enabled:
        found.append(_pressure(reading, conditions.pressure))
    return tuple(found)


def enough_available_percent(conditions: Conditions) -> float:
    """The share of RAM that, while it is available, rules every condition out without a look at anything else."""
    floor, stall, pressure = conditions.floor, conditions.stall, conditions.pressure
    return max(
        floor.available_percent if floor.enabled else 0,
        stall.available_percent if stall.enabled else 0,
        min(pressure.free_percent, pressure.available_percent) if pressure.enabled else 0,
    )


def floor_bytes(reading: Reading, floor: Floor) -> int:
    """Below this much available memory `floor` is scarce."""
    return int(min(reading.total * floor.available_percent / 100, floor.available_mib * 2**20))


def swap_floor_bytes(reading: Reading, floor: Floor) -> int:
    """At this much free swap, or less, `floor` counts swap as used up."""
    return int(reading.swap_total * floor.swap_percent / 100)


def _floor(reading: Reading, floor: Floor) -> Finding:
    """Memory is all but gone, and swap with it: SIGTERM, and at half of that SIGKILL."""
    least, least_swap = floor_bytes(reading, floor), swap_floor_bytes(reading, floor)
    short = reading.available <= least and reading.swap_free <= least_swap
    kill_share = floor.kill_fraction_percent / 100
    very_short = reading.available <= least * kill_share and reading.swap_free <= least_swap * kill_share
    headroom = max(reading.available - least, reading.swap_free - least_swap, 0)
    return Finding("floor", short, short, headroom, Signal.KILL if very_short else Signal.TERM, False)


def _stall(reading: Reading, stalls: Stalls, stall: Stall) -> Finding:
    """Programs stand still and memory is scarce, however much swap is free."""
    least = int(reading.total * stall.available_percent / 100)
    scarce = reading.available <= least
    recent = stalls.full_ms[-stall.seconds :]
    stalled = len(recent) == stall.seconds and min(recent) >= stall.full_ms_per_second
    return Finding("stall", scarce, scarce and stalled, max(reading.available - least, 0), Signal.TERM, True)


def _pressure(reading: Reading, pressure: Pressure) -> Finding:
    """The original's condition: little is free and programs stall; and it is not just a full page cache."""
    least_free = int(reading.ram * pressure.free_percent / 100)
    least_available = int(reading.total * pressure.available_percent / 100)
    scarce = reading.free <= least_free and reading.available <= least_available
    stalled = reading.pressure is not None and reading.pressure.some_avg10 >= pressure.psi_some_avg10
    headroom = max(reading.free - least_free, reading.available - least_available, 0)
    return Finding("pressure", scarce, scarce and stalled, headroom, Signal.TERM, True)
