"""Keeping a daemon's own memory resident, so that it can act while other programs wait for the disk."""

from __future__ import annotations

import resource

from . import libc

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4


def lock_memory() -> str:
    """Lock all present and future memory of this process; returns what became of it, as a sentence for the log.

    mlock(2): pages are locked as they are touched (MCL_ONFAULT); without it, the whole mapping would become resident.
    Where the limit can't be raised to infinity nothing is locked: with CAP_IPC_LOCK gone, the next allocation above
    the limit would fail and the next growth of the stack would be a SIGSEGV. Locks do not survive fork or exec.
    """
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        limit_kib = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] // 1024
        return f"memory is not locked: its limit of {limit_kib} KiB can't be raised (ulimit -l)"
    for flags in (_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT, _MCL_CURRENT | _MCL_FUTURE):  # ONFAULT: since Linux 4.4
        if libc.mlockall(flags):
            return "memory is locked"
    return "memory is not locked: the kernel refuses it"
