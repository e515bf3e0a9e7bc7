"""What was sensed at one moment."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.procfs import Pressure


class Refaults(NamedTuple):
    """Running totals since boot, in bytes: what had been reclaimed and was wanted back, and all that was reclaimed.

    Of /proc/vmstat: workingset_refault_anon, workingset_refault_file, and pgsteal_kswapd plus pgsteal_direct, which
    leave out what a control group takes from itself at its own limit.
    """

    anonymous: int
    file: int
    reclaimed: int = 0


class Reading(NamedTuple):
    """Memory in bytes. `total` is what user space can have (available plus anonymous), `ram` what is built in.

    `swap_usable` is what of `swap_free` can still relieve memory, `shared` is tmpfs and shared memory, `hugetlb` what
    is set aside for huge pages: neither comes back with a death. `pressure` and `refaults` None: there are none, or
    they were not read.

    `is_whole` False: so much is free that nothing but sysinfo was read. Then `available` is at least as low as the
    true value, `total` at least as high, and there is no word of swap.
    """

    ram: int
    free: int
    total: int
    available: int
    swap_total: int
    swap_free: int
    pressure: Pressure | None
    swap_usable: int = 0
    shared: int = 0
    hugetlb: int = 0
    refaults: Refaults | None = None
    is_whole: bool = True

    @property
    def room_bytes(self) -> int:
        """What is left: available memory and free swap."""
        return self.available + self.swap_free
