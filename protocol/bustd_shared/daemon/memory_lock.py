"""Keeps a daemon's own memory resident, so that it can act while other processes wait for the disk."""

from __future__ import annotations

import ctypes
import errno
import os
import resource

_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4

_libc = ctypes.CDLL(None, use_errno=True)


def lock_memory() -> str:
    """Lock all present and future memory of this process. Returns the result as a sentence for the log.

    mlock(2): pages are locked when they are touched (MCL_ONFAULT); otherwise whole mappings would become resident.
    Where the limit can't be raised to infinity, nothing is locked: without CAP_IPC_LOCK the next allocation above the
    limit would fail, and the next growth of the stack would be a SIGSEGV. Locks do not survive fork or exec.
    """
    try:
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except (OSError, ValueError):
        limit_kib = resource.getrlimit(resource.RLIMIT_MEMLOCK)[0] // 1024
        return f"memory is not locked: its limit of {limit_kib} KiB can't be raised (ulimit -l)"
    for flags in (_MCL_CURRENT | _MCL_FUTURE | _MCL_ONFAULT, _MCL_CURRENT | _MCL_FUTURE):
        if _libc.mlockall(flags) == 0:
            return "memory is locked"
        if ctypes.get_errno() != errno.EINVAL:
            break
    return f"memory is not locked: {os.strerror(ctypes.get_errno())}"
