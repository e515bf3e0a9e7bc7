"""Whether /proc shows this monitor the processes that it has to rank."""

from __future__ import annotations

import os


def hidden_processes(proc: str = "/proc", *, own_only: bool) -> str:
    """What hides processes and how to mend it, as a sentence; "" if nothing does. It never ranks blindly.

    With hidepid (proc(5)) PID 1 is not to be seen by an ordinary user. One who may kill his own processes only needs
    to see no others.
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
