"""What was read of memory at one moment.

A trace records every field here: a new one needs a default, so that older traces can be read (traces.records).
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.pressure import MemoryPressure


class Refaults(NamedTuple):
    """Running totals since boot, in bytes: refaults of anonymous memory and of files, and all reclaimed memory.

    From /proc/vmstat: workingset_refault_anon, workingset_refault_file, and pgsteal_kswapd plus pgsteal_direct. The
    last two leave out what a control group reclaims at its own limit.
    """

    anonymous: int
    file: int
    reclaimed: int = 0


class Reading(NamedTuple):
    """Memory in bytes. `total` is what user space can have (available plus anonymous), `ram` the machine's RAM.

    `swap_usable` is the part of `swap_free` that can still relieve memory. `shared` is tmpfs and shared memory.
    `tmpfs` is the part of `shared` that is in files of a tmpfs (sensing.tmpfs), `hugetlb` is set aside for huge pages:
    the death of a process frees neither. `pressure` and `refaults` are None where the kernel has none or they were not
    read.

    `is_whole` False: only sysinfo was read, because enough memory is free. Then `available` is a lower bound of the
    true value, `total` an upper bound, and the fields of swap are 0.
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
    tmpfs: int = 0

    @property
    def room_bytes(self) -> int:
        """Available memory plus free swap."""
        return self.available + self.swap_free

    @property
    def shared_by_processes(self) -> int:
        """Shared memory that is freed when the last process that maps it dies."""
        return max(self.shared - self.tmpfs, 0)


def lower_bound(ram: int, free: int, available: int) -> Reading:
    """What is certain of the machine while at least this much is available, whatever else could be read."""
    return Reading(ram, free, ram, available, 0, 0, None, is_whole=False)
