"""What memory is made of: blocks, each charged to one control group and mapped by any number of processes."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .groups import Group

KIB, MIB, GIB, TIB = 2**10, 2**20, 2**30, 2**40


class Kind(Enum):
    """What the kernel counts the pages of a block as."""

    PRIVATE = "anonymous memory"
    SHARED = "shared memory without a file (memfd, MAP_SHARED and MAP_ANONYMOUS)"
    TMPFS = "files of a tmpfs that is mounted"
    SEGMENT = "System V shared memory"
    FILE = "page cache that programs use"
    TABLES = "page tables"


SWAPPABLE = frozenset((Kind.PRIVATE, Kind.SHARED, Kind.TMPFS, Kind.SEGMENT))
SHMEM = frozenset((Kind.SHARED, Kind.TMPFS, Kind.SEGMENT))
_MOST_MAPPED = 30 * MIB
OUTLIVES_ITS_USERS = frozenset((Kind.TMPFS, Kind.SEGMENT))


class Block:
    """Bytes that are resident and bytes that are swapped out. A page counts once, however many processes map it.

    `touched`: which part of it its users touch in a second. What is touched is swapped out last, and swapped in again.
    """

    __slots__ = ("group", "is_listed", "is_locked", "is_swappable", "kind", "resident", "swapped", "touched", "users")

    def __init__(self, kind: Kind, group: Group, *, touched: float = 0.0, is_locked: bool = False) -> None:
        self.kind = kind
        self.group = group
        self.touched = touched
        self.is_locked = is_locked
        self.is_swappable = kind in SWAPPABLE
        self.is_listed = False
        """Whether it is among the machine's blocks: it is from its first byte on."""
        self.resident = 0.0
        self.swapped = 0.0
        self.users = 0

    @property
    def total(self) -> float:
        return self.resident + self.swapped


class Space:
    """An address space (mm_struct): what one process has mapped, or several that share it (CLONE_VM)."""

    def __init__(self, group: Group, *, touched: float = 0.0, is_locked: bool = False) -> None:
        self.private = Block(Kind.PRIVATE, group, touched=touched, is_locked=is_locked)
        self.shared = Block(Kind.SHARED, group, touched=touched, is_locked=is_locked)
        self.tables = Block(Kind.TABLES, group)
        self.files = Block(Kind.FILE, group)
        self.mapped: list[Block] = []
        """Blocks of other spaces: copies of a parent's memory before it is written to, and shared memory."""
        self.users = 0
        for block in self.own:
            block.users = 1

    @property
    def own(self) -> tuple[Block, Block, Block, Block]:
        return self.private, self.shared, self.tables, self.files

    def map(self, block: Block) -> None:
        """Map a block of another space as well."""
        self.mapped.append(block)
        block.users += 1

    def resident(self, *kinds: Kind) -> float:
        """RSS of these kinds: each process that maps a page shows it."""
        return sum(block.resident for block in (*self.own, *self.mapped) if block.kind in kinds)

    @property
    def mapped_files(self) -> float:
        """RssFile: a program maps no more of the page cache that it uses than this."""
        return min(self.files.resident, _MOST_MAPPED)

    @property
    def swapped_private(self) -> float:
        """VmSwap, which leaves shared memory out (proc_pid_status(5))."""
        return sum(block.swapped for block in (self.private, *self.mapped) if block.kind is Kind.PRIVATE)
