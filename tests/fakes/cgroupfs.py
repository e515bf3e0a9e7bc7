"""A tree of files in place of a unified hierarchy, for tests that need what no real one here has (memory.oom.group)."""

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
        """Make the group and those above it. `oom_group` None: its memory controller is off, and has no such file."""
        folder = self.directory / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup.procs").write_text("".join(f"{pid}\n" for pid in pids))
        if oom_group is not None:
            (folder / "memory.oom.group").write_text(f"{int(oom_group)}\n")
        return folder

    def memory(
        self,
        path: str,
        *,
        limit: int | str = "max",
        high: int | str = "max",
        current: int = 0,
        swap_limit: int | str = "max",
        swap_current: int = 0,
        some_avg10: float = 0.0,
        some_us: int = 0,
        **stat: int,
    ) -> None:
        """Write the files of its memory controller, in bytes. `stat` are lines of memory.stat, among many others."""
        folder = self.directory / path.lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        lines = {"anon": 0, "file": 0, "anon_thp": 12345, "inactive_anon": 0, "active_anon": 0} | stat
        files = {
            "memory.max": f"{limit}\n",
            "memory.high": f"{high}\n",
            "memory.current": f"{current}\n",
            "memory.swap.max": f"{swap_limit}\n",
            "memory.swap.current": f"{swap_current}\n",
            "memory.stat": "".join(f"{name} {amount}\n" for name, amount in lines.items()),
            "memory.pressure": f"some avg10={some_avg10:.2f} avg60=0.00 avg300=0.00 total={some_us}\n"
            "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
        }
        for name, text in files.items():
            (folder / name).write_text(text)
