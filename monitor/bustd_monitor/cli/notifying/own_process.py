"""A process of this user, held by a pidfd: what the agent signals, and whose control group it marks.

The pidfd is opened first, and the start time compared afterwards: from then on no other process can be meant
(pidfd_open(2)).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bustd_shared.kernel import cgroup_paths, process, procfs

from .candidates import NamedProcess

GONE = "it is gone"
OF_ANOTHER = "it belongs to another user"
ITSELF = "it is the agent itself"


class CannotTouch(Exception):
    """Nothing was done to this process; why, in words."""


@contextmanager
def held(target: NamedProcess, proc: str = "/proc") -> Iterator[int]:
    """A pidfd of the very process that an event named, which belongs to this user. Raises CannotTouch."""
    if target.pid == os.getpid():
        raise CannotTouch(ITSELF)
    try:
        pidfd = os.pidfd_open(target.pid)
    except ProcessLookupError:
        raise CannotTouch(GONE) from None
    except OSError as error:
        raise CannotTouch(error.strerror or str(error)) from None
    try:
        # Only now: before the pidfd was open, the PID could still go to another process.
        stat = process.read_stat(target.pid, proc)
        if stat is None or stat.is_dead or stat.start_ticks != target.start_ticks:
            raise CannotTouch(GONE)
        if set(_uids(target.pid, proc)) != {os.getuid()}:
            raise CannotTouch(OF_ANOTHER)
        yield pidfd
    finally:
        os.close(pidfd)


def ask_to_end(target: NamedProcess, proc: str = "/proc") -> None:
    """Send SIGTERM; a stopped process is continued, so that it can obey. Raises CannotTouch."""
    with held(target, proc) as pidfd:
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGTERM)
        except ProcessLookupError:
            raise CannotTouch(GONE) from None
        except OSError as error:
            raise CannotTouch(error.strerror or str(error)) from None
        with suppress(OSError):  # it may have obeyed already
            signal.pidfd_send_signal(pidfd, signal.SIGCONT)


def may_end(target: NamedProcess, proc: str = "/proc") -> bool:
    """Whether `ask_to_end` would find the process now."""
    try:
        with held(target, proc):
            return True
    except CannotTouch:
        return False


def group_of(target: NamedProcess, proc: str = "/proc") -> str:
    """The path of its control group, "" for none that counts. Raises CannotTouch."""
    with held(target, proc):
        return cgroup_paths.parse_path(process.read_file(f"{proc}/{target.pid}/cgroup") or b"")


def _uids(pid: int, proc: str) -> tuple[int, ...]:
    """Its four uids, () if it is gone. A program that runs as root at the user's command (sudo) is not the user's."""
    status = procfs.parse_status(process.read_file(f"{proc}/{pid}/status") or b"")
    return status.uids if status is not None else ()
