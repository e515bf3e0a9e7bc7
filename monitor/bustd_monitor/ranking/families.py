"""A runaway in many hands: which processes are a family, what they gained together, and when they die as one. Pure."""

from __future__ import annotations

from enum import Enum

from bustd_shared.daemon.record import NamedTuple

from ..sensing.kin import Kin, Kinship
from ..sensing.processes import Process
from . import growth
from .order import Candidate
from .terms import Terms

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

FEWEST = 3
"""Fewer processes are no family: they die one by one."""
_INIT = 1
"""The parent of those that have lost theirs is no parent."""
_CLEARLY = 2
"""A family in which nothing was seen to grow holds at least this many times what any other process holds."""
_OF_A_UNIT_PERCENT = 75
"""A unit dies whole where the family holds this much of it: a scope also holds a terminal and its editors."""


class Why(Enum):
    """Why a family is to die as one."""

    RUNS_AWAY = "it has gained more than all other processes together"
    HOLDS_MOST = "nothing runs away, no single death helps, and it holds most"


class Hand(NamedTuple):
    """A process that may be one of many. `size`: its resident bytes, of which it has gained `gained`.

    `is_new`: it came since the earlier look, and all it holds is gained. `copied`: so much it may have in common with
    the parent that forked it since then.
    """

    kin: Kin
    size: int
    gained: int
    is_new: bool = False
    copied: int = 0


class Member(NamedTuple):
    """A process that was read closely, and where it comes from. Its `gained_bytes` are set."""

    kin: Kin
    process: Process


class Pool(NamedTuple):
    """Those with the same parent or the same name, wherever they are."""

    kinship: Kinship
    hands: tuple[Hand, ...]

    @property
    def gained(self) -> int:
        """Together, in bytes."""
        return sum(hand.gained for hand in self.hands)

    @property
    def size(self) -> int:
        """Together, in bytes."""
        return sum(hand.size for hand in self.hands)


class Growth(NamedTuple):
    """What all processes have gained, and what was lost, in the same time (bytes); `lost` None: it is not known."""

    gained: int
    lost: int | None


def hand_of(kin: Kin, size: int, before: dict[int, int] | None, age_ms: int, parent_size: int) -> Hand:
    """A process with what it has gained since an earlier look (PIDs and KiB), None: without one.

    A process that came since has gained everything. So it has without an earlier look, where it is younger than the
    window. `parent_size` is that of a parent with the same name, from which it was forked: it has the same memory.
    """
    if before is not None and kin.pid in before:
        return Hand(kin, size, max(size - before[kin.pid] * 1024, 0))
    if before is None and age_ms > growth.WINDOW_MS:
        return Hand(kin, size, 0)
    copied = min(size, parent_size)
    return Hand(kin, size, size - copied, not copied, copied)


def without_copies(hands: list[Hand], lost: int, is_each_once: Callable[[], bool]) -> list[Hand] | None:
    """The same where no child is a copy of its parent, None where they may be.

    A copy costs nothing. So where all that was gained beside the copies is less than half of what was lost, they are
    none: the children grow as their parent does. So it is where each page is seen to be in one process alone.
    """
    if not any(hand.copied for hand in hands):
        return None
    if sum(hand.gained for hand in hands) * 2 >= lost and not is_each_once():
        return None
    return [Hand(hand.kin, hand.size, hand.size, is_new=True) if hand.copied else hand for hand in hands]


def gained_by(hand: Hand, held_bytes: int, grew: Growth) -> int:
    """What a process that holds so much has gained, also in swap.

    Of a process that was there before only resident memory is known. Where memory went to swap meanwhile, what was lost
    is more than what was gained, and each has its part in the difference, as far as it holds more than is resident.
    """
    if hand.is_new:
        return held_bytes
    swapped = max((grew.lost or 0) - grew.gained, 0) * hand.gained // max(grew.gained, 1)
    return min(hand.gained + min(max(held_bytes - hand.size, 0), swapped), held_bytes)


def pools(hands: list[Hand]) -> list[Pool]:
    """The families that they may be, each process in one by its parent and in one by its name.

    What the leader of a session has started, as a compositor does, has only the session in common.
    """
    found: dict[Kinship, list[Hand]] = {}
    for hand in hands:
        if _INIT < hand.kin.parent != hand.kin.session:
            found.setdefault(Kinship(hand.kin.parent, b""), []).append(hand)
        found.setdefault(Kinship(0, hand.kin.comm), []).append(hand)
    return [Pool(kinship, tuple(those)) for kinship, those in found.items() if len(those) >= FEWEST]


Place = tuple[str, int, int]
"""What can die in one batch (SPEC.md, Members): a control group that may die whole, or a process group and session."""


def place_of(member: Member) -> Place | None:
    """Where it can die together with others; None if it can't: it leads a session, or its group is not known."""
    kin, process = member
    if process.whole:
        return process.whole, 0, 0
    if not kin.group or kin.pid == kin.session:
        return None
    return process.cgroup, kin.group, kin.session


def together(members: list[Member]) -> list[list[Member]]:
    """Those that can die in one batch, each batch with the largest first."""
    found: dict[Place, list[Member]] = {}
    for member in members:
        place = place_of(member)
        if place is not None:
            found.setdefault(place, []).append(member)
    return [
        sorted(those, key=lambda one: one.process.held_bytes, reverse=True)
        for those in found.values()
        if len(those) >= FEWEST
    ]


def runs_away(members: list[Member], singles: tuple[Candidate, ...], grew: Growth, terms: Terms) -> bool:
    """Whether these gained more than all other processes together, so that any other death would only feed them.

    Where the first that would die else is one of them, and its death brings half of what is needed, it dies alone.
    """
    gained = sum(member.process.gained_bytes for member in members)
    so_far = gained if grew.lost is None else min(gained, grew.lost)
    least = max((grew.lost or 0) // 2, terms.filled_bytes // 2, terms.minimum_bytes)
    if gained * 2 <= grew.gained or so_far <= least:
        return False
    pids = {member.process.pid for member in members}
    first = singles[0] if singles else None
    return first is None or first.process.pid not in pids or first.brings_bytes * 2 < terms.needed_bytes


def holds_most(members: list[Member], singles: tuple[Candidate, ...], terms: Terms) -> bool:
    """Whether these hold clearly more than any other process, and no single death brings half of what is needed."""
    pids = {member.process.pid for member in members}
    if any(single.brings_bytes * 2 >= terms.needed_bytes for single in singles):
        return False
    largest = max((single.brings_bytes for single in singles if single.process.pid not in pids), default=0)
    held = sum(member.process.held_bytes for member in members)
    return held >= max(_CLEARLY * largest, terms.minimum_bytes)


def is_most_of(members: list[Member], unit: dict[int, int], sizes: dict[int, int], terms: Terms) -> bool:
    """Whether a unit may die whole with them: they hold three quarters of it, and no other process in it much.

    `unit`: PIDs of everything in it, and resident bytes. `sizes`: those of the members. Their parent may hold much.
    """
    ours = {member.process.pid for member in members}
    parents = {member.kin.parent for member in members}
    if any(size >= terms.minimum_bytes for pid, size in unit.items() if pid not in ours | parents):
        return False
    theirs = sum(size for pid, size in unit.items() if pid not in ours)
    of_members = sum(sizes.get(pid, 0) for pid in ours)
    return of_members * 100 >= (of_members + theirs) * _OF_A_UNIT_PERCENT
