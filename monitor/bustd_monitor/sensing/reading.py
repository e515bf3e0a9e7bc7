"""What was read of memory at one moment.

A trace records every field here: a new one needs a default, so that older traces can be read (traces.records).
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.pressure import MemoryPressure


class Refaults(NamedTuple):
    """Running totals since boot, in bytes where nothing else is said; see sensing.vmstat for their lines.

    `anonymous`, `file`: what was refaulted, by programs at a limit of their own as well. `reclaimed`: by kswapd, which
    works for the machine alone. `reclaimed_by_allocations`: by programs that waited for memory; since Linux 7.1 that
    has what control groups reclaim at their own limits in it. `stalled_allocations`: how often a program waited for
    memory of the machine. `kswapd_steps`: pages that kswapd scanned, and how often it ran.

    In traces of bustd 0.1.0 `reclaimed` is the sum of both, and the last three are 0.
    """

    anonymous: int
    file: int
    reclaimed: int = 0
    reclaimed_by_allocations: int = 0
    stalled_allocations: int = 0
    kswapd_steps: int = 0

    @property
    def all_reclaimed(self) -> int:
        """What kswapd and programs have reclaimed together."""
        return self.reclaimed + self.reclaimed_by_allocations


class Unlimited(NamedTuple):
    """The stalls of programs that did not meet a limit of their own (sensing.group_stalls).

    Running totals: stalls in microseconds, as PSI counts them, and the refaults in bytes of the groups that did meet a
    limit. Where they begin means nothing: only their growth does.
    """

    some_total_us: int
    full_total_us: int
    limited_anonymous: int = 0
    limited_file: int = 0


class Reading(NamedTuple):
    """Memory in bytes. `total` is what user space can have (available plus anonymous), `ram` the machine's RAM.

    `swap_usable` is the part of `swap_free` that can still relieve memory. `shared` is tmpfs and shared memory.
    `compressed`: what zram and zswap take of memory for what is in swap.
    `tmpfs` is the part of `shared` that is in files of a tmpfs (sensing.tmpfs), `hugetlb` is set aside for huge pages:
    the death of a process frees neither. `tmpfs_held`: what these files hold in memory and in swap together, 0 where
    that was not read; `fullest_tmpfs`: where the one that holds most is mounted, b"" if that is not known.
    `pressure` and `refaults` are None where the kernel has none or they were not
    read.

    `kernel` is memory of the kernel that can't be reclaimed, 0 where it was not read, `page_tables` are of programs.

    `oom_kills`: how many processes the kernel has killed since boot for want of memory, of the machine or of a control
    group. `full_node`: the number of a NUMA node that is full, -1 if none is. Both are read once a second at most.

    `unlimited` None: that was not read, and `pressure` is the pressure of all programs.

    `is_whole` False: only sysinfo was read, because enough memory is free. Then `available` is a lower bound of the
    true value, `total` an upper bound, and the fields of swap are 0, except that `swap_total` may be known.
    """

    ram: int
    free: int
    total: int
    available: int
    swap_total: int
    swap_free: int
    pressure: MemoryPressure | None
    swap_usable: int = 0
    shared: int = 0
    hugetlb: int = 0
    refaults: Refaults | None = None
    is_whole: bool = True
    unlimited: Unlimited | None = None
    kernel: int = 0
    page_tables: int = 0
    oom_kills: int = 0
    tmpfs: int = 0
    full_node: int = -1
    compressed: int = 0
    tmpfs_held: int = 0
    fullest_tmpfs: bytes = b""

    @property
    def room_bytes(self) -> int:
        """Available memory plus free swap."""
        return self.available + self.swap_free

    @property
    def unheld_bytes(self) -> int:
        """What no process holds of memory and swap together: the room, and the memory in which swap is compressed.

        To swap out changes nothing of it, whatever the swap is made of; only what is gained and what comes back does.
        """
        return self.room_bytes + self.compressed

    @property
    def shared_by_processes(self) -> int:
        """Shared memory that is freed when the last process that maps it dies."""
        return max(self.shared - self.tmpfs, 0)


def lower_bound(ram: int, free: int, available: int, swap_total: int = 0) -> Reading:
    """What is certain of the machine while at least this much is available, whatever else could be read."""
    return Reading(ram, free, ram, available, swap_total, 0, None, is_whole=False)
