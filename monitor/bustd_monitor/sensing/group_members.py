"""The processes of a control group and of all below it, a group at a time, from cgroup.procs."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

MOST_GROUPS = 1024
"""A user may make any number of control groups in his own: beyond so many it is quicker to look at every process."""
_CHUNK_BYTES = 65_536


class TooManyGroups(Exception):
    """There are more than MOST_GROUPS; those before were listed."""


def members(root: str, group: str) -> Iterator[int]:
    """PIDs, as they are listed when their group's turn comes. Who moves meanwhile may come twice, or not at all.

    Those of another PID namespace are 0 in the list, and left out. Raises TooManyGroups, and OSError for a lack of
    descriptors.
    """
    pending, count = [f"{root}{group.rstrip('/')}"], 0
    while pending:
        folder = pending.pop()
        count += 1
        if count > MOST_GROUPS:
            raise TooManyGroups
        for word in _read(f"{folder}/cgroup.procs").split():
            if word.isdigit() and int(word):
                yield int(word)
        pending += _below(folder)


def _below(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError as error:
        _raise_exhaustion(error)
        return []


def _read(path: str) -> bytes:
    data = b""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        _raise_exhaustion(error)
        return data
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            data += chunk
    except OSError:  # EOPNOTSUPP: a threaded group, whose processes its domain lists
        pass
    finally:
        os.close(descriptor)
    return data


def _raise_exhaustion(error: OSError) -> None:
    """Whatever else it is: the control group has gone."""
    if error.errno in (errno.EMFILE, errno.ENFILE):
        raise error
