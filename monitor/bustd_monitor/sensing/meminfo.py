"""The lines of /proc/meminfo that only the monitor reads: what can be swapped out, and what no death frees."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.procfs import field_bytes


class Unfreeable(NamedTuple):
    """Memory that no death of a process frees, in bytes.

    `shared`: tmpfs and shared memory (Shmem). `hugetlb`: what is set aside for huge pages, used or not (Hugetlb).
    `kernel`: what the kernel holds and can't reclaim (SUnreclaim, KernelStack, Percpu). `page_tables` (PageTables) go
    with their process. `zswap` (Zswap) is taken by what is in swap.
    """

    shared: int
    hugetlb: int
    kernel: int
    page_tables: int
    zswap: int


def parse_unfreeable(data: bytes) -> Unfreeable:
    """Parse /proc/meminfo (proc_meminfo(5)); a missing line counts as 0."""

    def amount(name: bytes) -> int:
        return field_bytes(data, name) or 0

    kernel = amount(b"SUnreclaim:") + amount(b"KernelStack:") + amount(b"Percpu:")
    return Unfreeable(amount(b"Shmem:"), amount(b"Hugetlb:"), kernel, amount(b"PageTables:"), amount(b"Zswap:"))


def parse_swappable(data: bytes) -> int:
    """Bytes of anonymous and shared memory that the kernel may swap out, from /proc/meminfo; locked memory it may not.

    Active(anon) plus Inactive(anon) are the kernel's own lists of these pages. Where they are missing it is AnonPages
    plus Shmem less Unevictable, which may include pages of a ramfs.
    """
    active, inactive = field_bytes(data, b"Active(anon):"), field_bytes(data, b"Inactive(anon):")
    if active is not None and inactive is not None:
        return active + inactive
    anonymous, shared, locked = (field_bytes(data, name) or 0 for name in (b"AnonPages:", b"Shmem:", b"Unevictable:"))
    return max(anonymous + shared - locked, 0)
