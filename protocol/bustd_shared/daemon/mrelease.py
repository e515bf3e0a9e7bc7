"""process_mrelease(2), for the monitor alone: the killer never has it at hand, and its filter does not permit it."""

from __future__ import annotations

import _ctypes

_RTLD_NOW = 2

_library = _ctypes.dlopen(None, _RTLD_NOW)  # type: ignore[arg-type]  # NULL: this program itself (dlopen(3))
try:
    _process_mrelease = _ctypes.dlsym(_library, "process_mrelease")
except OSError:
    _process_mrelease = 0


def process_mrelease(pidfd: int) -> bool:
    """Take the memory of a process that has its SIGKILL (process_mrelease(2)); whether the kernel did.

    It waits for the lock of that memory, which the process can hold for ever: call it in a thread of its own. False
    before the SIGKILL, after the exit, before Linux 5.15, and where the C library does not know it (glibc 2.36).
    """
    if not _process_mrelease:
        return False
    return bool(_ctypes.call_function(_process_mrelease, (pidfd, 0)) == 0)
