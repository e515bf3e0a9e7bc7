"""The named conditions under which somebody must die. Each has its own thresholds and can be switched off."""

from __future__ import annotations

from bustd_protocol.messages import Signal
from bustd_protocol.record import NamedTuple

from ..config import Conditions, Floor, Forecast, Pressure, Stall
from . import filling as fill
from .filling import Filling
from .reading import Reading
from .stalls import Second, Stalls, wanted_back_percent

TERM_GRACE_MS = 2000
"""For so long the killer waits after SIGTERM by default. Where root makes it longer (grace.term_ms of killer.toml), the
same finding asks for SIGKILL for whoever has had SIGTERM already, as soon as no more than this is left."""
_RECLAIMED_AT_LEAST = 16 * 2**20
"""So much the kernel takes back in half a minute wherever the machine itself is short."""
_FORECAST_MARGIN_PERCENT = 10
"""So much earlier than `forecast` can be scarce the readings begin that its rate rests on."""


class Finding(NamedTuple):
    """What one condition says of a reading.

    `is_scarce`: memory is as short as the condition demands. `fires`: so is everything else that it demands.
    `headroom`: bytes that must be taken before it can be scarce. `needs_time`: no single reading makes it fire; PSI, or
    the rate of filling, must say so over time. `look_again_ms`: so soon it wants another reading, None: no hurry.
    """

    name: str
    is_scarce: bool
    fires: bool
    headroom: int
    signal: Signal
    needs_time: bool
    look_again_ms: int | None = None


def findings(
    reading: Reading, stalls: Stalls, conditions: Conditions, filling: Filling = fill.UNKNOWN
) -> tuple[Finding, ...]:
    """What every condition that is switched on says, the most urgent first.

    Whichever fires, the signal is SIGKILL where memory and swap would be gone before the grace of a SIGTERM is over.
    """
    found = []
    if conditions.floor.enabled:
        found.append(_floor(reading, conditions.floor))
    if conditions.forecast.enabled:
        found.append(_forecast(reading, filling, conditions.forecast))
    if conditions.stall.enabled:
        found.append(_stall(reading, stalls, conditions.stall))
    if conditions.pressure.enabled:
        found.append(_pressure(reading, conditions.pressure))
    if True in [finding.fires for finding in found] and would_not_survive_the_grace(reading, filling):
        found = [finding._replace(signal=Signal.KILL) if finding.fires else finding for finding in found]
    return tuple(found)


def would_not_survive_the_grace(reading: Reading, filling: Filling) -> bool:
    """Memory and swap are foreseen to be gone before the grace of a SIGTERM is over.

    The rate of half a second says nothing of the next two: a program that takes memory in steps has fast moments. If it
    goes on after all, that is foreseen later, or half of the floor is reached: both are SIGKILL for who had SIGTERM.
    """
    foreseen = fill.foreseen_ms(filling, reading)
    return foreseen is not None and foreseen < TERM_GRACE_MS


def enough_available_percent(conditions: Conditions) -> float:
    """The share of RAM that, while it is available, rules every condition out without a look at anything else."""
    floor, forecast, stall, pressure = conditions.floor, conditions.forecast, conditions.stall, conditions.pressure
    return max(
        floor.available_percent if floor.enabled else 0,
        forecast.available_percent + _FORECAST_MARGIN_PERCENT if forecast.enabled else 0,
        max(stall.available_percent, stall.thrash_available_percent) if stall.enabled else 0,
        min(pressure.free_percent, pressure.available_percent) if pressure.enabled else 0,
    )


def floor_bytes(reading: Reading, floor: Floor) -> int:
    """Below this much available memory `floor` is scarce."""
    return int(min(reading.total * floor.available_percent / 100, floor.available_mib * 2**20))


def swap_floor_bytes(reading: Reading, floor: Floor) -> int:
    """At this much usable swap, or less, `floor` counts swap as used up.

    Of a swap that is larger than RAM only as much counts as RAM could fill at once: else it would never be enough.
    """
    return int(min(reading.swap_total, reading.ram) * floor.swap_percent / 100)


def _floor(reading: Reading, floor: Floor) -> Finding:
    """Memory is all but gone, and swap with it: SIGTERM, and at half of that SIGKILL."""
    least, least_swap = floor_bytes(reading, floor), swap_floor_bytes(reading, floor)
    available, swap = reading.available, reading.swap_usable
    short = available <= least and swap <= least_swap
    kill_share = floor.kill_fraction_percent / 100
    very_short = available <= least * kill_share and swap <= least_swap * kill_share
    headroom = max(available - least, swap - least_swap, 0)
    return Finding("floor", short, short, headroom, Signal.KILL if very_short else Signal.TERM, False)


def _forecast(reading: Reading, filling: Filling, forecast: Forecast) -> Finding:
    """At the rate at which memory and swap fill up they are about to be gone."""
    least = int(reading.total * forecast.available_percent / 100)
    scarce = reading.available <= least
    foreseen = fill.foreseen_ms(filling, reading) if scarce else None
    fires = foreseen is not None and foreseen < forecast.exhaustion_seconds * 1000
    headroom = max(reading.available - least, 0)
    return Finding("forecast", scarce, fires, headroom, Signal.TERM, True, fill.look_again_ms(filling))


def _stall(reading: Reading, stalls: Stalls, stall: Stall) -> Finding:
    """Programs stand still and memory is scarce, however much swap is free.

    What makes it a thrash is that what was taken is wanted back: a working set that only moves to swap stays there. And
    where it is files that are wanted back, the cache that counts as available is not.
    """
    least = int(reading.total * stall.available_percent / 100)
    least_thrashing = max(int(reading.total * stall.thrash_available_percent / 100), least)
    scarce = reading.available <= least_thrashing
    fires = scarce and _thrashes(stalls, stall, reading.available <= least)
    return Finding("stall", scarce, fires, max(reading.available - least_thrashing, 0), Signal.TERM, True)


def _thrashes(stalls: Stalls, stall: Stall, is_short: bool) -> bool:
    if is_short and _has_lasted(stalls, stall):
        return True
    if not stalls.seconds or _is_quiet(stalls.seconds[-1], stall):
        return False
    seconds = stalls.seconds[-stall.seconds :]
    if len(seconds) < stall.seconds:
        return False
    is_full = all(second.full_ms >= stall.full_ms_per_second for second in seconds)
    # One task that only computes keeps `full` at nothing on its processor (Documentation/accounting/psi.rst).
    if not is_full and not all(second.some_ms >= stall.some_ms_per_second for second in seconds):
        return False
    back_percent = wanted_back_percent(seconds)
    if back_percent is None:
        # Not to be read at all here: then the stalls must do, and be twice as long. Else it will be known in a second.
        least_ms = min(2 * stall.full_ms_per_second, 1000)
        return is_short and stalls.refaults is None and all(second.full_ms >= least_ms for second in seconds)
    of_all, of_files = back_percent
    return (of_all if is_short else of_files) >= stall.refault_percent


def _has_lasted(stalls: Stalls, stall: Stall) -> bool:
    """Even what only moves to swap must be over some time; a control group at its own limit need not."""
    if not 0 <= stalls.since_ms <= stalls.marked_ms - stall.patience_seconds * 1000:
        return False
    return stalls.refaults is None or stalls.refaults.reclaimed - stalls.since_reclaimed >= _RECLAIMED_AT_LEAST


def _is_quiet(second: Second, stall: Stall) -> bool:
    return second.full_ms < stall.full_ms_per_second and second.some_ms < stall.some_ms_per_second


def _pressure(reading: Reading, pressure: Pressure) -> Finding:
    """The original's condition: little is free and programs stall; and it is not just a full page cache.

    Nor a working set that moves to swap: while most of a large swap is free, programs stall for as long as that takes.
    A swap that is small beside RAM takes no working set.
    """
    least_free = int(reading.ram * pressure.free_percent / 100)
    least_available = int(reading.total * pressure.available_percent / 100)
    least_swap = int(max(reading.swap_total, reading.ram) * pressure.swap_percent / 100)
    scarce = reading.free <= least_free and reading.available <= least_available and reading.swap_free <= least_swap
    stalled = reading.pressure is not None and reading.pressure.some_avg10 >= pressure.psi_some_avg10
    headroom = max(reading.free - least_free, reading.available - least_available, reading.swap_free - least_swap, 0)
    return Finding("pressure", scarce, scarce and stalled, headroom, Signal.TERM, True)
