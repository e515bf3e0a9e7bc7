"""Keeping a daemon's own memory resident, so that it can act while other programs wait for the disk."""

from __future__ import annotations

import resource

from . import libc

LOCKED, REFUSED = "memory is locked", "memory is not locked: the kernel refuses it"


def lock_memory() -> str:
    """Raise the limit and lock all memory of this process; returns what became of it, as a sentence for the log."""
    return raise_limit() or (LOCKED if libc.lock_all_memory() else REFUSED)


def raise_limit() -> str:
    """RLIMIT_MEMLOCK to infinity, which survives exec; "", or a sentence that says that nothing may be locked.

    Where it can't be raised nothing must be locked: with CAP_IPC_LOCK gone, the next allocation above the limit would
    fail and the next growth of the stack would be a SIGSEGV.
    """
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        limit_kib = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] // 1024
        return f"memory is not locked: its limit of {limit_kib} KiB can't be raised (ulimit -l)"
    return ""
