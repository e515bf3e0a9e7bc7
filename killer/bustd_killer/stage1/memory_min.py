"""What memory.min holds back, for check 9: page cache that MemAvailable counts, and that no program can have.

Where root holds back half of RAM like this, a machine that is out of memory still has half of it "available". Only the
groups directly below the root are read: none below them has more protection than these, and only root can set theirs
(Documentation/admin-guide/cgroup-v2.rst). They are read at the start, so a change takes a restart of the killer.
"""

from __future__ import annotations

from bustd_shared.kernel import cgroups, procfs
from bustd_shared.kernel.process import read_file

_OF_BUSTD = "bustd.slice"
_MOST_GROUPS = 64
_MOST_PERCENT = 95
"""With more available no machine is short of memory."""


def agreed_percent(percent: int, hierarchy: str, proc: str = "/proc") -> int:
    """Check 9's limit: `percent`, and as much more as memory.min may hold back of RAM."""
    meminfo = procfs.parse_meminfo(read_file(f"{proc}/meminfo") or b"")
    if not hierarchy or meminfo is None:
        return percent
    held_percent = min(_held_back_bytes(hierarchy, meminfo.total), meminfo.total) * 100 // meminfo.total
    return max(min(percent + held_percent, _MOST_PERCENT), percent)


def _held_back_bytes(hierarchy: str, ram: int) -> int:
    """The sum of memory.min of the top-level groups, without bustd's own, whose memory is locked anyway."""
    names = zip(cgroups.names_below(hierarchy), range(_MOST_GROUPS), strict=False)
    contents = [read_file(f"{hierarchy}/{name}/memory.min") or b"" for name, _ in names if name != _OF_BUSTD]
    return sum(ram if least == b"max\n" else int(least) if least.strip().isdigit() else 0 for least in contents)
