"""The one lock of the pairs that serve the whole machine: two of them would not know of each other's kills.

It is a record lock (fcntl(2), F_SETLK), because the kernel ties such a lock to one process: it stays through an execve,
no child inherits it, it ends with the process whatever ends that, and the kernel names its holder. A shared one would
do to keep others out, so nobody but root and the killer's group may open the file at all. An exclusive one needs a
descriptor that is open for writing, so the file is a FIFO: a captured killer can write nothing to it that stays.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import stat
import struct

from . import process, procfs

PATH = "/run/bustd/lock"
GROUP = "bustd-killer"
PID_FILE = "/run/bustd.pid"

_FLOCK = "hhqqi4x"
"""struct flock: l_type, l_whence, l_start, l_len, l_pid."""


class AlreadyServed(Exception):
    """Another pair has the lock; the text says which, as one sentence."""


def take(path: str = PATH, group: str = GROUP) -> int:
    """Take the lock for as long as this process lives; the descriptor, which must stay open, also through an execve.

    Root makes the file if there is none. Raises AlreadyServed, and OSError where there is no such lock on this machine.
    """
    if os.geteuid() == 0:
        _make(path, group)
    descriptor = _opened(path)
    try:
        while not _is_taken(descriptor):
            holder = _holder(descriptor)
            if holder is not None:
                raise AlreadyServed(in_words(holder))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def held_by_another(path: str = PATH) -> str:
    """Which pair has the lock, as one sentence; "" if none has it, or this process may not ask."""
    try:
        descriptor = _opened(path)
    except OSError:
        return ""
    try:
        holder = _holder(descriptor)
    finally:
        os.close(descriptor)
    return "" if holder is None else in_words(holder)


def in_words(pid: int, proc: str = "/proc", pid_file: str = PID_FILE) -> str:
    """The sentence on the pair whose killer has this PID; 0 where this process can't see it."""
    if pid <= 0:
        return "a pair that can't be seen from here protects this machine already"
    unit = procfs.parse_unit(process.read_file(f"{proc}/{pid}/cgroup") or b"")
    if unit.endswith(".service") and not unit.startswith("user@"):
        how = f"it is {unit}, and `systemctl stop {unit}` ends it"
    elif (process.read_file(pid_file) or b"").strip() == str(pid).encode():
        how = f"`bustd` has started it in the background, and `kill {pid}` ends it"
    else:
        how = f"`bustd -n` has started it{f' in {unit}' if unit else ''}, and `kill {pid}` ends it"
    return f"a pair protects this machine already, with the killer {pid}: {how}"


def _make(path: str, group: str) -> None:
    """The file, for root and the killer's group alone; also where it was made before there was that group.

    A group that has no name here stays: it is the host's, which shares the file with this container. Without CAP_CHOWN
    the file is root's alone, and still a lock for every killer that begins as root.
    """
    directory = os.path.dirname(path)
    try:
        os.mkdir(directory, 0o700)
        os.chmod(directory, 0o755)  # whatever the umask is
    except FileExistsError:
        pass
    try:
        os.mkfifo(path, 0o600)
    except FileExistsError:
        pass
    descriptor = _opened(path)
    try:
        gid = _group_for(os.fstat(descriptor).st_gid, group)
        try:
            os.fchown(descriptor, 0, gid)
        except PermissionError:
            pass
        is_theirs = os.fstat(descriptor).st_gid == gid != 0
        os.fchmod(descriptor, 0o660 if is_theirs else 0o600)
    finally:
        os.close(descriptor)


def _group_for(found: int, name: str) -> int:
    """The gid that the file is to have, which has the gid `found`; 0 where there is no such group."""
    known = {group.gr_name: group.gr_gid for group in grp.getgrall()}
    return found if found and found not in known.values() else known.get(name, 0)


def _opened(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileExistsError(errno.EEXIST, "it is no FIFO", path)
    return descriptor


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # EAGAIN or EACCES, by the system
        return False
    return True


def _holder(descriptor: int) -> int | None:
    """The PID of the process that has the lock; None if none has it by now."""
    asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else int(pid)
