"""The lines of /proc/meminfo that only the monitor asks for: what can be swapped out, and what no death frees."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.procfs import field_bytes


class Unfreeable(NamedTuple):
    """In bytes: tmpfs and shared memory (Shmem), and what is set aside for huge pages, used or not (Hugetlb)."""

    shared: int
    hugetlb: int


def parse_unfreeable(data: bytes) -> Unfreeable:
    """Read /proc/meminfo (proc_meminfo(5)); a line that is not there is 0."""
    return Unfreeable(field_bytes(data, b"Shmem:") or 0, field_bytes(data, b"Hugetlb:") or 0)


def parse_swappable(data: bytes) -> int:
    """Bytes of anonymous and shared memory that the kernel may swap out, from /proc/meminfo: what is locked is not.

    Active(anon) plus Inactive(anon) is the kernel's own list of it. Where they are missing it is AnonPages plus Shmem
    less Unevictable, which may have pages of a ramfs in it.
    """
    active, inactive = field_bytes(data, b"Active(anon):"), field_bytes(data, b"Inactive(anon):")
    if active is not None and inactive is not None:
        return active + inactive
    anonymous, shared, locked = (field_bytes(data, name) or 0 for name in (b"AnonPages:", b"Shmem:", b"Unevictable:"))
    return max(anonymous + shared - locked, 0)
