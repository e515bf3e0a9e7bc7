"""What idle daemons cost: processor time and wake-ups, all of them in the same seconds."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from . import machine
from .table import Figure, against

_SHARE_OF_EARLYOOM = 0.25
_WAKE_UPS_PER_SECOND = 0.35
_TARGET_MACHINE_BYTES = 22 * 2**30
"""The target is for 24 GB: with less memory the sleep formula gives shorter sleeps."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """What a process has used since its start: processor time twice (schedstat is exact, stat counts ticks), sleeps."""

    cpu_ns: int
    cpu_ticks: int
    wake_ups: int


def measure(pids: dict[str, int], seconds: float, missing: dict[str, str]) -> list[Figure]:
    """Let them idle. `pids` by name; `missing` has the names of those that could not be started, and why."""
    before = {name: _spent(pid) for name, pid in pids.items()}
    started = time.monotonic()
    time.sleep(seconds)
    after = {name: _spent(pid) for name, pid in pids.items()}
    elapsed = time.monotonic() - started
    used = {name: Spent(*(b - a for a, b in zip(before[name], after[name], strict=True))) for name in pids}
    used["pair"] = Spent(*(a + b for a, b in zip(used["killer"], used["monitor"], strict=True)))
    names = ("killer", "monitor", "pair", "earlyoom", "nohang")
    cpu = [_cpu(name, used, elapsed) for name in names if name in used]
    wake_ups = [_wake_ups(name, used[name], elapsed) for name in names if name in used]
    for name, why in missing.items():
        cpu.append(Figure(f"idle_cpu_{name}", f"idle CPU, {name}", why_not=why))
        wake_ups.append(Figure(f"idle_wake_ups_{name}", f"idle wake-ups, {name}", why_not=why))
    monitor = used["monitor"]
    each = Figure(
        "idle_cpu_per_wake_up",
        "idle CPU per wake-up, monitor",
        "µs",
        monitor.cpu_ns / 1000 / max(monitor.wake_ups, 1),
        note="a calm tick with cold caches, and the way to it and back",
    )
    return [*cpu, *wake_ups, each]


def _cpu(name: str, used: dict[str, Spent], elapsed: float) -> Figure:
    ms = used[name].cpu_ns / 1e6
    tick_ms = used[name].cpu_ticks * 1000 / _TICKS_PER_SECOND
    figure = Figure(
        f"idle_cpu_{name}", f"idle CPU, {name}", "ms", ms, note=f"in {elapsed:.0f} s; {tick_ms:.0f} by stat"
    )
    if name != "pair" or "earlyoom" not in used:
        return figure
    peer_ms = used["earlyoom"].cpu_ns / 1e6
    limit_ms = peer_ms * _SHARE_OF_EARLYOOM
    share = f"{ms / peer_ms:.2f} of earlyoom's" if peer_ms else ""
    return against(figure._replace(note=share), ms, limit_ms, f"≤ ¼ earlyoom: {limit_ms:.3g} ms")


def _wake_ups(name: str, spent: Spent, elapsed: float) -> Figure:
    per_second = spent.wake_ups / elapsed
    figure = Figure(
        f"idle_wake_ups_{name}",
        f"idle wake-ups, {name}",
        "per s",
        per_second,
        note=f"{spent.wake_ups} in {elapsed:.0f} s",
    )
    if name == "pair" and machine.meminfo().total >= _TARGET_MACHINE_BYTES:
        return against(figure, per_second, _WAKE_UPS_PER_SECOND)
    return figure


def _spent(pid: int) -> Spent:
    """Of all threads. proc_pid_stat(5) fields 14 and 15; /proc/PID/schedstat; voluntary switches are wake-ups."""
    spent = Spent(0, 0, 0)
    for task in Path(f"/proc/{pid}/task").iterdir():
        words = (task / "stat").read_bytes().rpartition(b")")[2].split()
        switches = [line for line in (task / "status").read_text().splitlines() if line.startswith("voluntary_ctxt")]
        spent = Spent(
            spent.cpu_ns + int((task / "schedstat").read_text().split()[0]),
            spent.cpu_ticks + int(words[11]) + int(words[12]),
            spent.wake_ups + int(switches[0].split()[1]),
        )
    return spent
