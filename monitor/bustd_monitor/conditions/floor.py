"""`floor`: memory is all but gone, and swap with it."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema

from ..sensing.reading import Reading
from .finding import Condition, Finding, Seen


class Floor(NamedTuple):
    """Hardly any memory is available, and swap is used up where there is any."""

    enabled: bool
    available_percent: float
    available_mib: int
    swap_percent: float
    kill_fraction_percent: float
    relief_percent: int


KEYS: Schema = {
    "enabled": Key("bool", True, "This condition can ask for a kill."),
    "available_percent": Key(
        "number", 10, "Available memory is at most this percentage of what programs can use.", 0.1, 100
    ),
    "available_mib": Key("int", 1024, "Available memory is at most this many MiB.", 1, 2**30),
    "swap_percent": Key(
        "number",
        10,
        "Usable swap is at most this percentage of swap, or of RAM if that is smaller. Without swap this always holds.",
        0,
        100,
    ),
    "kill_fraction_percent": Key(
        "number",
        50,
        "At or below this percentage of these three limits the signal is SIGKILL instead of SIGTERM.",
        0,
        100,
    ),
    "relief_percent": Key(
        "int",
        25,
        "A victim must hold at least this percentage of the missing memory, whichever condition fires.",
        0,
        100,
    ),
}


def floor_bytes(reading: Reading, floor: Floor) -> int:
    """Below this much available memory `floor` is scarce."""
    return int(min(reading.total * floor.available_percent / 100, floor.available_mib * 2**20))


def swap_floor_bytes(reading: Reading, floor: Floor) -> int:
    """At this much usable swap, or less, `floor` counts swap as used up.

    Of a swap that is larger than RAM only as much counts as RAM could fill at once: else it would never be enough.
    """
    return int(min(reading.swap_total, reading.ram) * floor.swap_percent / 100)


def left_bytes(reading: Reading, floor: Floor) -> int:
    """At least so many bytes must be taken before `floor` is scarce; 0 or less: it is.

    The kernel swaps out when hardly anything is available any more: so both go, the one after the other. `headroom`
    says less, because what is taken all at once may come from either. Of a reading that is not whole: without swap.
    """
    left = reading.available - floor_bytes(reading, floor)
    swap = reading.swap_usable - swap_floor_bytes(reading, floor)
    return max(left, 0) + swap if swap > 0 else left


def judge(seen: Seen, floor: Floor) -> Finding:
    """Memory is all but gone, and swap with it: SIGTERM, and at half of that SIGKILL."""
    reading = seen.reading
    least, least_swap = floor_bytes(reading, floor), swap_floor_bytes(reading, floor)
    available, swap = reading.available, reading.swap_usable
    short = available <= least and swap <= least_swap
    kill_share = floor.kill_fraction_percent / 100
    very_short = available <= least * kill_share and swap <= least_swap * kill_share
    headroom = max(available - least, swap - least_swap, 0)
    return Finding(CONDITION, short, short, headroom, Signal.KILL if very_short else Signal.TERM)


def demands(reading: Reading, floor: Floor) -> str:
    """In the units of this machine."""
    text = f"available at most {size(floor_bytes(reading, floor))}"
    if reading.swap_total:
        text += f" and usable swap at most {size(swap_floor_bytes(reading, floor))}"
    return f"{text}; SIGKILL at {floor.kill_fraction_percent:g} % of that"


CONDITION = Condition("floor", Floor, KEYS, judge, lambda floor: floor.available_percent, demands)
