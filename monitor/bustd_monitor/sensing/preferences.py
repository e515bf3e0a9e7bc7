"""systemd's ManagedOOMPreference= of the control group that a process is in, and whether it may be trusted.

The service manager stores it as an extended attribute of the unit's control group (systemd.resource-control(5)).
"""

from __future__ import annotations

import os
from collections.abc import Iterator

NONE, AVOID, OMIT = "", "avoid", "omit"
"""AVOID counts as if a rule of `avoid` matched, OMIT as if a rule of `never` matched."""

OWN_AVOID = "avoid among the user's own"
"""A user asks for it, of a process of their own: another of that user's dies first, and none of anybody else's."""

NO_USER = -1

_TRUE = (b"1", b"yes", b"y", b"true", b"t", b"on")
"""The values that systemd-oomd takes for true (parse_boolean); the service manager itself writes 1."""

_ROOT = 0


def groups_asked(path: str) -> Iterator[str]:
    """The control group and the groups above it that are not slices, the innermost first.

    A unit does not inherit the preference of its slice, as systemd.resource-control(5) says. The preference of a unit
    holds for the groups that its processes make below it. systemd-oomd does not do that, and so can't spare a
    delegated service at all.
    """
    yield path
    while path := path.rpartition("/")[0]:
        if not path.endswith(".slice"):
            yield path


def is_set(value: bytes) -> bool:
    """Whether the value of such an attribute is true."""
    return value.strip().lower() in _TRUE


def preference(root: str, path: str, trusted_uid: int = _ROOT) -> str:
    """NONE, AVOID or OMIT for the processes in the control group `path` of the hierarchy that is mounted at `root`.

    As in systemd-oomd, `user.oomd_avoid` and `user.oomd_omit` count where the control group belongs to root or to
    `trusted_uid`, the owner of the control group whose processes are ranked (of the machine: root). Any other user can
    set them on a group of their own, and would shield a leak with them (see `asking_user`). Only root can write
    `trusted.` (xattr(7)), and only CAP_SYS_ADMIN can read it. Omit outweighs avoid.
    """
    found = NONE
    for group in groups_asked(path):
        folder = f"{root}{group}"
        if _has("oomd_omit", folder, trusted_uid):
            return OMIT
        if not found and _has("oomd_avoid", folder, trusted_uid):
            found = AVOID
    return found


def asking_user(root: str, path: str) -> int:
    """The user who asks that processes of their own in this control group are avoided; NO_USER if none does.

    Any user can set `user.oomd_avoid` on a control group of their own; see OWN_AVOID for what it is worth.
    """
    for group in groups_asked(path):
        folder = f"{root}{group}"
        if is_set(_attribute(folder, "user.oomd_avoid")):
            owner = _owner(folder)
            return NO_USER if owner is None else owner
    return NO_USER


def _has(name: str, folder: str, trusted_uid: int) -> bool:
    if is_set(_attribute(folder, f"trusted.{name}")):
        return True
    return is_set(_attribute(folder, f"user.{name}")) and _owner(folder) in (_ROOT, trusted_uid)


def _attribute(folder: str, name: str) -> bytes:
    """Its value, b"" for none: ENODATA, EOPNOTSUPP, EPERM and a control group that is gone are all ordinary."""
    try:
        return os.getxattr(folder, name)
    except OSError:
        return b""


def _owner(folder: str) -> int | None:
    try:
        return os.stat(folder).st_uid
    except OSError:
        return None
