"""The machine that the figures belong to."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from bustd_shared.kernel import procfs


def meminfo() -> procfs.Meminfo:
    """Memory at this moment."""
    found = procfs.parse_meminfo(Path("/proc/meminfo").read_bytes())
    assert found is not None, "/proc/meminfo makes no sense"
    return found


def load() -> str:
    """How busy it is: what else runs here shows in every figure."""
    averages = " ".join(f"{average:.2f}" for average in os.getloadavg())
    try:
        running = Path("/proc/loadavg").read_text().split()[3]
    except (OSError, IndexError):
        running = "?"
    return f"{averages} (1, 5, 15 minutes), tasks running/all {running}"


def facts() -> dict[str, str]:
    """What somebody must know who compares two tables. The load is that of the start."""
    memory = meminfo()
    gib = 2**30
    available = "?" if memory.available is None else f"{memory.available / gib:.1f} GiB"
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "memory": f"{memory.total / gib:.1f} GiB ({memory.free / gib:.1f} free, {available} available), "
        f"swap {memory.swap_total / gib:.1f} GiB",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "user": f"uid {os.geteuid()}",
        "load before": load(),
    }
