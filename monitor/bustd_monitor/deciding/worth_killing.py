"""Would a death help? Some memory is nobody's: tmpfs and shared memory, huge pages, the kernel's own. Pure."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_shared.daemon.log import printable
from bustd_shared.daemon.record import NamedTuple

from ..conditions.floor import Floor, floor_bytes
from ..ranking.order import Candidate, grows
from ..sensing.reading import Reading

_ALWAYS_NOTICEABLE = 2**30
"""However high somebody sets the floor: a share of so much is help on any machine."""
NOBODY_GROWS = "memory fills up, and nobody worth killing grows: it is no program that takes it (a tmpfs, perhaps)"

_LONG_LIST = 16
"""A ranking this long may have been cut: then many more of the same size may come after it."""


class Choice(NamedTuple):
    """Those who are worth asking for, in the order of the ranking, and what must be said of it ("": nothing)."""

    candidates: tuple[Candidate, ...]
    remark: str = ""


def needed_bytes(reading: Reading, floor: Floor) -> int:
    """What must come back for the shortage to be over: up to the floor, and half of it again, to have some air."""
    least = floor_bytes(reading, floor)
    return least // 2 + max(least - reading.available, 0)


def worth_asking_for(candidates: tuple[Candidate, ...], reading: Reading, floor: Floor) -> Choice:
    """Leave out those whose death would be in vain; nobody is moved up.

    `relief_percent` of what is needed is noticeable. Where nobody holds that there are two cases. If all of them
    together hold what is needed, or are so many that more may follow, memory is in many hands: then the first of them
    is right, and after it the next. If not, memory is in nobody's hands, and one innocent after another would die for
    nothing.
    """
    needed = needed_bytes(reading, floor)
    noticeable = min(needed, _ALWAYS_NOTICEABLE) * floor.relief_percent // 100
    helpful = tuple(one for one in candidates if one.held_bytes >= noticeable)
    if helpful:
        ends = helpful[0].held_bytes >= needed
        short_of = "" if ends else f"its death alone does not end the shortage: that takes {size(needed)}"
        return Choice(helpful, short_of)
    together = sum(one.held_bytes for one in candidates)
    if candidates and (together >= needed or len(candidates) >= _LONG_LIST):
        return Choice(candidates, f"memory is in many hands, and to end the shortage takes {size(needed)}")
    return Choice(())


def worth_it_ahead(candidates: tuple[Candidate, ...], filled_next: int) -> tuple[Candidate, ...]:
    """Before memory is short only those may die who take it, or whose death outlasts what is filled in some seconds.

    A tmpfs that fills up is nobody's: whoever died for it would have died in vain.
    """
    return tuple(one for one in candidates if grows(one.process) or one.held_bytes >= filled_next)


def what_fills_memory(candidates: tuple[Candidate, ...], reading: Reading) -> str:
    """Why nobody is killed: where memory is, if not with those who may be killed."""
    if candidates:
        largest = max(candidates, key=lambda one: one.held_bytes)
        nobody = (
            "NOBODY WORTH KILLING: the largest that may be is "
            f"{largest.process.pid} ({printable(largest.process.comm)}) with {size(largest.held_bytes)}"
        )
    else:
        nobody = "NOBODY TO KILL"
    anonymous = max(reading.total - reading.available, 0)
    return (
        f"memory is short and there is {nobody}; of {size(reading.ram)}, tmpfs and shared memory hold "
        f"{size(reading.shared)}, huge pages {size(reading.hugetlb)}, all programs {size(anonymous)}"
    )
