"""A directory that looks like the procfs of a machine with more processes than this one carries, and its groups."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..fakes.cgroupfs import FakeHierarchy
from ..fakes.procfs import FakeProc

_FIRST_PID = 10_000
_FILES = ("stat", "status", "oom_score", "oom_score_adj", "statm", "cgroup", "cmdline")
_SMALL_KIB, _LARGE_KIB = 200, 192 * 1024


@contextmanager
def tree(directory: Path, count: int) -> Iterator[str]:
    """`count` small processes, all of them links to one, and one large one in their midst. It is removed at the end."""
    directory.mkdir()
    try:
        proc = FakeProc(directory)
        proc.process(1, b"small", oom_score=667, anonymous_kib=_SMALL_KIB, resident_pages=400)
        status = proc.directory / "1" / "status"  # without Tgid, which would be that of another process in each link
        status.write_bytes(b"".join(line for line in status.read_bytes().splitlines(True) if line[:5] != b"Tgid:"))
        model = [(proc.directory / "1" / name, name) for name in _FILES]
        for pid in range(_FIRST_PID, _FIRST_PID + count):
            home = proc.directory / str(pid)
            home.mkdir()
            for path, name in model:
                os.link(path, home / name)
        large = _FIRST_PID + count // 2
        shutil.rmtree(proc.directory / str(large))
        proc.process(large, b"large", oom_score=668, anonymous_kib=_LARGE_KIB, resident_pages=_LARGE_KIB // 4)
        proc.last_pid(_FIRST_PID + count - 1)
        yield proc.path
    finally:
        shutil.rmtree(directory)


@contextmanager
def tree_in_groups(directory: Path, count: int, groups: int) -> Iterator[tuple[str, str]]:
    """The same processes, and a hierarchy in which each of so many services has a part of them: where both are."""
    with tree(directory, count) as proc:
        hierarchy, each = FakeHierarchy(directory), count // groups
        every_pid = range(_FIRST_PID, _FIRST_PID + count)
        for number in range(groups):
            path, pids = f"/system.slice/small-{number}.service", every_pid[number * each : (number + 1) * each]
            hierarchy.group(path, *pids)
            _charge(hierarchy, path, pids, count)
        _charge(hierarchy, "/system.slice", every_pid, count)
        anonymous_kib = _held_bytes(every_pid, count) // 1024
        Path(proc, "meminfo").write_text(f"AnonPages: {anonymous_kib} kB\nSwapTotal: 1024 kB\nSwapFree: 512 kB\n")
        yield proc, hierarchy.path


def _charge(hierarchy: FakeHierarchy, path: str, pids: range, count: int) -> None:
    held = _held_bytes(pids, count)
    hierarchy.memory(path, current=held + held // 4, swap_current=4096, anon=held)


def _held_bytes(pids: range, count: int) -> int:
    large = (_FIRST_PID + count // 2) in pids
    return ((len(pids) - large) * _SMALL_KIB + large * _LARGE_KIB) * 1024
