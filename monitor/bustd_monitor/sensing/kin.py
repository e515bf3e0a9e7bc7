"""What makes processes a family: the same parent, or the same name, from /proc/PID/stat alone."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.process import read_stat


class Kin(NamedTuple):
    """Where a process comes from. `parent`, `group` and `session` are PIDs, 0 where they are not known."""

    pid: int
    start_ticks: int
    comm: bytes
    parent: int = 0
    group: int = 0
    session: int = 0


class Kinship(NamedTuple):
    """What a family has in common: the parent with this PID, or where that is 0 the name.

    `comm`: that name; of the children of a parent, the name of most.
    """

    parent: int
    comm: bytes

    def has(self, kin: Kin) -> bool:
        """Whether this process belongs to the family."""
        return kin.parent == self.parent if self.parent else kin.comm == self.comm


def read_kin(pid: int, proc: str = "/proc") -> Kin | None:
    """None if it is gone, a thread of the kernel or dead, and where no descriptor is left to read it."""
    try:
        stat = read_stat(pid, proc)
    except OSError:
        return None
    if stat is None or stat.is_kernel_thread or stat.is_dead:
        return None
    return Kin(pid, stat.start_ticks, stat.comm, max(stat.parent, 0), max(stat.group, 0), max(stat.session, 0))
