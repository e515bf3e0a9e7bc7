"""Real control groups with the paths of systemd's units, in a slice that belongs to this test run alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bustd_shared.kernel import cgroups


def mount_point(kind: str) -> Path | None:
    """Where the `unified` hierarchy, systemd's named one (`systemd`) or a v1 controller is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        filesystem, _, options = words[words.index("-") + 1 :]
        wanted = {"unified": "", "systemd": "name=systemd"}.get(kind, kind)
        if filesystem == ("cgroup2" if kind == "unified" else "cgroup") and (
            not wanted or wanted in options.split(",")
        ):
            return Path(words[4])
    return None


def writable_hierarchy() -> Path:
    """Where bustd finds the unified hierarchy. Skips the test if it can't make control groups there."""
    root = Path(cgroups.hierarchy())
    if root == Path() or not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("no unified hierarchy here in which a test can make control groups")
    return root


def counts_for_units(kind: str) -> bool:
    """Whether a unit made there counts: where a unified hierarchy exists too, bustd ignores systemd's named one."""
    unified = [line for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    return mount_point(kind) is not None and (kind == "unified" or unified in ([], ["0::/"]))


@contextmanager
def group_at(root: Path, path: str) -> Iterator[Path]:
    """The control group `path` below a slice of the test's own. It is removed at the end, even if it has processes."""
    top = root / f"bustd-test-{os.getpid()}.slice"
    leaf = top / path
    leaf.mkdir(parents=True)
    try:
        yield leaf
    finally:
        for pid in (leaf / "cgroup.procs").read_text().split():
            put(int(pid), root)
        while leaf != root:
            leaf.rmdir()
            leaf = leaf.parent


@contextmanager
def groups_at(root: Path, *paths: str) -> Iterator[list[Path]]:
    """Several of them, with the control groups that a test makes below them. All are removed at the end."""
    top = root / f"bustd-test-{os.getpid()}.slice"
    try:
        for path in paths:
            (top / path).mkdir(parents=True)
        yield [top / path for path in paths]
    finally:
        for group in sorted(map(Path, (folder for folder, _, _ in os.walk(top))), reverse=True):
            if (group / "cgroup.type").read_text() != "threaded\n":  # the threads leave together with their process
                for pid in (group / "cgroup.procs").read_text().split():
                    with suppress(ProcessLookupError):
                        put(int(pid), root)
        for group, _, _ in os.walk(top, topdown=False):
            Path(group).rmdir()


def put(pid: int, group: Path) -> None:
    """Move a whole process there."""
    (group / "cgroup.procs").write_text(str(pid))
