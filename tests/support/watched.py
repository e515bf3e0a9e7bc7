"""A control group with limits that a test invents, for real daemons.

Its members are real: the kernel shows them in /proc/PID/cgroup, in a unified hierarchy with or without a memory
controller. Its memory is faked in a tree of files, mounted over /sys/fs/cgroup in a mount namespace of the daemon.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.fakes.cgroupfs import FakeHierarchy

from .cgroups import groups_at, put, writable_hierarchy

GIB = 2**30
_COVER = 'mount --make-rprivate / && mount --bind "$0" /sys/fs/cgroup && exec "$@"'


class WatchedGroup(NamedTuple):
    """`path` is its path in the hierarchy, `folder` its real directory, `beside` another group outside it."""

    path: str
    folder: Path
    beside: Path
    tree: FakeHierarchy

    @property
    def through(self) -> list[str]:
        """A command that mounts the tree and then executes the command after it."""
        return ["unshare", "--mount", "sh", "-c", _COVER, self.tree.path]

    def holds(self, pid: int) -> None:
        """Move a process into it."""
        put(pid, self.folder)
        self.tree.group(self.path, *map(int, (self.folder / "cgroup.procs").read_text().split()))

    def fills(self, percent: int) -> None:
        """Let this much of its 1 GiB be anonymous memory."""
        used = GIB * percent // 100
        self.tree.memory(self.path, limit=GIB, current=used, anon=used)


@contextmanager
def watched_group(place: Path) -> Iterator[WatchedGroup]:
    """An empty group below a slice of the test's own, with its fake files in `place`. May skip the test."""
    root = writable_hierarchy()
    with groups_at(root, "job.service", "other.service") as (folder, beside):
        tree = FakeHierarchy(place)
        made = WatchedGroup(f"/{folder.relative_to(root)}", folder, beside, tree)
        made.fills(50)
        tree.group(made.path)
        yield made
