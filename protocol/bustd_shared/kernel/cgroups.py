"""Which control group may die whole with a process: the rule that both daemons share, and the readers it needs.

The monitor applies it before it requests scope `cgroup`, and the killer applies it again to what it reads itself.
Unified hierarchy only (Documentation/admin-guide/cgroup-v2.rst). Below a unit that is delegated to a user, that user
chooses every name. Such a name can keep processes from dying together; it can never draw in a process outside the unit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from bustd_shared.daemon.record import NamedTuple

MOST_GROUPS = 256
"""A control group with more groups below it is never killed whole: users can make any number, and each takes time."""

MOST_MEMBERS = 512
"""A control group with more processes is never killed whole: the killer would look at each one for so long that the
monitor takes it for lost. A single process of the group can still be requested."""

_DEEPEST = 32
_SLICE = ".slice"
_UNITS = (".service", ".scope")
_CHUNK_BYTES = 16384
_CUT_BYTES = 4095
_PLAIN = bytes(range(0x21, 0x7F))


class Whole(NamedTuple):
    """The control group that dies with a process. `is_indivisible`: the kernel's OOM killer, too, would kill all of it.

    The kernel does so where memory.oom.group is 1.
    """

    path: str
    is_indivisible: bool


def parse_path(data: bytes) -> str:
    """The path in the unified hierarchy from /proc/PID/cgroup; "" for the root and for a path that no unit can have.

    No unit of systemd has a path with `..` (outside our namespace), a blank (` (deleted)`), anything but printable
    ASCII, or more than 32 levels. A line without its newline is "" too, and so is a path of PATH_MAX bytes, because the
    kernel cuts longer paths to that length and still ends the line.
    """
    # Not splitlines: a name may contain a carriage return, but never a newline.
    for line in data.split(b"\n")[:-1]:
        if line.startswith(b"0::/"):
            path = line[3:]
            names = path.split(b"/")[1:]
            is_plain = (
                len(path) < _CUT_BYTES and not path.translate(None, _PLAIN) and not {b"", b".", b".."} & set(names)
            )
            return path.decode("ascii") if is_plain and len(names) <= _DEEPEST else ""
    return ""


def leaf_unit(path: str) -> str:
    """The path of the service or scope that a control group belongs to, if that may die whole; "" otherwise.

    These never die whole: a slice and the processes directly in it, a login session, the units that a desktop session
    depends on (session.slice), a user's service manager, and any init.scope, where a service manager itself runs.
    """
    while path:
        above, _, name = path.rpartition("/")
        if name.endswith(_SLICE):
            return ""
        if name.endswith(_UNITS):
            return "" if _is_of_a_session(above, name) else path
        path = above
    return ""


def whole_of(path: str, is_indivisible: Callable[[str], bool]) -> Whole | None:
    """The highest control group at or above `path` that may die whole and is indivisible; if none is, its leaf unit.

    The highest, because the kernel takes that one (mem_cgroup_get_oom_group). None: only the process itself may die.
    """
    unit = leaf_unit(path)
    if not unit:
        return None
    indivisible = ""
    while path:
        if leaf_unit(path) and is_indivisible(path):
            indivisible = path
        path = path.rpartition("/")[0]
    return Whole(indivisible or unit, bool(indivisible))


def _is_of_a_session(above: str, name: str) -> bool:
    """Whether the unit of this name is a login session, a service manager, or part of a desktop session."""
    is_login, is_manager = name.startswith("session-") and name.endswith(".scope"), name.startswith("user@")
    return name == "init.scope" or is_login or is_manager or "session.slice" in above.split("/")


def is_within(path: str, whole: str) -> bool:
    """Whether the control group `path` is `whole` or below it."""
    return f"{path}/".startswith(f"{whole}/")


def holds_units(groups: list[str]) -> bool:
    """Whether a unit or a slice is below the first of `groups`, which then is not a leaf unit."""
    return any(group.endswith((_SLICE, *_UNITS)) for group in groups[1:])


def hierarchy(root: str = "/sys/fs/cgroup") -> str:
    """Where the unified hierarchy is mounted: at `root`, or at `root`/unified beside version 1; "" if it is not."""
    for place in (root, f"{root}/unified"):
        if os.path.exists(f"{place}/cgroup.controllers"):
            return place
    return ""


def read_whole(root: str, path: str) -> Whole | None:
    """`whole_of` with memory.oom.group as the hierarchy at `root` shows it now. Raises OSError: see `groups_at`."""
    return whole_of(path, lambda group: _read(f"{root}{group}/memory.oom.group").strip() == b"1")


def groups_at(root: str, path: str) -> list[str]:
    """The control group and the groups below it. With more than MOST_GROUPS entries the list is incomplete.

    Raises OSError only for a lack of descriptors. A group that is gone, or that its owner made unreadable, is left out.
    """
    found = [path]
    for group in found:
        for name in names_below(f"{root}{group}"):
            found.append(f"{group}/{name}")
            if len(found) > MOST_GROUPS:
                return found
    return found


def members(root: str, path: str) -> list[int]:
    """The PIDs in the control group and below it, each once. Raises OSError: see `groups_at`.

    A process can be moved at any time; its own /proc/PID/cgroup tells whether it is still there.
    """
    pids: dict[int, None] = {}
    for group in groups_at(root, path):
        pids |= dict.fromkeys(listed_in(f"{root}{group}"))
    return list(pids)


def listed_in(folder: str) -> list[int]:
    """The PIDs in one control group, without the groups below it. Raises OSError: see `groups_at`.

    The kernel lists a process of another PID namespace as 0; it is left out.
    """
    words = _read(f"{folder}/cgroup.procs").split()
    return [int(word) for word in words if word.isdigit() and int(word)]


def names_below(folder: str) -> Iterator[str]:
    """The names of the control groups directly below a folder. Raises OSError: see `groups_at`.

    A user can make any number of them, so they come one at a time.
    """
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name
    except OSError as error:
        _raise_exhaustion(error)


def _read(path: str) -> bytes:
    """The file to its end, b"" if it can't be read (EOPNOTSUPP: a threaded group, whose processes its domain lists).

    cgroup.procs comes a page at a time, so only an empty read is its end.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        _raise_exhaustion(error)
        return b""
    data = b""
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            data += chunk
    except OSError:
        pass
    finally:
        os.close(descriptor)
    return data


def _raise_exhaustion(error: OSError) -> None:
    """Raise the error if it is a lack of descriptors, which says nothing about the control group."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
