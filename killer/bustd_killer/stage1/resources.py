"""What the killer takes from the kernel while it is root: limits, a high priority, and a child to rehearse on."""

from __future__ import annotations

import os
import resource
import signal

import prctl

from bustd_shared.daemon import memory_lock
from bustd_shared.daemon.log import Log
from bustd_shared.kernel import priority


def shield_from_the_kernel(log: Log) -> None:
    """Set oom_score_adj -1000, which the monitor inherits, and a high priority: the killer neither dies nor waits."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as adj:
            adj.write("-1000")
    except OSError as error:
        why = f"{error.strerror}: to lower it takes CAP_SYS_RESOURCE"
        log(f"oom_score_adj stays as it is ({why}), and the kernel may choose the killer itself")
    priority.raise_priority()


def raise_limits() -> str:
    """As many descriptors as there may be, one for each member of a batch; and any amount of locked memory.

    Returns why stage 2 may lock none, "" if it may.
    """
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return memory_lock.raise_limit()


def detach_from_input() -> None:
    """/dev/null as standard input and output: they may be root's terminal, and no daemon uses them. Raises OSError."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for descriptor in (0, 1):
        os.dup2(null, descriptor)
    if null > 2:
        os.close(null)


def start_subject() -> int:
    """Fork the process to rehearse on, as the user that this one still is. Returns its PID. Raises OSError."""
    ready, said_ready = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            prctl.set_pdeathsig(signal.SIGKILL)
            with open("/proc/self/oom_score_adj", "w", encoding="ascii") as adj:
                adj.write("0")
        finally:
            os.close(said_ready)
            signal.pause()
            os._exit(0)
    os.close(said_ready)
    os.read(ready, 1)  # end of file: its set-up is done
    os.close(ready)
    return pid
