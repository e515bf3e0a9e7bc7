"""A directory that looks like the procfs of a machine with more processes than this one carries."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..fakes.procfs import FakeProc

_FIRST_PID = 10_000
_FILES = ("stat", "status", "oom_score", "oom_score_adj", "statm", "cgroup", "cmdline")
_LARGE_KIB = 192 * 1024


@contextmanager
def tree(directory: Path, count: int) -> Iterator[str]:
    """`count` small processes, all of them links to one, and one large one in their midst. It is removed at the end."""
    directory.mkdir()
    try:
        proc = FakeProc(directory)
        proc.process(1, b"small", oom_score=667, anonymous_kib=200, resident_pages=400)
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
