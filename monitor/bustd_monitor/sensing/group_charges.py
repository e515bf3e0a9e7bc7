"""What control groups are charged with: which of them may hold the process that is looked for.

Documentation/admin-guide/cgroup-v2.rst. Each amount includes the groups below. A page is charged to the group whose
process touched it first, and stays charged to it when that process moves to another group.
"""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups
from bustd_shared.kernel.procfs import field_bytes, number_after

from .contents import amount, contents
from .meminfo import parse_unfreeable

_STAT_BYTES = 16_384


class Charged(NamedTuple):
    """Bytes. `private`: anonymous memory, page tables and swap. `shared`: shared memory and files of a tmpfs."""

    private: int
    shared: int


class GroupCharges:
    """The groups of the unified hierarchy at `root`, each by its path; "" is the root itself.

    None is what can't be read: the group is gone, it has no memory controller, its owner forbids it, or no descriptor
    is left.
    """

    def __init__(self, root: str, proc: str = "/proc") -> None:
        self._root, self._proc = root, proc
        self._has_swapped = True

    def of_machine(self) -> Charged | None:
        """What all groups together are charged with, and who is in none, from /proc/meminfo."""
        data = contents(f"{self._proc}/meminfo", _STAT_BYTES)
        anonymous = field_bytes(data, b"AnonPages:")
        if anonymous is None:
            return None
        swapped = (field_bytes(data, b"SwapTotal:") or 0) - (field_bytes(data, b"SwapFree:") or 0)
        self._has_swapped = swapped > 0
        unfreeable = parse_unfreeable(data)
        return Charged(anonymous + unfreeable.page_tables + max(swapped, 0), unfreeable.shared)

    def usage(self, path: str) -> int | None:
        """Memory and swap: at least as much as it is `charged`, with page cache and memory of the kernel besides."""
        current = amount(f"{self._root}{path}/memory.current")
        return None if current is None else current + self._swapped(path)

    def charged(self, path: str) -> Charged | None:
        """Which part of that is held by processes."""
        data = contents(f"{self._root}{path}/memory.stat", _STAT_BYTES)
        anonymous = number_after(data, b"anon ")
        if anonymous is None:
            return None
        tables = number_after(data, b"pagetables ") or 0  # Linux 5.18 and later
        return Charged(anonymous + tables + self._swapped(path), number_after(data, b"shmem ") or 0)

    def below(self, path: str) -> list[str]:
        """The paths of the groups directly below. Raises OSError for a lack of descriptors."""
        return [f"{path}/{name}" for name in cgroups.names_below(f"{self._root}{path}")]

    def pids(self, path: str) -> list[int]:
        """The processes in it and below it. Raises OSError for a lack of descriptors."""
        return cgroups.members(self._root, path)

    def is_delegated(self, path: str) -> bool:
        """Whether it belongs to another user than root, who can move processes between the groups below it."""
        try:
            return os.stat(f"{self._root}{path}").st_uid != 0
        except OSError:
            return True

    def _swapped(self, path: str) -> int:
        return (amount(f"{self._root}{path}/memory.swap.current") or 0) if self._has_swapped else 0
