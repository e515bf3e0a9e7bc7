"""Going into the background as the original does: a pid file and a log, under /run and /var/log as root."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import stat
import sys
from typing import NamedTuple

_STARTING_MS = 1500


class CannotDaemonize(Exception):
    """There is no place for the pid file or the log, or bustd is running already."""


class Places(NamedTuple):
    """Where a daemon leaves its traces."""

    pid_file: str
    log: str


def places() -> Places:
    """Root's are /run/bustd.pid and /var/log/bustd.log; everybody else's are under XDG_RUNTIME_DIR."""
    if os.geteuid() == 0:
        return Places("/run/bustd.pid", "/var/log/bustd.log")
    directory = os.environ.get("XDG_RUNTIME_DIR")
    if not directory:
        raise CannotDaemonize("XDG_RUNTIME_DIR is not set: use --no-daemon, or log in through the login manager")
    return Places(f"{directory}/bustd.pid", f"{directory}/bustd.log")


def daemonize() -> int:
    """Return in a new session in the background; the calling process ends here once the daemon has started.

    The pid file stays locked for as long as the daemon has the returned descriptor, which an exec keeps open: a stale
    file is recognised by its missing lock.
    """
    where = places()
    lock = _locked(where.pid_file)
    log = _opened(where.log, os.O_WRONLY | os.O_APPEND)
    told, tell = os.pipe()
    if os.fork() > 0:
        os.close(tell)
        _await_start(told, where)
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.chdir("/")
    os.umask(0o077)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    os.set_inheritable(lock, True)
    null = os.open("/dev/null", os.O_RDWR)
    for descriptor, target in ((null, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.write(tell, f"{os.getpid()}".encode())
    for descriptor in (null, log, told, tell):
        os.close(descriptor)
    return lock


def _opened(path: str, flags: int) -> int:
    """A regular file, made if there is none. Raises CannotDaemonize for everything else that may have its name.

    On some distributions a group may write to /var/log. So no link is followed, no FIFO waited for, and no file taken
    that has a second name: that may be any file of root's.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY, 0o640)
    except OSError as error:
        refusals = {errno.ELOOP: "it is a symbolic link", errno.ENXIO: "it is no regular file"}
        raise CannotDaemonize(f"{path}: {refusals.get(error.errno or 0, error.strerror)}") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise CannotDaemonize(
            f"{path}: it {'has a second name' if stat.S_ISREG(found.st_mode) else 'is no regular file'}"
        )
    return descriptor


def _locked(pid_file: str) -> int:
    descriptor = _opened(pid_file, os.O_RDWR)
    try:
        # A lock that any user can open is any user's to hold (flock(2)): then bustd could not be started.
        os.fchmod(descriptor, 0o640)
    except OSError as error:
        raise CannotDaemonize(f"{pid_file}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        pid = os.read(descriptor, 32).decode(errors="replace").strip()
        raise CannotDaemonize(f"bustd is running already, as process {pid} ({pid_file})") from None
    return descriptor


def _await_start(told: int, where: Places) -> None:
    """In the calling process: wait whether the daemon survives its start, say so, and end."""
    pid = int(os.read(told, 32) or b"0")
    try:
        pidfd = os.pidfd_open(pid)
    except OSError:
        pidfd = -1
    if pidfd >= 0:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if not poll.poll(_STARTING_MS):
            print(f"bustd runs in the background as process {pid}; its log is {where.log}", flush=True)
            os._exit(0)
    sys.stderr.write(f"bustd: it did not start; the reason is at the end of {where.log} or in the system log\n")
    sys.stderr.flush()
    os._exit(os.EX_SOFTWARE)
