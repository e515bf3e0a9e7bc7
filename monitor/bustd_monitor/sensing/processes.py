"""What ranking reads of one process in procfs. psutil takes ten times as long. A process that is gone is None.

OSError comes out where a process is there, or may be, and can't be read: sensing.unread has what that means.
"""

from __future__ import annotations

import os

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import cgroup_paths, process, procfs
from bustd_shared.rules.protection import is_system

from .traits import parse_traits
from .unread import RAISED

_SMALL_BYTES = 128
LEAST_SHARED = 2**20
"""A process that maps less of shared memory has no part in any."""
COMMAND_BYTES = 128 * 1024
"""As much of a command line is read: a class path alone can take tens of KiB, and Java's main class comes after it."""
SHORT_COMMAND_BYTES = 4096
"""As much is kept of a command line that is not kept whole."""

_MOST_LOOKS = 16
"""Threads that come and go may all be gone between the list of them and the look at each: then look again."""

NOT_ASKED = "was not asked for"
TOO_LONG = f"is longer than {COMMAND_BYTES // 1024} KiB"
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class CommandLine(NamedTuple):
    """A command line, its arguments joined by spaces. `trouble`: why the text is not the whole of it, "" if it is."""

    text: str = ""
    trouble: str = ""


class Process(NamedTuple):
    """What ranking knows of a process. `held_bytes` is what its death gives back: private memory, swap, page tables.

    `shared_bytes` is what it maps of shared memory beside that; ranking.accounting moves into `held_bytes` what of it
    counts for this process. `gained_bytes`, `shared_gained_bytes`: by how much these have grown over the last ten
    seconds, which ranking.tracked fills in. `cgroup`: its path in the unified hierarchy. `whole`: the control group
    that may die with it, "" if none may; `is_indivisible`: and must. `preference`: what ManagedOOMPreference= asks for
    it (sensing.preferences). `is_system`: all its uids are below 1000. `command_trouble`: why `command` is not the
    whole command line, "" if it is. `parent`, `group` and `session`: PIDs, 0 where they are not known. For
    `program_bytes`, `ignores_sigterm` and `memory_print` see sensing.traits. `copied_bytes`: what of `held_bytes` a
    forked child has too, so that it stays when this process dies alone. `twins`: PID and start time of each process
    that has the same memory (CLONE_VM) and must die with it. ranking.accounting fills these in. `swapped_bytes`: what
    of `held_bytes` is in swap; `group_swapped_bytes`: what its control group has there, with the shared memory that is
    charged to it (-1: it maps none, or it is not known, or too many processes are in it). `shared_swapped_bytes`: by
    how much that shared memory has grown over the last ten seconds, which ranking.shared_in_swap fills in.
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
    is_system: bool = True
    command_trouble: str = NOT_ASKED
    shared_bytes: int = 0
    shared_gained_bytes: int = 0
    parent: int = 0
    group: int = 0
    session: int = 0
    program_bytes: int = 0
    ignores_sigterm: bool = False
    memory_print: int = 0
    copied_bytes: int = 0
    twins: tuple[tuple[int, int], ...] = ()
    swapped_bytes: int = 0
    group_swapped_bytes: int = -1
    shared_swapped_bytes: int = 0


def oom_score(pid: int, proc: str = "/proc") -> int:
    """The kernel's own score, 0 if it is gone.

    The kernel gives 0 to kernel threads, zombies and what is at oom_score_adj -1000 (proc_pid_oom_score(5)), and before
    Linux 5.9 also to any process below a thousandth of memory and swap.
    """
    try:
        return int(process.read_file(f"{proc}/{pid}/oom_score", _SMALL_BYTES, RAISED) or b"")
    except ValueError:
        return 0


def resident_bytes(pid: int, proc: str = "/proc") -> int:
    """Resident memory from /proc/PID/statm, 0 if it is gone."""
    words = (process.read_file(f"{proc}/{pid}/statm", _SMALL_BYTES, RAISED) or b"").split()
    return int(words[1]) * _PAGE_BYTES if len(words) > 1 and words[1].isdigit() else 0


def anonymous_bytes(pid: int, proc: str = "/proc") -> int:
    """The part of resident memory that is neither a file's nor shared, 0 if it is gone."""
    words = (process.read_file(f"{proc}/{pid}/statm", _SMALL_BYTES, RAISED) or b"").split()
    if len(words) < 3 or not words[1].isdigit() or not words[2].isdigit():
        return 0
    return max(int(words[1]) - int(words[2]), 0) * _PAGE_BYTES


def read_process(pid: int, oom_score: int, proc: str = "/proc", group: str = "") -> Process | None:
    """Everything that ranking needs of one process; None if it is gone, has no memory, or can't be understood.

    None also for a thread that is not a leader, for a kernel thread, and for a process outside the control group
    `group` (no process is outside ""). `oom_score` goes into the record.
    """
    told = b""

    def parse(status: bytes) -> procfs.Status | None:
        nonlocal told
        told = status
        return procfs.parse_status(status)

    entry = _read_entry(pid, proc, parse)
    if entry is None:
        return None
    stat, status = entry.stat, entry.status
    if stat.is_kernel_thread or stat.is_dead or status.held_bytes is None:
        return None
    if not cgroup_paths.in_group(group, entry.membership or b""):
        return None
    uid, adj, held_bytes = status.uid, entry.oom_score_adj, status.held_bytes
    who = pid, stat.start_ticks, uid, stat.comm, entry.unit
    traits = parse_traits(told)
    return Process(
        *who,
        oom_score,
        adj,
        held_bytes,
        cgroup=entry.cgroup,
        is_system=is_system(status.uids),
        shared_bytes=status.shared_bytes,
        parent=max(stat.parent, 0),
        group=max(stat.group, 0),
        session=max(stat.session, 0),
        program_bytes=traits.program_bytes,
        ignores_sigterm=traits.ignores_sigterm,
        memory_print=traits.memory_print,
        swapped_bytes=traits.swapped_bytes,
    )


def _read_entry(pid: int, proc: str, parse: process.Parse) -> process.ProcEntry | None:
    """What /proc shows, looked at again where a leader is a zombie and no thread with memory was found beside it."""
    for _ in range(_MOST_LOOKS):
        entry = process.read_process(pid, proc, parse, RAISED)
        if entry is None or entry.status.held_bytes is not None or entry.stat.state != b"Z" or entry.stat.is_dead:
            break
    return entry


def read_command(pid: int, proc: str = "/proc") -> CommandLine:
    """The command line, whole up to COMMAND_BYTES. It takes the process's mmap lock: it may block.

    Empty if the process is gone, as for a kernel thread or a zombie.
    """
    data = b""
    try:
        descriptor = os.open(f"{proc}/{pid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
        try:
            while len(data) <= COMMAND_BYTES and (chunk := os.read(descriptor, COMMAND_BYTES + 1 - len(data))):
                data += chunk
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        return CommandLine()
    except OSError as error:
        return CommandLine(trouble=f"can't be read: {error.strerror}")
    if len(data) > COMMAND_BYTES:
        return CommandLine(_text_of(data[:SHORT_COMMAND_BYTES]), TOO_LONG)
    return CommandLine(_text_of(data))


def _text_of(command_line: bytes) -> str:
    return command_line.rstrip(b"\0").replace(b"\0", b" ").decode("utf-8", "backslashreplace")


def is_in_group(pid: int, group: str, proc: str = "/proc") -> bool:
    """Whether a process is in this control group or below it; every process is in ""."""
    if not group:
        return True
    return cgroup_paths.in_group(group, process.read_file(f"{proc}/{pid}/cgroup", process.MOST_BYTES, RAISED) or b"")


def descends_from(pid: int, ancestor: int, proc: str = "/proc") -> bool:
    """Whether `ancestor` is its parent, its parent's parent, and so on."""
    stat = process.read_stat(pid, proc, RAISED)
    return stat is not None and ancestor in process.ancestors(stat, proc)
