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
"""At most this many groups below a control group are listed: users can make any number, and each takes time."""

MOST_MEMBERS = 1000
"""Of more processes only this many die together: the killer signals no more than 1024 in a minute."""

_CHUNK_BYTES = 16384


class Whole(NamedTuple):
    """The control group that dies with a process. `is_indivisible`: the kernel's OOM killer, too, would kill all of it.

    The kernel does so where memory.oom.group is 1.
    """

    path: str
    is_indivisible: bool


def hierarchy(root: str = "/sys/fs/cgroup") -> str:
    """Where the unified hierarchy is mounted: at `root`, or at `root`/unified beside version 1; "" if it is not."""
    for place in (root, f"{root}/unified"):
        if os.path.exists(f"{place}/cgroup.controllers"):
            return place
    return ""


def read_whole(root: str, path: str) -> Whole | None:
    """`cgroup_paths.target_of` with memory.oom.group as the hierarchy at `root` shows it now.

    None: only the process itself may die. Raises OSError: see `groups_at`.
    """
    target = cgroup_paths.target_of(path, lambda group: is_indivisible(root, group))
    return Whole(target, is_indivisible(root, target)) if target else None


def is_indivisible(root: str, path: str) -> bool:
    """Whether memory.oom.group of a control group is 1. Raises OSError: see `groups_at`."""
    return _read(f"{root}{path}/memory.oom.group").strip() == b"1"


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
