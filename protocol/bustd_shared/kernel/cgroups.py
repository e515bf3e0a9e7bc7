"""Reads the unified hierarchy of control groups: where it is mounted, and which processes are in a group.

Documentation/admin-guide/cgroup-v2.rst. The rule on what may die whole is in cgroup_paths.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from ..daemon.record import NamedTuple
from . import cgroup_paths

MOST_GROUPS = 256
"""A control group with more of them below it is left alone: a user may make any number, and each takes time to list."""

MOST_MEMBERS = 1000
"""Of more processes only this many die together: the killer signals no more than 1024 in a minute."""

_CHUNK_BYTES = 16384


class Whole(NamedTuple):
    """What dies with a process. `is_indivisible`: the kernel's own OOM killer would not split it (memory.oom.group)."""

    path: str
    is_indivisible: bool


def hierarchy(root: str = "/sys/fs/cgroup") -> str:
    """Where the unified hierarchy is mounted: at `root`, or as `unified` beside those of version 1; "" if nowhere."""
    for place in (root, f"{root}/unified"):
        if os.path.exists(f"{place}/cgroup.controllers"):
            return place
    return ""


def read_whole(root: str, path: str) -> Whole | None:
    """`cgroup_paths.target_of` with memory.oom.group as it is now in the hierarchy at `root`; None: nothing but itself.

    Raises OSError: see `groups_at`.
    """
    target = cgroup_paths.target_of(path, lambda group: is_indivisible(root, group))
    return Whole(target, is_indivisible(root, target)) if target else None


def is_indivisible(root: str, path: str) -> bool:
    """Whether memory.oom.group of a control group is 1. Raises OSError: see `groups_at`."""
    return _read(f"{root}{path}/memory.oom.group").strip() == b"1"


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
