"""Whether /proc shows this monitor the processes that it must rank, and its sandbox lets it read them."""

from __future__ import annotations

import os

from . import processes


def hidden_processes(proc: str = "/proc", *, own_only: bool) -> str:
    """What hides processes and how to mend it, as a sentence; "" if nothing does.

    With hidepid (proc(5)) an ordinary user can't see PID 1. `own_only`: only processes of this user may be killed, so
    the others may be hidden.
    """
    if own_only:
        return ""
    try:
        with open(f"{proc}/1/stat", "rb") as stat:
            stat.read()
    except OSError as error:
        return (
            f"{proc} hides other users' processes from uid {os.getuid()} ({error.strerror}): it has hidepid. "
            "Mount it without, or with gid=GROUP and give both units SupplementaryGroups=GROUP"
        )
    return ""


def unreadable_processes(proc: str = "/proc") -> str:
    """What keeps this monitor from reading a process as ranking does, as a sentence; "" if nothing does.

    It is tried on the monitor itself: a sandbox that forbids it must be found at start, not in the first crisis.
    """
    try:
        os.listdir(proc)
    except OSError as error:
        return f"{proc} can't be listed ({error.strerror}): no process could be ranked"
    if processes.read_process(os.getpid(), 0, proc) is None:
        return f"{proc}/{os.getpid()} can't be read, not even by the monitor itself: no process could be ranked"
    return ""
