"""One reading of a control group instead of the machine: its limits, its use, its own pressure and refaults."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, watched_group
from bustd_shared.kernel.cgroup_memory import GroupFiles, GroupMemory

from .quick_look import QuickLook
from .reading import Reading, Refaults
from .sensor import Sensor, Unreadable
from .tmpfs import Tmpfs


class GroupSensor:
    """Reads a control group as Sensor reads the machine. The files are opened once, also those of the groups above."""

    sysinfo_is_usable = False
    """sysinfo(2) knows nothing of control groups."""
    quick_look: QuickLook | None = None
    """What a group has available takes several files of each level: that is a reading, and no quick look."""

    def __init__(self, root: str, group: str, proc: str = "/proc") -> None:
        """`group`: its path in the hierarchy that is mounted at `root`. Raises Unreadable."""
        self._gone = f"the control group {group} is gone, or its memory can't be read"
        self._files = GroupFiles(root, group, proc)
        first = self._files.read()
        if first is None:
            self._files.close()
            raise Unreadable(self._gone)
        self._tmpfs = Tmpfs(proc)
        self.pressure_trouble = "" if first.pressure else f"{pressure_path(root, group)} can't be read"
        """Why there is no PSI, "" if there is."""

    def read(self, enough_free_percent: float = 100) -> Reading | None:
        """A reading of this moment; None if the files can't be understood. Raises Unreadable when the group is gone.

        While more than `enough_free_percent` of its limit is unused, only the limits and the use are read.
        """
        memory = self._files.read(enough_free_percent)
        if memory is not None:
            return reading_of(memory, self._tmpfs.held_bytes() if memory.stat is not None and memory.stat.shared else 0)
        if not self._files.is_there:
            raise Unreadable(self._gone)
        return None

    def close(self) -> None:
        """Close the files."""
        self._files.close()
        self._tmpfs.close()


AnySensor = Sensor | GroupSensor


class Target(NamedTuple):
    """What is watched: the control group `group`, or the machine (""). `psi`: the file of its pressure.

    `why`: a clause for the log that says what is watched and why.
    """

    group: str
    why: str
    sensor: AnySensor
    psi: str


def watch(wish: str) -> Target:
    """Find what is to be watched on this machine (see watched_group.find), and open its files. Raises Unreadable."""
    root = cgroups.hierarchy()
    try:
        group, why = watched_group.find(wish, root)
    except watched_group.CannotWatch as error:
        raise Unreadable(str(error)) from None
    if group:
        return Target(group, why, GroupSensor(root, group), pressure_path(root, group))
    return Target(group, why, Sensor(), "/proc/pressure/memory")


def pressure_path(root: str, group: str) -> str:
    """The group's own PSI file, which has the form of the machine's (Documentation/admin-guide/cgroup-v2.rst)."""
    return f"{root}{group.rstrip('/')}/memory.pressure"


def reading_of(memory: GroupMemory, tmpfs: int = 0) -> Reading:
    """The group in the terms of a machine: its RAM is the limit that is nearest.

    `tmpfs`: what every tmpfs holds that can be seen from here. Whether it is charged to this group is not known.
    """
    meminfo, stat = memory.meminfo, memory.stat
    available = meminfo.available or 0
    total = meminfo.user_space
    if stat is None:
        return Reading(meminfo.total, meminfo.free, total, available, 0, 0, None, is_whole=False)
    return Reading(
        ram=meminfo.total,
        free=meminfo.free,
        total=total,
        available=available,
        swap_total=meminfo.swap_total,
        swap_free=meminfo.swap_free,
        pressure=memory.pressure,
        # What zram stores is charged to the machine and not to the group, so swapping out relieves the group in full.
        swap_usable=min(meminfo.swap_free, stat.swappable),
        shared=stat.shared,
        hugetlb=0,
        refaults=Refaults(stat.refaults_anonymous, stat.refaults_file, stat.reclaimed),
        tmpfs=min(tmpfs, stat.shared),
    )
