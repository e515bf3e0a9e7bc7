"""The memory of daemons that run at the same time, so that what they share counts alike (proc_pid_smaps(5))."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ..support import footprint
from .table import Figure, against

_MB = 1_000_000
_LIMITS_MB = {("killer", "resident"): 13.0, ("killer", "private"): 5.5, ("monitor", "resident"): 15.0}
_KINDS = ("resident", "proportional", "private")


class Memory(NamedTuple):
    """In bytes. `proportional`: a page that n processes map counts 1/n; `private`: mapped by this one alone."""

    resident: int
    proportional: int
    private: int


def measure(pids: dict[str, int], missing: dict[str, str]) -> list[Figure]:
    """Three figures of each daemon, and the two of the pair beside nohang."""
    missing = dict(missing)
    memory: dict[str, Memory] = {}
    for name, pid in pids.items():
        try:
            memory[name] = of(pid)
        except PermissionError:
            missing[name] = "only root may read its smaps: it is not dumpable"
    figures = []
    for name in ("killer", "monitor", "nohang", "earlyoom"):
        for kind in _KINDS:
            key, what = f"memory_{name}_{kind}", f"memory, {name}, {kind}"
            if name in missing:
                figures.append(Figure(key, what, why_not=missing[name]))
                continue
            figure = Figure(key, what, "MB", getattr(memory[name], kind) / _MB)
            limit = _LIMITS_MB.get((name, kind))
            figures.append(figure if limit is None else against(figure, figure.value, limit))
    figures.append(_together(memory, missing))
    return figures


def measure_alone(who: str, pids: dict[str, int]) -> list[Figure]:
    """What `who` takes from a machine where nothing else runs Python: there its processes bear all of what is shared.

    A list, empty where the figure can't be had: `measure` says why.
    """
    try:
        total = sum(of(pid).proportional for pid in pids.values())
    except PermissionError:
        return []
    what = f"memory, {who}, proportional, no other Python"
    return [Figure(f"memory_{who}_alone", what, "MB", total / _MB)]


def measure_what_serves() -> list[Figure]:
    """The program that can kill, with everything that it loads, beside what issue 12 wants of it."""
    what, serving = "killer, what serves", footprint.measure()
    lines, modules, private_kib = sum(serving.lines.values()), len(serving.modules), serving.private_kib
    return [
        against(Figure("serving_lines", f"{what}, code", "lines", lines), lines, footprint.LINES_AIM),
        against(Figure("serving_modules", f"{what}, loaded", "modules", modules), modules, footprint.MODULES_AIM),
        against(
            Figure("serving_private", f"{what}, private above bare", "KiB", private_kib),
            private_kib,
            footprint.PRIVATE_AIM_KIB,
        ),
    ]


def _together(memory: dict[str, Memory], missing: dict[str, str]) -> Figure:
    key, what = "memory_pair_proportional", "memory, pair together, proportional"
    for name in ("killer", "monitor", "nohang"):
        if name in missing:
            return Figure(key, what, why_not=f"{name}: {missing[name]}")
    pair_mb = (memory["killer"].proportional + memory["monitor"].proportional) / _MB
    nohang_mb = memory["nohang"].proportional / _MB
    figure = Figure(key, what, "MB", pair_mb, note=f"{pair_mb / nohang_mb:.2f} of nohang's (0.75 if possible)")
    return against(figure, pair_mb, nohang_mb, f"≤ nohang: {nohang_mb:.3g} MB")


def of(pid: int) -> Memory:
    """Of one process (proc_pid_smaps_rollup). Raises PermissionError."""
    fields = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, amount = line.partition(":")
        fields[name] = int(amount.split()[0]) * 1024
    return Memory(fields["Rss"], fields["Pss"], fields["Private_Clean"] + fields["Private_Dirty"])
