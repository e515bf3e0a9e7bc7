"""A tree of files in place of a unified hierarchy, where no real one has what the test needs (memory.oom.group)."""

from __future__ import annotations

from pathlib import Path


class FakeHierarchy:
    """Control groups by their path, each with the PIDs that the test puts there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "hierarchy"
        self.directory.mkdir()
        self.path = str(self.directory)
        (self.directory / "cgroup.controllers").write_text("memory\n")

    def group(self, path: str, *pids: int, oom_group: bool | None = None) -> Path:
        """Make it, with what is above it; `oom_group` None: its memory controller is off, and there is no such file."""
        folder = self.directory / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        if oom_group is not None:
            (folder / "memory.oom.group").write_text(f"{int(oom_group)}\n")
        return folder
