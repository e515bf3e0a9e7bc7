"""Mark a control group of the user's as to be avoided, for a while, and take every mark back.

The mark is `user.oomd_avoid`, as the service manager sets it for ManagedOOMPreference=avoid. The monitor counts it
among processes of the user who owns the group, and no others (sensing.preferences).

What is marked stands in a file before it is marked, so that the next agent takes back what an agent left that was
killed. A control group is known by its inode number, which the kernel does not give to another one.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import NamedTuple

from bustd_shared.kernel import cgroup_paths, cgroups, process, procfs

from ...ranking.shipped_avoid import AVOIDED
from .candidates import NamedProcess
from .own_process import CannotTouch, group_of

MINUTES = 5
_MARK = "user.oomd_avoid"
_MARK_MS = MINUTES * 60_000
_MOST_LEFTOVERS = 256
_MOST_FILE_BYTES = 1 << 20

SHARED = "it shares its control group with the session"
NOT_OWN = "its control group is not the user's"
MARKED = "it is spared already"


class Mark(NamedTuple):
    """A control group that is marked: its path in the hierarchy, and its inode number."""

    path: str
    inode: int


class Sparing:
    """The marks of this agent."""

    def __init__(self, hierarchy: str, state_file: str, proc: str = "/proc") -> None:
        """`hierarchy`: where control groups are mounted, "" if they are not. `state_file`: "" if there can be none.

        Without either, no process can be spared.
        """
        self._hierarchy = hierarchy
        self._state_file = state_file
        self._proc = proc
        self._marks: dict[Mark, int] = {}

    def may_spare(self, target: NamedProcess) -> bool:
        """Whether `spare` would mark its group now."""
        try:
            with self._sparable(target) as (folder, _):
                return not _is_marked(folder)
        except CannotTouch:
            return False

    def spare(self, target: NamedProcess, now_ms: int) -> None:
        """Mark its control group until five minutes from now. Raises CannotTouch."""
        with self._sparable(target) as (folder, mark):
            self._marks[mark] = now_ms + _MARK_MS
            try:
                self._keep()
                os.setxattr(folder, _MARK, b"1", os.XATTR_CREATE)
            except OSError as error:
                del self._marks[mark]  # if it is marked already, by the service manager, that is not ours to take back
                self._try_to_keep()
                raise CannotTouch(MARKED if error.errno == errno.EEXIST else error.strerror or str(error)) from None

    def next_ms(self) -> int | None:
        """When the next mark is to be taken back; None if there is none."""
        return min(self._marks.values(), default=None)

    def take_back(self, now_ms: int | None = None) -> None:
        """Take back what is due, or all."""
        due = [mark for mark, until_ms in self._marks.items() if now_ms is None or now_ms >= until_ms]
        for mark in due:
            self._unmark(mark)
            del self._marks[mark]
        if due:
            self._try_to_keep()

    def take_back_leftovers(self) -> None:
        """What an agent that was killed has left."""
        for mark in leftovers(self._state_file):
            self._unmark(mark)
        self._try_to_keep()

    @contextmanager
    def _sparable(self, target: NamedProcess) -> Iterator[tuple[int, Mark]]:
        """Its control group, opened. Raises CannotTouch."""
        if not self._hierarchy or not self._state_file:
            raise CannotTouch("no control group can be marked here")
        path = group_of(target, self._proc)
        if not cgroup_paths.leaf_unit(path) or not self._is_apart(path):
            raise CannotTouch(SHARED)
        folder, mark = self._opened(path)
        try:
            yield folder, mark
        finally:
            os.close(folder)

    def _opened(self, path: str) -> tuple[int, Mark]:
        try:
            folder = os.open(f"{self._hierarchy}{path}", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise CannotTouch(error.strerror or str(error)) from None
        found = os.fstat(folder)
        if found.st_uid != os.getuid():
            os.close(folder)
            raise CannotTouch(NOT_OWN)
        return folder, Mark(path, found.st_ino)

    def _is_apart(self, path: str) -> bool:
        """Whether neither this agent nor a program that the session depends on is in the group or below it."""
        try:
            members = cgroups.members(self._hierarchy, path)
        except OSError:
            return False
        return os.getpid() not in members and not any(self._is_of_the_session(pid) for pid in members)

    def _is_of_the_session(self, pid: int) -> bool:
        stat = procfs.parse_stat(process.read_file(f"{self._proc}/{pid}/stat") or b"")
        return stat is not None and is_of_the_session(stat.comm)

    def _unmark(self, mark: Mark) -> None:
        """Remove it from that very group; a group that is gone has no mark."""
        try:
            folder, found = self._opened(mark.path)
        except CannotTouch:
            return
        try:
            if found == mark:
                os.removexattr(folder, _MARK)
        except OSError:
            pass  # the user has taken it back
        finally:
            os.close(folder)

    def _keep(self) -> None:
        """Write down what is marked; a new file takes the place of the old one at once. Raises OSError."""
        new = f"{self._state_file}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            json.dump(list(self._marks), file)
        os.replace(new, self._state_file)

    def _try_to_keep(self) -> None:
        """A file that names too much does no harm."""
        try:
            if self._state_file:
                self._keep()
        except OSError:
            pass


def is_of_the_session(comm: bytes) -> bool:
    """Whether a program of this name is one without which the session ends (ranking.shipped_avoid)."""
    name = comm.decode("utf-8", "surrogateescape")
    return any(fnmatchcase(name, pattern.decode()) for pattern in AVOIDED.names)


def leftovers(path: str) -> list[Mark]:
    """What the file says is marked; nothing where there is no such file, or it makes no sense."""
    try:
        with open(path, encoding="utf-8") as file:
            found = json.loads(file.read(_MOST_FILE_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    return [mark for one in found[:_MOST_LEFTOVERS] if (mark := _mark_of(one))] if isinstance(found, list) else []


def _mark_of(one: object) -> Mark | None:
    if not isinstance(one, list) or len(one) != 2:
        return None
    path, inode = one
    if not isinstance(path, str) or not path.isascii() or not isinstance(inode, int):
        return None
    return Mark(path, inode) if path and path == cgroup_paths.parse_path(b"0::%b\n" % path.encode()) else None


def _is_marked(folder: int) -> bool:
    try:
        return bool(os.getxattr(folder, _MARK))
    except OSError:
        return False
