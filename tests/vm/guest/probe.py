"""The probe: memory, PSI and the kernel's oom_kill count every 20 ms, from locked memory at real-time priority.

Usage: probe.py RESULT. On SIGTERM it writes a summary of its samples there, and a series of them, as JSON.
"""

import json
import os
import signal
import sys
import time
from array import array
from pathlib import Path

import machine

_EVERY_NS = 20_000_000
_MOST_SAMPLES = 20_000


def field(text, name):
    """The number after `name` in a file of lines `name number` or `name: number`."""
    start = text.index(name) + len(name)
    return int(text[start:].lstrip(b": ").split(None, 1)[0])


def totals_us(pressure):
    """PSI `total=` of some and full, 0 where PSI is off."""
    found = [int(line.rpartition(b"total=")[2]) for line in pressure.splitlines()]
    return found if len(found) == 2 else [0, 0]


def main(result):
    machine.lock_memory()
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    meminfo = os.open("/proc/meminfo", os.O_RDONLY)
    vmstat = os.open("/proc/vmstat", os.O_RDONLY)
    try:
        pressure = os.open("/proc/pressure/memory", os.O_RDONLY)
        os.pread(pressure, 512, 0)
    except OSError:
        pressure = -1
    total = field(os.pread(meminfo, 4096, 0), b"MemTotal")
    first_oom = last_oom = field(os.pread(vmstat, 16384, 0), b"\noom_kill ")
    first_psi = last_psi = totals_us(os.pread(pressure, 512, 0) if pressure >= 0 else b"")
    swap_total = field(os.pread(meminfo, 4096, 0), b"SwapTotal")
    times, available, free, anonymous, swap_free = (array("q", bytes(8 * _MOST_SAMPLES)) for _ in range(5))
    count = 0
    machine.ready()
    due = time.monotonic_ns()
    while not stopping and count < _MOST_SAMPLES:
        times[count] = time.monotonic_ns()
        now = os.pread(meminfo, 4096, 0)
        available[count], free[count] = field(now, b"MemAvailable"), field(now, b"MemFree")
        anonymous[count], swap_free[count] = field(now, b"AnonPages"), field(now, b"SwapFree")
        last_oom = field(os.pread(vmstat, 16384, 0), b"\noom_kill ")
        if pressure >= 0:
            last_psi = totals_us(os.pread(pressure, 512, 0))
        count += 1
        due = max(due + _EVERY_NS, time.monotonic_ns())
        time.sleep(max(due - time.monotonic_ns(), 0) / 1e9)
    gaps = [(times[n + 1] - times[n]) / 1e6 for n in range(count - 1)]

    def below(share):
        return round(sum(gap for n, gap in enumerate(gaps) if available[n] < share * total))

    summary = {
        "samples": count,
        "longest_gap_ms": round(max(gaps, default=0)),
        "lowest_available_mib": round(min(available[:count]) / 1024, 1),
        "lowest_available_percent": round(100 * min(available[:count]) / total, 1),
        "lowest_free_percent": round(100 * min(free[:count]) / total, 1),
        "ms_below_10_percent": below(0.10),
        "ms_below_2_percent": below(0.02),
        "most_swapped_mib": round((max(swap_free[:count]) - min(swap_free[:count])) / 1024, 1),
        "psi_some_ms": (last_psi[0] - first_psi[0]) // 1000,
        "psi_full_ms": (last_psi[1] - first_psi[1]) // 1000,
        "kernel_oom_kills": last_oom - first_oom,
    }
    columns = {"ns": times, "available": available, "anonymous": anonymous, "swap_free": swap_free}
    series = {name: list(column[:count]) for name, column in columns.items()} | {"swap_total": swap_total}
    Path(result).write_text(json.dumps({"summary": summary, "series": series}))


if __name__ == "__main__":
    main(sys.argv[1])
