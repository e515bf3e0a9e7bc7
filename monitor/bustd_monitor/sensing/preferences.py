"""systemd's ManagedOOMPreference= of the control group that a process lives in: who set it, and whether that counts.

The service manager leaves it as an extended attribute on the unit's control group (systemd.resource-control(5)). Which
control group would die whole with a process, and what is in it, `cgroups` tells: both daemons ask there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

NONE, AVOID, OMIT = "", "avoid", "omit"
"""No wish; as if a rule of `avoid` matched; as if a rule of `never` did."""

_TRUE = (b"1", b"yes", b"y", b"true", b"t", b"on")
"""What systemd-oomd takes for set (parse_boolean); the manager itself writes 1."""

_ROOT = 0


def groups_asked(path: str) -> Iterator[str]:
    """The control group and those above it that are no slices, the innermost first.

    A preference of a slice is not inherited by its units, as systemd's page says. That of a unit holds for the groups
    that its processes made in it: to systemd-oomd it does not, and so a delegated service could not be spared at all.
    """
    yield path
    while path := path.rpartition("/")[0]:
        if not path.endswith(".slice"):
            yield path


def is_set(value: bytes) -> bool:
    """Whether the value of such an attribute means yes."""
    return value.strip().lower() in _TRUE


def preference(root: str, path: str, trusted_uid: int = _ROOT) -> str:
    """NONE, AVOID or OMIT for the processes in the control group `path` of the hierarchy that is mounted at `root`.

    The rule of systemd-oomd's: `user.oomd_avoid` and `user.oomd_omit` count where the control group is root's, or that
    of `trusted_uid`, the owner of the control group whose processes are ranked (of the machine's: root). An ordinary
    user can write them on what is his, and would shield his leak. `trusted.` is root's alone to write (xattr(7)), and
    readable with CAP_SYS_ADMIN only. Omit outdoes avoid.
    """
    found = NONE
    for group in groups_asked(path):
        folder = f"{root}{group}"
        if _has("oomd_omit", folder, trusted_uid):
            return OMIT
        if not found and _has("oomd_avoid", folder, trusted_uid):
            found = AVOID
    return found


def _has(name: str, folder: str, trusted_uid: int) -> bool:
    if is_set(_attribute(folder, f"trusted.{name}")):
        return True
    return is_set(_attribute(folder, f"user.{name}")) and _owner(folder) in (_ROOT, trusted_uid)


def _attribute(folder: str, name: str) -> bytes:
    """Its value, b"" for none: ENODATA, EOPNOTSUPP, EPERM and a control group that has gone are all ordinary."""
    try:
        return os.getxattr(folder, name)
    except OSError:
        return b""


def _owner(folder: str) -> int | None:
    try:
        return os.stat(folder).st_uid
    except OSError:
        return None
