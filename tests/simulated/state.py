"""What a machine has: its RAM and swap, and what both are used for at this moment."""

from __future__ import annotations

import math
from typing import NamedTuple

from .groups import Group, Hierarchy
from .memory import GIB, MIB, Block, Kind
from .pressure import Stalls
from .processes import Amount, Process, amount_at

_ZRAM_PER_S = 1.5 * GIB


class Totals(NamedTuple):
    """Resident bytes by kind; `swapped`: what swap holds; `locked`: what of it all can't be swapped out."""

    private: float
    shmem: float
    files: float
    tables: float
    swapped: float
    locked: float


class State:
    """`cache`: page cache that no program uses. `disk_per_s`: of swap and files. `zram_ratio` 0: swap is on a disk."""

    def __init__(
        self,
        ram: float,
        *,
        swap: float = 0.0,
        zram_ratio: float = 0.0,
        cpus: int = 4,
        disk_per_s: float = 150 * MIB,
        cache: float | None = None,
        kernel: Amount | None = None,
        hugetlb: float = 0.0,
    ) -> None:
        self.ram, self.swap_total, self.zram_ratio, self.cpus = float(ram), float(swap), zram_ratio, cpus
        self.disk_per_s = disk_per_s
        self.swap_per_s = _ZRAM_PER_S if zram_ratio else disk_per_s
        self.cold = ram * 0.1 if cache is None else float(cache)
        self.kernel: Amount = min(50 * MIB, 0.15 * ram) + ram * 0.015 if kernel is None else kernel
        self.hugetlb = hugetlb
        self.arc = 0.0
        """The cache of ZFS, which does not shrink here."""
        self.now_s = 0.0
        self.hierarchy = Hierarchy()
        self.bounded: list[Group] = []
        self.blocks: list[Block] = []
        self.processes: dict[int, Process] = {}
        self.tmpfs = Block(Kind.TMPFS, self.hierarchy.root)
        self.list(self.tmpfs)
        self.stalls = Stalls()
        self.swapped_out = self.swapped_in = self.refaulted_anonymous = self.refaulted_files = 0.0
        self.by_kswapd = self.by_direct = 0.0
        self.direct_stalls = self.kernel_kills = 0
        self.oom_s = 0.0
        self.least_available = math.inf
        self.scarce_s = 0.0
        """So long less than a fiftieth of RAM was available."""
        self.min_mark, self.low_mark, self.high_mark = _watermarks(self.ram)

    # --- what there is

    def list(self, block: Block) -> None:
        """The block has memory from now on."""
        if not block.is_listed:
            block.is_listed = True
            self.blocks.append(block)

    # --- what there is

    def totals(self) -> Totals:
        """What all blocks hold, by their kinds, in one pass."""
        private = shmem = files = tables = swapped = locked = 0.0
        for block in self.blocks:
            kind, resident = block.kind, block.resident
            if kind is Kind.PRIVATE:
                private += resident
            elif kind is Kind.FILE:
                files += resident
            elif kind is Kind.TABLES:
                tables += resident
            else:
                shmem += resident
            if block.is_swappable:
                swapped += block.swapped
                if block.is_locked:
                    locked += resident
        return Totals(private, shmem, files, tables, swapped, locked)

    @property
    def swap_used(self) -> float:
        return sum([block.swapped for block in self.blocks if block.is_swappable])

    @property
    def swap_free(self) -> float:
        return max(self.swap_total - self.swap_used, 0.0)

    def zram_pool(self, swap_used: float) -> float:
        """The memory that the compressed swap takes."""
        return swap_used / self.zram_ratio if self.zram_ratio else 0.0

    @property
    def free(self) -> float:
        used = sum([block.resident for block in self.blocks])
        if self.zram_ratio:
            used += self.zram_pool(self.swap_used)
        return self.ram - amount_at(self.kernel, self.now_s) - self.arc - self.hugetlb - self.cold - used

    @property
    def reserve(self) -> float:
        """What is free and not available (totalreserve_pages): the high watermarks, and a little for lower zones."""
        return self.high_mark * 1.05

    @property
    def available(self) -> float:
        """MemAvailable now."""
        return self.available_of(self.free, self.totals().files)

    def available_of(self, free: float, files: float) -> float:
        """MemAvailable, as si_mem_available() computes it; reclaimable slab is part of `kernel`, and left out."""
        cache = self.cold + files
        return max(free - self.reserve + cache - min(cache / 2, self.low_mark), 0.0)

    def living(self) -> list[Process]:
        return [process for process in self.processes.values() if process.is_alive]

    def group(self, path: str, **limits: float) -> Group:
        """The control group, with these limits or protections from now on (high, max, low, min, swap_max)."""
        group = self.hierarchy.at(path)
        for name, amount in limits.items():
            setattr(group, name, amount)
        if limits and group not in self.bounded:
            self.bounded.append(group)
        return group


def _watermarks(ram: float) -> tuple[float, float, float]:
    """min, low and high of all zones together (mm/page_alloc.c), with what huge pages ask for (mm/khugepaged.c)."""
    plain = math.sqrt(ram / 1024 * 16) * 1024
    zones = 2 if ram < 3 * GIB else 3
    for_huge_pages = min(zones * 22 * MIB, ram * 0.05)
    least = min(max(plain, for_huge_pages, 128 * 1024), 256 * MIB)
    gap = max(least / 4, ram * 0.001)
    return least, least + gap, least + 2 * gap
