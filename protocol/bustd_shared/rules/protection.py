"""Which processes must never be killed, by unit, uid or name. The killer enforces it; to the monitor it is advice."""

from __future__ import annotations

import ctypes

from bustd_shared.daemon.record import NamedTuple

_FNM_NOESCAPE = 2

_fnmatch = ctypes.CDLL(None).fnmatch
_fnmatch.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)


class Protection(NamedTuple):
    """Globs on units, uids, and globs on comm. A process can't forge its unit or its uid; it can forge its name."""

    units: tuple[str, ...] = ()
    uids: tuple[int, ...] = ()
    names: tuple[bytes, ...] = ()


def matches_glob(pattern: bytes, text: bytes) -> bool:
    """Whether all of `text` matches, by fnmatch(3) without escapes: the `re` module would cost each daemon memory."""
    result: int = _fnmatch(pattern, text, _FNM_NOESCAPE)
    return result == 0


def protected_by(protection: Protection, unit: str, uid: int, comm: bytes) -> str:
    """The rule that protects such a process, in words for the log; "" if none does."""
    for pattern in protection.units:
        if unit and matches_glob(pattern.encode(), unit.encode()):
            return f"unit {pattern}"
    if uid in protection.uids:
        return f"uid {uid}"
    for name in protection.names:
        if matches_glob(name, comm):
            return f"name {name.decode('utf-8', 'backslashreplace')}"
    return ""
