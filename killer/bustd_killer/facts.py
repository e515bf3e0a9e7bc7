"""What the kernel says about one process and about the machine's memory: read anew for every request."""

from __future__ import annotations

import errno
import os
import select

from bustd_protocol.messages import Reason
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, procfs
from bustd_shared.kernel.cgroup_memory import GroupFiles

_MOST_BYTES = 16384
_DEEPEST_TREE = 128
_ERRNOS_OF_A_THREAD = (errno.EINVAL, errno.ENOENT)
"""What pidfd_open(2) says of an id that is a thread's: ENOENT on recent kernels (seen on 6.18), EINVAL before."""


class Facts(NamedTuple):
    """One process. Its bytes, unit and control group are of the first living thread when the leader is a zombie.

    `membership` is its /proc/PID/cgroup as it is.
    """

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
            stat = procfs.parse_stat(_read(f"{proc}/{name}/stat") or b"")
            if stat is not None and stat.group == group and not stat.is_dead:
                members.append(int(name))
    return members


def descends_from(stat: procfs.Stat, ancestor: int, proc: str = "/proc") -> bool:
    """Whether `ancestor` is a parent, a parent's parent, and so on, of the process with this stat; not if in doubt."""
    for _ in range(_DEEPEST_TREE):
        if stat.parent == ancestor:
            return True
        try:
            above = procfs.parse_stat(_read(f"{proc}/{stat.parent}/stat") or b"")
        except OSError:
            return False
        if above is None or stat.parent <= 1:
            return False
        stat = above
    return False


class MachineFiles:
    """/proc/meminfo and /proc/pressure/memory, kept open: there may be no descriptor to be had in a crisis."""

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
    root = f"{proc}/{pid}"
    stat = procfs.parse_stat(_read(f"{root}/stat") or b"")
    adj = _read(f"{root}/oom_score_adj")
    if stat is None or adj is None or not adj.strip().lstrip(b"-").isdigit():
        return None
    if stat.state == b"Z" and not stat.is_dead:
        root = _living_thread(root)
    status = procfs.parse_status(_read(f"{root}/status") or b"")
    cgroup = _read(f"{root}/cgroup")
    if status is None or cgroup is None:
        return None
    unit, path = procfs.parse_unit(cgroup), cgroups.parse_path(cgroup)
    return Facts(stat, status.uid, status.held_bytes or 0, int(adj), unit, path, cgroup)


def _living_thread(root: str) -> str:
    """The directory of the first thread that still has memory; the process's own if none is left."""
    try:
        threads = os.listdir(f"{root}/task")
    except OSError:
        return root
    for thread in threads:
        status = procfs.parse_status(_read(f"{root}/task/{thread}/status") or b"")
        if status is not None and status.held_bytes is not None:
            return f"{root}/task/{thread}"
    return root


def _read(path: str) -> bytes | None:
    """A whole small file, None if it can't be read: a vanished or hidden process is a value, not an exception.

    b"" for a control group whose path is too long for the kernel to tell (older ones): nobody may hide behind that.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.EMFILE, errno.ENFILE):  # this says nothing about the process
            raise
        return None
    try:
        return os.read(descriptor, _MOST_BYTES)
    except OSError as error:
        return b"" if error.errno == errno.ENAMETOOLONG else None
    finally:
        os.close(descriptor)
