"""`pressure`, the original's: little is free and programs stall, and it is the machine that is short.

A control group that meets a limit of its own stalls on an idle machine, and PSI counts its stalls as the machine's. So
PSI alone proves nothing: in the same seconds the kernel must reclaim for the machine, and programs without such a limit
must stall. An average proves nothing after what it averages has ended.
"""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen
from .stalled_seconds import Stalls, lasts, machine_reclaims, refaulted_percent

_REFAULTED_PERCENT = 5
"""Programs that thrash while they compute refaulted 11 to 34 % of what was reclaimed (vm-thrash-computing); a program
that reads or fills much at once, next to nothing."""
_MUCH, _MUCH_PART = 8 * 2**20, 1024
"""So many bytes refaulted in a second are much, or this part of RAM if that is more."""
_SURELY_SHORT = 3
"""With a third of the limit available there is hardly any page cache left, whatever is refaulted."""
_HARDLY_ANYTHING = 4 * 2**20
"""Bytes a second: where the kernel reclaims less while programs stall, there is nothing left to reclaim."""
_BLIND_SECONDS = 10
"""Where nobody can say whether the kernel reclaims for the machine, stalls must last for this long."""


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
        15,
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
    A swap that is small beside RAM takes no working set. Nor a program that reads or fills much while the page cache is
    full: what the kernel takes for it is not read again.
    """
    reading = seen.reading
    least_free = int(reading.ram * pressure.free_percent / 100)
    least_available = int(reading.total * pressure.available_percent / 100)
    least_swap = int(max(reading.swap_total, reading.ram) * pressure.swap_percent / 100)
    scarce = reading.free <= least_free and reading.available <= least_available and reading.swap_free <= least_swap
    stalled = reading.pressure is not None and reading.pressure.some_avg10 >= pressure.psi_some_avg10
    if pressure.psi_some_avg10:  # with 0 nothing needs to stall
        stalls = seen.trends.stalls
        stalled = stalled and _is_the_machines(stalls, int(pressure.psi_some_avg10 * 10))
        stalled = stalled and (reading.available * _SURELY_SHORT <= least_available or _is_missed(stalls, reading.ram))
    headroom = max(reading.free - least_free, reading.available - least_available, reading.swap_free - least_swap, 0)
    return Finding(CONDITION, scarce, scarce and stalled, headroom, Signal.TERM)


def _is_the_machines(stalls: Stalls, some_ms: int) -> bool:
    """Programs stall for this many milliseconds a second, and the kernel reclaims for the machine in the same time."""
    seconds = stalls.window
    reclaims = machine_reclaims(seconds)
    if reclaims is None and stalls.refaults is None:  # an old kernel, or a table of another tool
        seconds = stalls.seconds[-_BLIND_SECONDS:]
        return len(seconds) == _BLIND_SECONDS and lasts([second.some_ms for second in seconds], some_ms)
    return reclaims is True and sum(second.some_ms for second in seconds) >= some_ms * len(seconds)


def _is_missed(stalls: Stalls, ram: int) -> bool:
    """What was reclaimed in these seconds is read again; or stalls brought hardly anything; or neither is known.

    A user that reads files makes the share of refaults small, and so the amount counts as well.
    """
    seconds = stalls.window
    refaulted = refaulted_percent(seconds, has_limited=not stalls.is_of_unlimited)
    if refaulted is None or refaulted[0] >= _REFAULTED_PERCENT:
        return True
    known = [second.refaults for second in seconds if second.refaults is not None]
    amount = sum(one.anonymous + one.file for one in known)
    if stalls.is_of_unlimited and amount >= max(_MUCH, ram // _MUCH_PART) * len(known):
        return True
    return sum(one.all_reclaimed for one in known) < _HARDLY_ANYTHING * len(known)


def demands(reading: Reading, pressure: Pressure) -> str:
    """In the units of this machine."""
    most_swap = size(max(reading.swap_total, reading.ram) * pressure.swap_percent / 100)
    return (
        f"free at most {pressure.free_percent:g} % ({size(reading.ram * pressure.free_percent / 100)}), "
        f"PSI some avg10 at least {pressure.psi_some_avg10:g} and as much in the last 2 s, while the kernel reclaims "
        f"for the machine, available at most {pressure.available_percent:g} %"
        + (f" and free swap at most {most_swap}" if reading.swap_total else "")
        + f"; with more than {pressure.available_percent / _SURELY_SHORT:g} %, {_REFAULTED_PERCENT} % of what was "
        "reclaimed must be refaulted"
    )


def grounds(seen: Seen, pressure: Pressure) -> str:
    """The stalls of the last seconds, where any are known and count."""
    seconds = seen.trends.stalls.window
    if not seconds or not pressure.psi_some_avg10:
        return ""
    of = "programs at no limit of their own" if seen.trends.stalls.is_of_unlimited else "programs"
    reclaims = {None: "unknown", True: "yes", False: "no"}[machine_reclaims(seconds)]
    amounts = ", ".join(str(second.some_ms) for second in seconds)
    said = f"{of} stalled for {amounts} ms in the last seconds; the kernel reclaims for the machine: {reclaims}"
    refaulted = refaulted_percent(seconds, has_limited=not seen.trends.stalls.is_of_unlimited)
    if refaulted is None:
        return said
    return f"{said}; refaulted of what was reclaimed: {refaulted[0]} %"


CONDITION = Condition(
    "pressure",
    Pressure,
    KEYS,
    judge,
    lambda pressure: pressure.available_percent,
    demands,
    grounds,
    most_free_percent=lambda pressure: pressure.free_percent,
    needs_psi=True,
    needs_time=True,
    rests_on_average=True,
)
