"""What idle daemons cost: processor time and wake-ups, all of them in the same seconds, several times over.

They sleep as in life, so their caches are as cold at each wake-up. The machine does whatever else it does: that is why
each run is judged by the share of earlyoom's time in the same seconds, and the median run counts.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NamedTuple

from . import machine
from .table import Figure, against, of_samples, percentile

NAMES = ("killer", "monitor", "pair", "earlyoom", "nohang")
CACHES = {"empty": "page cache empty", "full": "page cache full"}
"""An empty one is ruled on by what is free, a full one only by what is available."""
_SHARE_OF_EARLYOOM = 0.5
_WAKE_UPS_PER_SECOND = 0.35
_TARGET_MACHINE_BYTES = 22 * 2**30
"""The target is for 24 GB: with less memory the sleep formula gives shorter sleeps."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Spent(NamedTuple):
    """What a process has used since its start: processor time twice (schedstat is exact, stat counts ticks), sleeps."""

    cpu_ns: int
    cpu_ticks: int
    wake_ups: int


class Run(NamedTuple):
    """So many seconds, in which all daemons idled, and what each of them used."""

    seconds: float
    used: dict[str, Spent]


def run(pids: dict[str, int], seconds: float) -> Run:
    """Let the pair and its peers idle. `pids` by name."""
    elapsed, used = spent(pids, seconds)
    used["pair"] = Spent(*(a + b for a, b in zip(used["killer"], used["monitor"], strict=True)))
    return Run(elapsed, used)


def spent(pids: dict[str, int], seconds: float) -> tuple[float, dict[str, Spent]]:
    """How many seconds it was, and what each of these processes has used in them."""
    before = {name: _spent(pid) for name, pid in pids.items()}
    started = time.monotonic()
    time.sleep(seconds)
    after = {name: _spent(pid) for name, pid in pids.items()}
    elapsed = time.monotonic() - started
    return elapsed, {name: Spent(*(b - a for a, b in zip(before[name], after[name], strict=True))) for name in pids}


def figures(cache: str, runs: list[Run], missing: dict[str, str], note: str = "") -> list[Figure]:
    """Of all runs with the page cache in the state `cache`, a key of CACHES.

    `missing` has the names of daemons that could not be started, and why; `note` what else is to be said of these runs.
    """
    found = [_share(cache, runs, note)] if "earlyoom" not in missing else []
    for name in NAMES:
        if name in missing:
            found.append(_figure("cpu", cache, name, [])._replace(why_not=missing[name]))
            continue
        used = [(one.seconds, one.used[name]) for one in runs]
        ticks_ms = sum(spent.cpu_ticks for _, spent in used) * 1000 / _TICKS_PER_SECOND
        by_stat = f"{ticks_ms:.0f} ms by stat in {sum(seconds for seconds, _ in used):.0f} s"
        cpu = _figure("cpu", cache, name, [spent.cpu_ns / 1e6 * 60 / seconds for seconds, spent in used])
        each = _figure("each", cache, name, [spent.cpu_ns / 1e3 / max(spent.wake_ups, 1) for _, spent in used])
        wake_ups = _figure("wake_ups", cache, name, [spent.wake_ups / seconds for seconds, spent in used])
        found += [cpu._replace(note=by_stat), each, _judged(name, wake_ups)]
    return found


def unmeasured(cache: str, why: str) -> list[Figure]:
    """The line in place of all figures for a state of the page cache."""
    return [Figure(f"idle_share_{cache}", f"idle, {CACHES[cache]}, pair by earlyoom", why_not=why)]


def _figure(kind: str, cache: str, name: str, samples: list[float]) -> Figure:
    """One kind of figure of one daemon; without samples only what it is."""
    what, unit = {
        "cpu": ("CPU", "ms/min"),
        "each": ("CPU per wake-up", "µs"),
        "wake_ups": ("wake-ups", "per s"),
    }[kind]
    key = f"idle_{kind}_{cache}_{name}"
    words = f"idle, {CACHES[cache]}, {name}, {what}"
    return of_samples(key, words, unit, samples) if samples else Figure(key, words)


def _share(cache: str, runs: list[Run], note: str) -> Figure:
    """The pair's processor time by earlyoom's in the same seconds."""
    shares = [one.used["pair"].cpu_ns / max(one.used["earlyoom"].cpu_ns, 1) for one in runs]
    each = ", ".join(f"{share:.2f}" for share in shares)
    figure = of_samples(
        f"idle_share_{cache}",
        f"idle, {CACHES[cache]}, pair by earlyoom",
        "times",
        shares,
        note="; ".join(part for part in (f"runs: {each}", note) if part),
    )
    return against(figure, percentile(shares, 50), _SHARE_OF_EARLYOOM)


def _judged(name: str, figure: Figure) -> Figure:
    if name == "pair" and machine.meminfo().total >= _TARGET_MACHINE_BYTES:
        return against(figure, figure.value, _WAKE_UPS_PER_SECOND)
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
