"""The process table, read from procfs: psutil takes ten times as long. A process that has vanished is None."""

from __future__ import annotations

import os
from collections.abc import Iterator

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroups, procfs, watched_group

_SMALL_BYTES = 64
_STATUS_BYTES = 16384
"""As much as the killer reads: the memory comes after the groups, and a user may be in a thousand of them."""
_CGROUP_BYTES = 16384
_COMMAND_BYTES = 4096
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """What ranking knows of a process. `held_bytes` is anonymous memory plus swap: what its death gives back.

    `gained_bytes`: by how much that has grown of late; only who follows a process knows it. `cgroup`: its path in the
    unified hierarchy. `whole`: the control group that may die with it, "" if none may; `is_indivisible`: and must.
    `preference`: what ManagedOOMPreference= asks for it (sensing.preferences).
    """

    pid: int
    start_ticks: int
    uid: int
    comm: bytes
    unit: str
    oom_score: int
    oom_score_adj: int
    held_bytes: int
    command: str = ""
    gained_bytes: int = 0
    cgroup: str = ""
    whole: str = ""
    is_indivisible: bool = False
    preference: str = ""


def oom_score(pid: int, proc: str = "/proc") -> int:
    """The kernel's own score, 0 if it is gone.

    The kernel gives 0 to kernel threads, zombies and what is at oom_score_adj -1000 (proc_pid_oom_score(5)).
    """
    return _read_number(f"{proc}/{pid}/oom_score") or 0


def resident_bytes(pid: int, proc: str = "/proc") -> int:
    """Resident memory from /proc/PID/statm, 0 if it is gone. It breaks a tie between equal scores."""
    words = (_read(f"{proc}/{pid}/statm", _SMALL_BYTES * 2) or b"").split()
    return int(words[1]) * _PAGE_BYTES if len(words) > 1 and words[1].isdigit() else 0


def read_process(pid: int, oom_score: int, proc: str = "/proc", group: str = "") -> Process | None:
    """Everything that ranking asks about one process; None if it has gone, has no memory, or can't be understood.

    None for a thread too: procfs shows it under its own number to whoever asks for that. And for who is not in the
    control group `group` ("": anybody is).
    """
    root = f"{proc}/{pid}"
    stat = procfs.parse_stat(_read(f"{root}/stat", _STATUS_BYTES) or b"")
    if stat is None or stat.is_kernel_thread or stat.is_dead:
        return None
    adj = _read_number(f"{root}/oom_score_adj")
    if stat.state == b"Z":
        root = _living_thread(root)
    text = _read(f"{root}/status", _STATUS_BYTES) or b""
    status = procfs.parse_status(text)
    if adj is None or status is None or status.held_bytes is None or not _is_leader(pid, text):
        return None
    membership = _read(f"{root}/cgroup", _CGROUP_BYTES) or b""
    if not watched_group.holds(group, membership):
        return None
    unit, cgroup = procfs.parse_unit(membership), cgroups.parse_path(membership)
    return Process(pid, stat.start_ticks, status.uid, stat.comm, unit, oom_score, adj, status.held_bytes, cgroup=cgroup)


def read_command(pid: int, proc: str = "/proc") -> str:
    """The command line's first 4096 bytes, "" if it can't be read. It takes the process's mmap lock: it may block."""
    data = _read(f"{proc}/{pid}/cmdline", _COMMAND_BYTES) or b""
    return data.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "backslashreplace")


def is_in_group(pid: int, group: str, proc: str = "/proc") -> bool:
    """Whether it is in this control group or below it; everybody is in ""."""
    return not group or watched_group.holds(group, _read(f"{proc}/{pid}/cgroup", _CGROUP_BYTES) or b"")


def ancestors(pid: int, proc: str = "/proc") -> Iterator[int]:
    """The parent, its parent, and so on."""
    while pid > 1:
        stat = procfs.parse_stat(_read(f"{proc}/{pid}/stat", _STATUS_BYTES) or b"")
        if stat is None:
            return
        pid = stat.parent
        yield pid


def _living_thread(root: str) -> str:
    """The directory of the first thread of a zombie leader that still has memory."""
    try:
        threads = os.listdir(f"{root}/task")
    except OSError:
        return root
    for thread in threads:
        status = procfs.parse_status(_read(f"{root}/task/{thread}/status", _STATUS_BYTES) or b"")
        if status is not None and status.held_bytes is not None:
            return f"{root}/task/{thread}"
    return root


def _is_leader(pid: int, status: bytes) -> bool:
    """Whether this /proc/PID/status is a process's, and not a thread's."""
    at = status.find(b"\nTgid:")
    return at < 0 or status[at + 6 : at + 32].split(None, 1)[0] == b"%d" % pid


def _read_number(path: str) -> int | None:
    try:
        return int(_read(path, _SMALL_BYTES) or b"")
    except ValueError:
        return None


def _read(path: str, most: int) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return os.read(descriptor, most)
    except OSError:
        return None
    finally:
        os.close(descriptor)
