"""What the kernel says about one process and about the machine's memory: read again for every request."""

from __future__ import annotations

import errno
import os
import select

from bustd_protocol.messages import Reason
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.process import ProcEntry, ancestors, read_file, read_process, scores_nothing
from bustd_shared.kernel.procfs import PID_MAX, Meminfo, Stat, parse_meminfo

_MOST_BYTES = 16384
_ERRNOS_OF_A_THREAD = (errno.EINVAL, errno.ENOENT)
"""What pidfd_open(2) says of an id that is a thread's: ENOENT on recent kernels (seen on 6.18), EINVAL before."""
_MOST_LOOKS = 16
"""A zombie leader whose threads come and go may have none with memory at the moment of one look: then look again."""
_MOST_BLIND_LOOKS = 3
"""So often may /proc show nothing of a living process: while another thread becomes the leader by execve(2)."""
_MOST_THREADS = 256
"""A dying process has few threads soon; of one that has more, which a tracer can keep, the kernel's score decides."""


class Victim(NamedTuple):
    """A process held by its pidfd, and facts that were read while the pidfd kept the PID from being reused."""

    pid: int
    pidfd: int
    entry: ProcEntry

    @property
    def held_bytes(self) -> int:
        """What its death gives back at most: its shared memory counts whole, also where others map it."""
        return (self.entry.status.held_bytes or 0) + self.entry.status.shared_bytes


def held_together(victims: list[Victim], machine: Meminfo | None) -> int:
    """What the death of all these gives back at most, in bytes.

    Memory that many of them map is there once. So of shared memory no more counts than there is memory that is neither
    free nor anonymous. Copies that forks have made count for each.
    """
    shared = sum([victim.entry.status.shared_bytes for victim in victims])
    total, free, _, anonymous, *_ = machine or (shared, 0, 0, 0)
    return sum([victim.held_bytes for victim in victims]) - max(shared - max(total - free - anonymous, 0), 0)


def open_victim(pid: int, proc: str = "/proc") -> Victim | Reason:
    """Check 4: hold `pid` by a pidfd, then read its facts. The caller closes it. Raises OSError (EMFILE, ENOSYS).

    Reason.GONE (also of what can't be a PID), NOT_LEADER (the id of a thread), HIDDEN (it lives, but /proc does not
    show it), or KERNEL (what /proc shows of it makes no sense).
    """
    if not 0 < pid <= PID_MAX:
        return Reason.GONE  # the packet's 32 bits hold more than pidfd_open(2) takes
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        if error.errno == errno.ESRCH:
            return Reason.GONE
        if error.errno in _ERRNOS_OF_A_THREAD:
            return Reason.NOT_LEADER
        raise
    found: Victim | Reason = Reason.KERNEL
    try:
        entry = _read(pid, proc)
        # To look into a directory takes the right that hidepid takes away (proc(5)).
        is_shown = entry is not None or os.path.exists(f"{proc}/{pid}/.")
        # Only now: if the process is still alive, every read was about it and not about a successor with the same PID.
        if has_exited(pidfd):
            found = Reason.GONE
        elif entry is not None:
            found = Victim(pid, pidfd, entry)
        elif not is_shown:
            found = Reason.HIDDEN
        return found
    finally:
        if not isinstance(found, Victim):
            os.close(pidfd)


def has_exited(pidfd: int) -> bool:
    """Whether the process and all its threads are gone (pidfd_open(2)). A lone zombie has exited too."""
    return bool(exited([pidfd]))


def exited(pidfds: list[int], patience_ms: int = 0) -> set[int]:
    """Those of the pidfds whose process has exited; waits so long for the first."""
    poll = select.poll()
    for pidfd in pidfds:
        poll.register(pidfd, select.POLLIN)
    return {pidfd for pidfd, _ in poll.poll(patience_ms)}


def has_memory(pid: int, proc: str = "/proc") -> bool:
    """Whether any thread of a process still has its memory mapped. The caller holds its pidfd.

    By /proc/PID/task/TID/statm: the leader's own file says 0 of a process whose other threads hold everything. Of very
    many threads by the score of the process (`scores_nothing`). True where it can't be told.
    """
    task = f"{proc}/{pid}/task"
    try:
        threads = os.listdir(task)
        if len(threads) > _MOST_THREADS:
            return not scores_nothing(pid, 0, proc)
        return any(_maps_memory(f"{task}/{thread}/statm") for thread in threads)
    except OSError:
        return True


def descends_from(stat: Stat, ancestor: int, pidfd: int, proc: str = "/proc") -> bool:
    """Whether `ancestor` is a parent, a parent's parent, and so on, of the process with this stat; not if in doubt.

    `pidfd` is the ancestor's: once that has exited, its number may be another's. 0: any process is its descendant.
    Raises OSError (EMFILE).
    """
    return not ancestor or (ancestor in ancestors(stat, proc) and not has_exited(pidfd))


class MachineFiles:
    """/proc/meminfo, kept open: in a crisis there may be no free descriptor."""

    def __init__(self, proc: str = "/proc") -> None:
        self._meminfo = os.open(f"{proc}/meminfo", os.O_RDONLY | os.O_CLOEXEC)

    def read(self) -> Meminfo | None:
        """The memory as it is now, in bytes; None where /proc/meminfo makes no sense."""
        return parse_meminfo(os.pread(self._meminfo, _MOST_BYTES, 0))


def _read(pid: int, proc: str) -> ProcEntry | None:
    """What the kernel says of it, None where /proc does not show it."""
    best, blind_looks = None, 0
    for _ in range(_MOST_LOOKS):
        entry = read_process(pid, proc)
        if entry is not None and entry.membership is not None:
            best = entry
            if not _lacks_a_thread(entry) or scores_nothing(pid, entry.oom_score_adj, proc):
                break
        blind_looks += entry is None or entry.stat.state != b"Z"
        if blind_looks == _MOST_BLIND_LOOKS:
            break
    return best


def _maps_memory(statm: str) -> bool:
    data = read_file(statm)
    return data is not None and data.split()[:1] != [b"0"]


def _lacks_a_thread(entry: ProcEntry) -> bool:
    return entry.stat.state == b"Z" and not entry.stat.is_dead and entry.status.held_bytes is None
