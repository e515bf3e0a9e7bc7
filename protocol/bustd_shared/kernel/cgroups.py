"""Which control group may die whole with a process: the one rule of both daemons, and the readers that it needs.

The monitor asks this before it asks for scope `cgroup`, and the killer again, by its own reading. Unified hierarchy
only (Documentation/admin-guide/cgroup-v2.rst). Below a unit that is delegated to a user every name is that user's own
choice: it can spare his processes from dying together, and never takes in what is not in that unit.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator

from bustd_shared.daemon.record import NamedTuple

MOST_GROUPS = 256
"""A control group with more of them below it is left alone: a user may make any number, and each takes time to list."""

MOST_MEMBERS = 512
"""More processes do not die together: to look at each takes time, and the monitor takes a silent killer for lost. One
of them can still be asked for alone."""

_DEEPEST = 32
_SLICE = ".slice"
_UNITS = (".service", ".scope")
_CHUNK_BYTES = 16384
_CUT_BYTES = 4095
_PLAIN = bytes(range(0x21, 0x7F))


class Whole(NamedTuple):
    """What dies with a process. `is_indivisible`: the kernel's own OOM killer would not split it (memory.oom.group)."""

    path: str
    is_indivisible: bool


def parse_path(data: bytes) -> str:
    """The path in the unified hierarchy from /proc/PID/cgroup; "" for the root, and for what no unit of systemd's has.

    That is: `..` (outside of our namespace), blanks (` (deleted)`), what is not printable ASCII, more than 32 levels,
    a line without its end, and what is as long as the kernel cuts a longer path to (PATH_MAX, with a newline all the
    same).
    """
    # Not splitlines: a carriage return may be part of a name, a newline never is.
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
    """The path of the service or scope that a control group belongs to, if it may die whole; "" otherwise.

    Never a slice or what is directly in one, a login session or what such a session can't do without (session.slice), a
    user's own manager or any init.scope, where each manager itself lives.
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

    The highest, because the kernel takes that one (mem_cgroup_get_oom_group). None: no scope but the process.
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
    """Whether the unit of this name is a login session, a manager of units, or what a desktop lives in."""
    is_login, is_manager = name.startswith("session-") and name.endswith(".scope"), name.startswith("user@")
    return name == "init.scope" or is_login or is_manager or "session.slice" in above.split("/")


def is_within(path: str, whole: str) -> bool:
    """Whether a control group is `whole` or below it."""
    return f"{path}/".startswith(f"{whole}/")


def holds_units(groups: list[str]) -> bool:
    """Whether there is a unit or a slice below the first of `groups`: then it is no leaf."""
    return any(group.endswith((_SLICE, *_UNITS)) for group in groups[1:])


def hierarchy(root: str = "/sys/fs/cgroup") -> str:
    """Where the unified hierarchy is mounted: at `root`, or as `unified` beside those of version 1; "" if nowhere."""
    for place in (root, f"{root}/unified"):
        if os.path.exists(f"{place}/cgroup.controllers"):
            return place
    return ""


def read_whole(root: str, path: str) -> Whole | None:
    """`whole_of`, with memory.oom.group as it is now in the hierarchy at `root`. Raises OSError: see `groups_at`."""
    return whole_of(path, lambda group: _read(f"{root}{group}/memory.oom.group").strip() == b"1")


def groups_at(root: str, path: str) -> list[str]:
    """The control group and those below it; more than MOST_GROUPS, and the list is not complete.

    Raises OSError for a lack of descriptors alone: what has vanished, or what its owner has closed to us, is left out.
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

    A process can be moved at any time: whether it is still there, its own /proc/PID/cgroup tells.
    """
    pids: dict[int, None] = {}
    for group in groups_at(root, path):
        pids |= dict.fromkeys(listed_in(f"{root}{group}"))
    return list(pids)


def listed_in(folder: str) -> list[int]:
    """The PIDs in one control group alone. Raises OSError: see `groups_at`.

    Those of another PID namespace are 0 in the list, and left out.
    """
    words = _read(f"{folder}/cgroup.procs").split()
    return [int(word) for word in words if word.isdigit() and int(word)]


def names_below(folder: str) -> Iterator[str]:
    """The control groups directly below one, of which a user may make any number. Raises OSError: see `groups_at`."""
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name
    except OSError as error:
        _raise_exhaustion(error)


def _read(path: str) -> bytes:
    """A whole file, b"" if it can't be read (EOPNOTSUPP: a threaded group, whose processes its domain lists)."""
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
    """A lack of descriptors says nothing about the control group."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
