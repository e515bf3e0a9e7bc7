"""Which processes must never be killed, and what a victim must hold: the killer enforces it, the monitor is advised."""

from __future__ import annotations

from ..daemon.libc import matches_glob
from ..daemon.record import NamedTuple

FIRST_USERS_UID = 1000
"""Uids from here on are people's (login.defs(5), UID_MIN); below it are root and the system's services."""

SMALL_BYTES = 64 * 2**20
"""A process that holds less is small: a shipped name protects it whatever its user is."""


class Protection(NamedTuple):
    """Globs on units, uids, and globs on comm. A unit and a uid can't be forged; a name can.

    `shipped_names` protect the system's own processes and small ones: any program can call itself `sshd`. `names` were
    written by root, and protect every process that has them.
    """

    units: tuple[str, ...] = ()
    uids: tuple[int, ...] = ()
    names: tuple[bytes, ...] = ()
    shipped_names: tuple[bytes, ...] = ()


def protected_by(protection: Protection, unit: str, uid: int, comm: bytes, *, is_trusted: bool) -> str:
    """The rule that protects such a process, in words for a log; "" if none does.

    `uid` is the effective one. `is_trusted`: see `is_trusted_with_a_name`.
    """
    in_unit = unit.encode()
    for pattern in protection.units:
        if unit and matches_glob(pattern.encode(), in_unit):
            return f"unit {pattern}"
    if uid in protection.uids:
        return f"uid {uid}"
    for name in protection.names + (protection.shipped_names if is_trusted else ()):
        if matches_glob(name, comm):
            return f"name {name.decode('utf-8', 'backslashreplace')}"
    return ""


def is_trusted_with_a_name(*, is_system: bool, held_bytes: int) -> bool:
    """Whether a shipped name protects it. `is_system`: see `is_system`; or it holds so little that it may lie."""
    return is_system or held_bytes < SMALL_BYTES


def is_system(uids: tuple[int, ...]) -> bool:
    """Whether all uids of a process (real, effective, saved, of the file system) are the system's."""
    return max(uids) < FIRST_USERS_UID


def minimum_bytes(total_bytes: int, minimum_mib: int, minimum_percent: int) -> int:
    """What a victim must hold at least, by the size of the machine: its death has to help."""
    return min(minimum_mib * 2**20, total_bytes * minimum_percent // 100)
