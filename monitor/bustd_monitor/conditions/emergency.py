"""`emergency`: programs have stood still for many seconds for want of memory, though much is called available.

What the kernel calls available has page cache in it that programs need at once. Where swap is used up and programs
stand still for ten seconds, the machine is lost whatever that figure is; where they hardly run at all, swap that is
left does not save it either. lmkd of Android acts by PSI alone in this way.
"""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen
from .stalled_seconds import LONGEST_APART_MS, Stalls, lasts, machine_reclaims, refaulted_percent

_MOST_FREE_PERCENT = 30
"""Where more of RAM is free, programs do not stall for want of it."""
_REFAULTED_PERCENT = 20
_EXTREME_MS = 700
"""So much full stall in a second is an emergency with any swap: lmkd's psi_complete_stall_ms."""
_BLIND_SECONDS = 30
"""Where nothing is known of what the kernel reclaims, the stalls must last for this long, and swap must exist: that it
is used up is the only sign then that the machine is short, and not a control group at its own limit."""


class Emergency(NamedTuple):
    """Programs have stood still for many seconds and swap is used up, however much is called available."""

    enabled: bool
    full_ms_per_second: int
    seconds: int
    available_percent: float
    swap_percent: float


KEYS: Schema = {
    "enabled": Key("bool", True, "This condition can ask for a kill."),
    "full_ms_per_second": Key("int", 300, "PSI full grows by at least this many milliseconds a second.", 1, 1000),
    "seconds": Key("int", 10, "This growth of PSI is the average of this many seconds in a row.", 1, 60),
    "available_percent": Key(
        "number", 35, "Available memory is at most this percentage of what programs can use.", 0.1, 100
    ),
    "swap_percent": Key(
        "number",
        10,
        "Usable swap is at most this percentage of swap, or of RAM if that is smaller. Without swap this always holds.",
        0,
        100,
    ),
}


def judge(seen: Seen, emergency: Emergency) -> Finding:
    """Programs stand still for seconds, and the kernel reclaims what is refaulted. Swap is used up, or they hardly run.

    While swap is left and the average of PSI shows no such stalls, there is no need to look each second.
    """
    reading = seen.reading
    least = int(reading.total * emergency.available_percent / 100)
    least_free = reading.ram * _MOST_FREE_PERCENT // 100
    headroom = max(reading.available - least, reading.free - least_free, 0)
    swap_left = max(reading.swap_usable - _least_swap(reading, emergency), 0)
    is_stalling = reading.pressure is not None and reading.pressure.full_avg10 * 10 >= emergency.full_ms_per_second
    if not is_stalling:
        headroom = max(headroom, swap_left)
    fires = not headroom and _stands_still(seen.trends.stalls, emergency, reading.swap_total, swap_left)
    return Finding(CONDITION, not headroom, fires, headroom, Signal.TERM)


def _stands_still(stalls: Stalls, emergency: Emergency, swap_total: int, swap_left: int) -> bool:
    is_blind = stalls.refaults is None
    if is_blind and (not swap_total or swap_left):
        return False
    # With swap left it must be known whose stalls these are: a control group at its own limit stalls as hard.
    if swap_left and not stalls.is_of_unlimited:
        return False
    least_ms = max(emergency.full_ms_per_second, _EXTREME_MS) if swap_left else emergency.full_ms_per_second
    count = max(emergency.seconds, _BLIND_SECONDS) if is_blind else emergency.seconds
    seconds = stalls.seconds[-count:]
    if len(seconds) < count or not lasts([second.full_ms for second in seconds], least_ms):
        return False
    if is_blind:
        return True
    refaulted = refaulted_percent(seconds, has_limited=not stalls.is_of_unlimited)
    return refaulted is not None and refaulted[0] >= _REFAULTED_PERCENT and machine_reclaims(stalls.window) is True


def _least_swap(reading: Reading, emergency: Emergency) -> int:
    return int(min(reading.swap_total, reading.ram) * emergency.swap_percent / 100)


def demands(reading: Reading, emergency: Emergency) -> str:
    """In the units of this machine."""
    least = size(reading.total * emergency.available_percent / 100)
    swap = f" and usable swap at most {size(_least_swap(reading, emergency))}" if reading.swap_total else ""
    extreme = f" (or by {max(emergency.full_ms_per_second, _EXTREME_MS)} ms, however much swap is free)" if swap else ""
    return (
        f"PSI full growing by {emergency.full_ms_per_second} ms a second over {emergency.seconds} s{extreme}, "
        f"{_REFAULTED_PERCENT} % of what was reclaimed refaulted, available at most "
        f"{emergency.available_percent:g} % ({least}){swap}"
    )


def grounds(seen: Seen, emergency: Emergency) -> str:
    """The stalls of these seconds, where any are known."""
    seconds = seen.trends.stalls.seconds[-emergency.seconds :]
    if not seconds:
        return ""
    return f"PSI full {', '.join(str(second.full_ms) for second in seconds)} ms in the last seconds"


def unable(seen: Seen, emergency: Emergency) -> str:
    """Without refaults (read when scarce), swap that is used up is the only sign of the machine's own shortage."""
    is_blind = seen.trends.stalls.refaults is None and judge(seen, emergency).is_scarce
    return "there is no swap, and refaults can't be read" if is_blind and not seen.reading.swap_total else ""


CONDITION = Condition(
    "emergency",
    Emergency,
    KEYS,
    judge,
    lambda emergency: emergency.available_percent,
    demands,
    grounds,
    unable,
    most_free_percent=lambda _emergency: _MOST_FREE_PERCENT,
    needs_psi=True,
    needs_time=True,
    longest_apart_ms=LONGEST_APART_MS,
)
