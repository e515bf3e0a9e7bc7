"""The killer gives up every privilege except the one that it needs, in the one order that works."""

from __future__ import annotations

import gc
import os
import resource

from bustd_shared.daemon.log import Log
from bustd_shared.daemon.memory_lock import lock_memory

from . import sysapi


class Unable(Exception):
    """The kernel or the sandbox refuses what a kill needs: fatal. The text names what was refused."""


def lock_down(log: Log) -> None:
    """Lock memory, then drop capabilities, then rule out new privileges, then deny writes. Raises Unable.

    Memory comes first, because raising its limit takes a capability; Landlock comes last, because it needs
    no_new_privs. What this machine does not have (a higher limit, Landlock) is only logged.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # one pidfd for each member of a group
    log(lock_memory())
    for step in (sysapi.keep_only_cap_kill, sysapi.gain_no_privileges):
        try:
            step()
        except OSError as error:
            raise Unable(f"{step.__name__}: {error.strerror}") from None
    excess = sysapi.capabilities_beyond_kill()
    if excess and (os.geteuid() == 0 or set(excess) != {"CapBnd"}):
        sets = ", ".join(f"{name} {mask:#x}" for name, mask in excess.items())
        log(f"capabilities beyond CAP_KILL remain: {sets}")
    try:
        sysapi.deny_writes()
        log("Landlock denies every write to the file system")
    except OSError as error:
        log(f"no Landlock on this kernel ({error.strerror}): root's files stay writable for the killer, see THREATS.md")


def shield_from_the_kernel(log: Log) -> None:
    """Set oom_score_adj -1000 and nice -20, which the monitor inherits: neither dies first or waits for a processor."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as adj:
            adj.write("-1000")
    except OSError as error:
        log(f"oom_score_adj stays as it is ({error.strerror}): the kernel may choose the killer itself")
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        pass  # an ordinary user's bustd waits its turn
