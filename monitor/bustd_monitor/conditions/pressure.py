"""`pressure`, the original's: little is free and programs stall, and it is not just a full page cache."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen
from .killer_limits import KillerLimits, refused_above


class Pressure(NamedTuple):
    """Free memory (sysinfo) is low, tasks wait for memory, and not much is available."""

    enabled: bool
    free_percent: float
    psi_some_avg10: float
    available_percent: float
    swap_percent: float


KEYS: Schema = {
    "enabled": Key("bool", True, "This condition can ask for a kill."),
    "free_percent": Key("number", 15, "Free memory, without caches, is at most this percentage of RAM.", 0, 100),
    "psi_some_avg10": Key("number", 25.0, "PSI some avg10 is at least this percentage.", 0, 100),
    "available_percent": Key(
        "number",
        40,
        "Available memory is at most this percentage of what programs can use. With 100 this always holds.",
        0.1,
        100,
    ),
    "swap_percent": Key(
        "number",
        50,
        "Free swap is at most this percentage of swap, or of RAM if that is larger. With 100 this always holds.",
        0,
        100,
    ),
}


def judge(seen: Seen, pressure: Pressure) -> Finding:
    """The original's condition: little is free and programs stall; and it is not just a full page cache.

    Nor a working set that moves to swap: while most of a large swap is free, programs stall for as long as that takes.
    A swap that is small beside RAM takes no working set.
    """
    reading = seen.reading
    least_free = int(reading.ram * pressure.free_percent / 100)
    least_available = int(reading.total * pressure.available_percent / 100)
    least_swap = int(max(reading.swap_total, reading.ram) * pressure.swap_percent / 100)
    scarce = reading.free <= least_free and reading.available <= least_available and reading.swap_free <= least_swap
    stalled = reading.pressure is not None and reading.pressure.some_avg10 >= pressure.psi_some_avg10
    headroom = max(reading.free - least_free, reading.available - least_available, reading.swap_free - least_swap, 0)
    return Finding(CONDITION, scarce, scarce and stalled, headroom, Signal.TERM)


def demands(reading: Reading, pressure: Pressure) -> str:
    """In the units of this machine."""
    most_swap = size(max(reading.swap_total, reading.ram) * pressure.swap_percent / 100)
    return (
        f"free at most {pressure.free_percent:g} % ({size(reading.ram * pressure.free_percent / 100)}), "
        f"PSI some avg10 at least {pressure.psi_some_avg10:g}, available at most {pressure.available_percent:g} %"
        + (f" and free swap at most {most_swap}" if reading.swap_total else "")
    )


def killer_warning(condition: Condition, pressure: Pressure, limits: KillerLimits) -> str:
    """The killer accepts more available memory under pressure, if that is pressure by its own measure."""
    pressured_limit = max(limits.available_percent, limits.pressured_available_percent)
    if pressure.available_percent > pressured_limit:
        return refused_above(condition.name, pressure.available_percent, pressured_limit, "pressured_available_percent")
    is_less_pressed = pressure.psi_some_avg10 < limits.pressure_some_avg10
    if is_less_pressed and pressure.available_percent > limits.available_percent:
        return (
            f"conditions.{condition.name} can fire at {pressure.psi_some_avg10:g} % PSI some avg10, where the killer "
            f"still refuses: it needs {limits.pressure_some_avg10:g} % or more (limits.pressure_some_avg10 in "
            "killer.toml)"
        )
    return ""


CONDITION = Condition(
    "pressure",
    Pressure,
    KEYS,
    judge,
    lambda pressure: pressure.available_percent,
    demands,
    killer_warning=killer_warning,
    most_free_percent=lambda pressure: pressure.free_percent,
    needs_psi=True,
    needs_time=True,
    rests_on_average=True,
)
