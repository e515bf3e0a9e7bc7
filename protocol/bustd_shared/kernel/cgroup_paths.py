"""Which control group may die whole with a process: the one rule of both daemons, by the paths alone.

The monitor applies it before it requests scope `cgroup`, and the killer applies it again to what it reads itself.
Unified hierarchy only (Documentation/admin-guide/cgroup-v2.rst). Below a unit that is delegated to a user, that user
chooses every name. Such a name can keep processes from dying together; it can never draw in a process outside the unit.
"""

from __future__ import annotations

from collections.abc import Callable

from .procfs import path_in

DEEPEST = 32
"""How many components a path may have, and so how many memory.oom.group files are looked at."""

SLICE = ".slice"
UNITS = (".service", ".scope")
_CUT_BYTES = 4095
_PLAIN = bytes(range(0x21, 0x7F))


def parse_path(data: bytes) -> str:
    """The path in the unified hierarchy from /proc/PID/cgroup; "" for the root and for a path that no unit can have.

    No unit of systemd has a path with `..` (outside our namespace), a blank (` (deleted)`), anything but printable
    ASCII, or more than 32 levels. A line without its newline is "" too, and so is a path of PATH_MAX bytes, because the
    kernel cuts longer paths to that length and still ends the line.
    """
    path = path_in(data.rpartition(b"\n")[0])
    names = path.split(b"/")[1:]
    is_plain = not path.translate(None, _PLAIN) and not {b"", b".", b".."} & set(names)
    return path.decode("ascii") if is_plain and len(path) < _CUT_BYTES and len(names) <= DEEPEST else ""


def leaf_unit(path: str) -> str:
    """The path of the service or scope that a control group belongs to, if that may die whole; "" otherwise.

    These never die whole: a slice and the processes directly in it, a login session, the units that a desktop session
    depends on (session.slice), a user's service manager, and any init.scope, where a service manager itself runs.
    """
    while path:
        above, _, name = path.rpartition("/")
        if name.endswith(SLICE):
            return ""
        if name.endswith(UNITS):
            return "" if _is_of_a_session(above, name) else path
        path = above
    return ""


def target_of(path: str, is_indivisible: Callable[[str], bool]) -> str:
    """What dies whole with a process whose control group is `path`; "": nothing but the process.

    The highest control group at or above `path` that may die whole and is indivisible (memory.oom.group is 1): the
    highest, because the kernel takes that one (mem_cgroup_get_oom_group). If there is none, the leaf unit. Outside of
    units (containers of other managers) a control group may die whole only where it is indivisible.
    """
    target, above = leaf_unit(path), path
    while above:
        if (leaf_unit(above) or not _names_a_unit(above)) and is_indivisible(above):
            target = above
        above = above.rpartition("/")[0]
    return target


def is_member(path: str, target: str) -> bool:
    """Whether a process whose control group is `path` dies with `target`: in it or below, and in no unit of its own."""
    return bool(path) and is_within(path, target) and not _names_a_unit(path[len(target) :])


def is_within(path: str, group: str) -> bool:
    """Whether a control group is `group` or below it."""
    return f"{path}/".startswith(f"{group}/")


def in_group(group: str, membership: bytes) -> bool:
    """Whether a process with this /proc/PID/cgroup is in the group or below it. Every process is in "".

    What is outside of a container's hierarchy begins with `..` (cgroup_namespaces(7)): no group can be named so.
    """
    if not group:
        return True
    inside = group.rstrip("/").encode("utf-8", "surrogateescape") + b"/"
    path = path_in(membership) + b"/"
    return len(path) > 1 and path.startswith(inside) and not path.startswith(b"/../")


def _names_a_unit(path: str) -> bool:
    """Whether one of its components is a unit or a slice."""
    return any(name.endswith((SLICE, *UNITS)) for name in path.split("/"))


def _is_of_a_session(above: str, name: str) -> bool:
    """Whether the unit of this name is a login session, a service manager, or part of a desktop session."""
    is_login, is_manager = name.startswith("session-") and name.endswith(".scope"), name.startswith("user@")
    return name == "init.scope" or is_login or is_manager or "session.slice" in above.split("/")
