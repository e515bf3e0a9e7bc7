"""What /proc/PID shows of one process: the one reader of both daemons.

A process that has exited, is hidden or makes no sense is None. OSError comes out for what `raises` lists: a lack of
descriptors or memory, which says nothing about the process, and more for a caller who asks for more. Nothing here keeps
the PID from being reused between two reads: the killer holds a pidfd meanwhile, and what the monitor read is checked by
the killer.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from bustd_shared.daemon.record import NamedTuple

from . import cgroup_paths, procfs

MOST_BYTES = 2**20
"""The longest file is the status of a process in 65536 groups (NGROUPS_MAX), about 720 KiB."""

LACKING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)

Parse = Callable[[bytes], procfs.Status | None]
_ORDINARY_BYTES = 16_384
"""Room for more than that is costly to make, and hardly ever needed."""
_DEEPEST_TREE = 128


class ProcEntry(NamedTuple):
    """One process as /proc shows it.

    `status` and `membership` are those of a thread that has memory where the leader is a zombie and other
    threads live on. `membership` is the text of the file cgroup: None if it can't be read, b"" if the kernel can't
    tell so long a path (ENAMETOOLONG, before Linux 6.8).
    """

    stat: procfs.Stat
    oom_score_adj: int
    status: procfs.Status
    membership: bytes | None

    @property
    def unit(self) -> str:
        """See procfs.parse_unit."""
        return procfs.parse_unit(self.membership or b"")

    @property
    def cgroup(self) -> str:
        """See cgroup_paths.parse_path."""
        return cgroup_paths.parse_path(self.membership or b"")


def read_process(
    pid: int, proc: str = "/proc", parse: Parse = procfs.parse_status, raises: tuple[int, ...] = LACKING
) -> ProcEntry | None:
    """The process of this PID, None for the id of another thread than the leader, which procfs shows too.

    `parse`: what reads the file status. The last one that it was given is the one that counts.
    """
    directory = f"{proc}/{pid}"
    stat = read_stat(pid, proc, raises)
    adj = procfs.parse_oom_score_adj(read_file(f"{directory}/oom_score_adj", raises=raises) or b"") if stat else None
    if stat is None or adj is None:
        return None
    status = None
    if stat.state == b"Z" and not stat.is_dead and not scores_nothing(pid, adj, proc):
        directory, status = _living_thread(directory, parse)
    status = status or parse(read_file(f"{directory}/status", raises=raises) or b"")
    if status is None or status.tgid not in (None, pid):
        return None
    return ProcEntry(stat, adj, status, read_file(f"{directory}/cgroup", raises=raises))


def scores_nothing(pid: int, adj: int, proc: str = "/proc") -> bool:
    """Whether no thread of the process has memory, by the kernel's own look at all of them (proc_pid_oom_score(5)).

    A tracer can keep any number of dead threads; to read a file of each would take seconds. The score is 0 where
    find_lock_task_mm() finds no memory; before Linux 5.9 also of less than a thousandth of the machine's memory. It
    says nothing with a negative `adj`, which only root gives.
    """
    return adj >= 0 and read_file(f"{proc}/{pid}/oom_score") == b"0\n"


def read_stat(pid: int, proc: str = "/proc", raises: tuple[int, ...] = LACKING) -> procfs.Stat | None:
    """/proc/PID/stat alone, of a process or of any thread."""
    return procfs.parse_stat(read_file(f"{proc}/{pid}/stat", raises=raises) or b"")


def ancestors(stat: procfs.Stat, proc: str = "/proc") -> Iterator[int]:
    """The parent of the process with this stat, the parent's parent, and so on, as far as they can be read.

    At most 128: PIDs that are reused between two reads could make a circle.
    """
    for _ in range(_DEEPEST_TREE):
        if stat.parent < 1:
            return
        yield stat.parent
        above = read_stat(stat.parent, proc) if stat.parent > 1 else None
        if above is None:
            return
        stat = above


def read_file(path: str, most_bytes: int = MOST_BYTES, raises: tuple[int, ...] = LACKING) -> bytes | None:
    """The file to its end, or its first `most_bytes`; None if it can't be read, b"" where its path is too long to tell.

    `raises`: the error numbers that come out as OSError instead. The kernel writes a file of /proc/PID in one piece: a
    read that comes back with less than it asked for has its end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, min(_ORDINARY_BYTES, most_bytes))
            return data if len(data) < _ORDINARY_BYTES else data + os.read(descriptor, most_bytes - _ORDINARY_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in raises:
            raise
        return b"" if error.errno == errno.ENAMETOOLONG else None


def _living_thread(directory: str, parse: Parse) -> tuple[str, procfs.Status | None]:
    """The directory and the status of a thread that still has memory; the leader's own and None without one.

    The last first: what a thread has started comes after it, and a tracer can keep any number that have exited before.
    """
    try:
        threads = os.listdir(f"{directory}/task")
    except OSError as error:
        if error.errno in LACKING:
            raise
        threads = []
    for thread in reversed(threads):
        status = parse(read_file(f"{directory}/task/{thread}/status") or b"")
        if status is not None and status.held_bytes is not None:
            return f"{directory}/task/{thread}", status
    return directory, None
