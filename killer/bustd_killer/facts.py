"""What the kernel says about one process and about the machine's memory: read again for every request."""

from __future__ import annotations

import errno
import os
import select

from bustd_protocol.messages import Reason
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import process, procfs
from bustd_shared.kernel.cgroup_memory import GroupFiles

_MOST_BYTES = 16384
_ERRNOS_OF_A_THREAD = (errno.EINVAL, errno.ENOENT)
"""What pidfd_open(2) says of an id that is a thread's: ENOENT on recent kernels (seen on 6.18), EINVAL before."""


class Facts(NamedTuple):
    """One process, with the values of process.ProcEntry. `held_bytes` is 0 if it has no memory."""

    stat: procfs.Stat
    uid: int
    held_bytes: int
    oom_score_adj: int
    unit: str
    cgroup: str = ""
    membership: bytes = b""


class Victim(NamedTuple):
    """A process held by its pidfd, and facts that were read while the pidfd kept the PID from being reused."""

    pid: int
    pidfd: int
    facts: Facts


class Machine(NamedTuple):
    """The memory of the machine, or of the control group that is watched instead, in bytes.

    `some_avg10`: pressure (PSI some avg10) in percent, 0 where PSI is off.
    """

    meminfo: procfs.Meminfo
    some_avg10: float


def open_victim(pid: int, proc: str = "/proc") -> Victim | Reason:
    """Check 4: hold `pid` by a pidfd, then read its facts. The caller closes the pidfd.

    Reason.GONE, HIDDEN (it is alive, but /proc does not show it) or NOT_LEADER (the id of a thread).
    """
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return Reason.GONE
        if error.errno in _ERRNOS_OF_A_THREAD:
            return Reason.NOT_LEADER
        raise
    try:
        facts = _read_facts(pid, proc)
        # Only now: if the process is still alive, every read was about it and not about a successor with the same PID.
        if has_exited(pidfd):
            facts, missing = None, Reason.GONE
        else:
            missing = Reason.HIDDEN
    except BaseException:
        os.close(pidfd)
        raise
    if facts is None:
        os.close(pidfd)
        return missing
    return Victim(pid, pidfd, facts)


def has_exited(pidfd: int) -> bool:
    """Whether the process and all its threads are gone (pidfd_open(2)). A lone zombie has exited too."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def group_members(group: int, proc: str = "/proc") -> list[int]:
    """The PIDs whose process group is `group`."""
    members = []
    for name in os.listdir(proc):
        if name.isdigit():
            stat = process.read_stat(int(name), proc)
            if stat is not None and stat.group == group and not stat.is_dead:
                members.append(int(name))
    return members


def descends_from(stat: procfs.Stat, ancestor: int, proc: str = "/proc") -> bool:
    """Whether `ancestor` is a parent, a parent's parent, and so on, of the process with this stat; not if in doubt."""
    try:
        return ancestor in process.ancestors(stat, proc)
    except OSError:
        return False


class MachineFiles:
    """/proc/meminfo and /proc/pressure/memory, kept open: in a crisis there may be no free descriptor."""

    def __init__(self, proc: str = "/proc") -> None:
        self._meminfo = os.open(f"{proc}/meminfo", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._pressure = os.open(f"{proc}/pressure/memory", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._pressure = -1

    def read(self) -> Machine | None:
        """The memory as it is now; None where /proc/meminfo makes no sense."""
        meminfo = procfs.parse_meminfo(os.pread(self._meminfo, _MOST_BYTES, 0))
        return None if meminfo is None else Machine(meminfo, self._some_avg10())

    def _some_avg10(self) -> float:
        if self._pressure < 0:
            return 0.0
        try:
            pressure = procfs.parse_pressure(os.pread(self._pressure, 512, 0))
        except OSError:  # EOPNOTSUPP: PSI is switched off
            return 0.0
        return 0.0 if pressure is None else pressure.some_avg10


class CgroupFiles:
    """The same for a control group, from its files and those of the groups above it (see cgroup_memory)."""

    def __init__(self, hierarchy: str, group: str, proc: str = "/proc") -> None:
        self._files = GroupFiles(hierarchy, group, proc)

    def read(self) -> Machine | None:
        """The memory as it is now; None where the files make no sense, or the group does not exist."""
        memory = self._files.read()
        if memory is None:
            return None
        return Machine(memory.meminfo, memory.pressure.some_avg10 if memory.pressure else 0.0)


def _read_facts(pid: int, proc: str) -> Facts | None:
    """The facts of a process, None if any of them can't be read or understood."""
    entry = process.read_process(pid, proc)
    if entry is None or entry.membership is None:
        return None
    uid, held_bytes = entry.status.uid, entry.status.held_bytes or 0
    return Facts(entry.stat, uid, held_bytes, entry.oom_score_adj, entry.unit, entry.cgroup, entry.membership)
