"""The functions of the C library that a daemon calls directly.

By `_ctypes`, the C module below the standard `ctypes`, which would cost each daemon 0.5 MB.
"""

from __future__ import annotations

import _ctypes

_RTLD_NOW = 2
_FNM_NOESCAPE = 2
_ALL_TO_STARS = bytes.maketrans(b"?[", b"**")
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_MCL_CURRENT, _MCL_FUTURE, _MCL_ONFAULT = 1, 2, 4

_library = _ctypes.dlopen(None, _RTLD_NOW)  # type: ignore[arg-type]  # NULL: this program itself (dlopen(3))
_fnmatch, _mlockall, _prctl = (_ctypes.dlsym(_library, name) for name in ("fnmatch", "mlockall", "prctl"))


_plain_heads: dict[bytes, bytes] = {}
"""The plain text that each pattern begins with: of the configuration's patterns, which are few."""


def matches_glob(pattern: bytes, text: bytes) -> bool:
    """Whether all of `text` matches, by fnmatch(3) without escapes: the `re` module would cost each daemon memory."""
    # Most patterns are plain names, and most others begin with plain text: each call costs 5 us.
    head = _plain_heads.get(pattern)
    if head is None:
        head = _plain_heads[pattern] = pattern.translate(_ALL_TO_STARS).partition(b"*")[0]
    if not text.startswith(head) or len(head) == len(pattern):
        return text == pattern
    return bool(_ctypes.call_function(_fnmatch, (pattern, text, _FNM_NOESCAPE)) == 0)


def mlockall(flags: int) -> bool:
    """Lock memory by mlockall(2); whether the kernel did it."""
    return bool(_ctypes.call_function(_mlockall, (flags,)) == 0)


def lock_all_memory() -> bool:
    """Lock all present and future memory of this process; whether the kernel did.

    mlock(2): pages are locked when they are touched (MCL_ONFAULT); otherwise whole mappings would become resident.
    RLIMIT_MEMLOCK must be infinite, see memory_lock. Locks do not survive fork or exec.
    """
    always = _MCL_CURRENT | _MCL_FUTURE
    return mlockall(always | _MCL_ONFAULT) or mlockall(always)  # ONFAULT: since Linux 4.4


def name_process(name: bytes) -> bool:
    """PR_SET_NAME of prctl(2): what /proc/PID/comm shows, up to 15 bytes. An execve takes the program's name again."""
    return bool(_ctypes.call_function(_prctl, (_PR_SET_NAME, name, 0, 0, 0)) == 0)


def make_undumpable() -> bool:
    """PR_SET_DUMPABLE 0 of prctl(2): no process of the same user can trace this one or read its memory."""
    return bool(_ctypes.call_function(_prctl, (_PR_SET_DUMPABLE, 0, 0, 0, 0)) == 0)
