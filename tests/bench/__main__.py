"""Measure, print the table, write it as JSON. Exit code 0, or 1 when something could not be measured."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from ..support import install
from . import (
    crises,
    daemons,
    decision,
    first_look,
    healthy,
    idle,
    kill,
    machine,
    memory,
    page_cache,
    peers,
    readers,
    table,
    tick,
    warnings,
)
from .peers import Peer
from .table import Figure


class Settings(NamedTuple):
    """How much is measured."""

    ticks: int = 20_000
    cold_ticks: int = 40
    victims: int = 1000
    crowds: tuple[int, ...] = (100, 1000, 10_000, 50_000)
    decisions: int = 11
    idle_seconds: float = 120.0
    idle_runs: int = 3
    settle_seconds: float = 3.0
    crises: int = 10_000
    hours: int = 1000
    jobs: int = 1
    may_download: bool = True
    may_fill: bool = True


SECTIONS = ("size", "tick", "kill", "decision", "idle")
_IF_ASKED = ("readers", "crises", "healthy", "warnings")
"""What a change of events asks for; and hours of simulation, which no figure of this machine's goes into."""
_QUICK = Settings(500, 3, 20, (100,), 3, 2.0, 1, 0.5, 4, 2, may_download=False, may_fill=False)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--json", type=Path, default=Path("bench.json"), metavar="FILE", help="default bench.json")
    crowds = " ".join(map(str, Settings().crowds))
    parser.add_argument(
        "--crowds", type=int, nargs="+", metavar="N", help=f"default {crowds}; 10,000 processes take 1.7 GB"
    )
    parser.add_argument("--idle-seconds", type=float, metavar="N", help="of each run: default 120")
    parser.add_argument("--idle-runs", type=int, metavar="N", help="for each state of the page cache: default 3")
    parser.add_argument("--quick", action="store_true", help="a little of everything, to see that it works")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*SECTIONS, *_IF_ASKED),
        help="leave the rest out; memory belongs to idle; repeatable",
    )
    parser.add_argument("--crises", type=int, metavar="N", help="with --only crises, warnings: default 10,000")
    parser.add_argument("--hours", type=int, metavar="N", help="with --only healthy, warnings: default 1,000")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes that simulate: default 1")
    options = parser.parse_args()
    settings = _QUICK if options.quick else Settings()
    asked = {
        "crowds": tuple(options.crowds) if options.crowds else None,
        "idle_seconds": options.idle_seconds,
        "idle_runs": options.idle_runs,
        "crises": options.crises,
        "hours": options.hours,
        "jobs": options.jobs,
    }
    settings = settings._replace(**{name: value for name, value in asked.items() if value is not None})
    # So that a SIGTERM unwinds the stack too, and ends whatever was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    facts = machine.facts()
    try:
        with tempfile.TemporaryDirectory(prefix="bustd-bench-") as directory:
            figures = _figures(settings, options.only or list(SECTIONS), Path(directory))
    finally:
        install.remove()
    facts["load after"] = machine.load()
    print(table.text(facts, figures))
    table.write_json(options.json, facts, settings._asdict(), figures)
    left_out = sum(bool(figure.why_not) for figure in figures)
    missed = sum(figure.is_met is False for figure in figures)
    print(f"\n{len(figures)} figures in {options.json}; targets missed: {missed}; not measured: {left_out}")
    return 1 if left_out else 0


def _figures(settings: Settings, only: list[str], directory: Path) -> list[Figure]:
    directory.chmod(0o755)
    sections: dict[str, tuple[str, Callable[[], list[Figure]]]] = {
        "size": ("what serves", memory.measure_what_serves),
        "tick": ("ticks", lambda: tick.measure(settings.ticks, settings.cold_ticks)),
        "kill": (f"{settings.victims} kills", lambda: kill.measure(settings.victims, directory)),
        "decision": ("decisions", lambda: _decision(settings, directory)),
        "idle": (
            f"2 x {settings.idle_runs} x {settings.idle_seconds:.0f} idle seconds, memory",
            lambda: _idle(settings, directory),
        ),
        "readers": (
            f"readers of events, {settings.idle_seconds:.0f} idle seconds",
            lambda: readers.measure(settings.decisions, settings.idle_seconds, settings.settle_seconds, directory),
        ),
        "crises": (f"{settings.crises} random crises", lambda: crises.measure(settings.crises, settings.jobs)),
        "warnings": (
            f"{settings.crises} slow crises, {settings.hours} hours at a desktop",
            lambda: warnings.measure(settings.crises, settings.hours, settings.jobs),
        ),
        "healthy": (f"{settings.hours} healthy hours", lambda: healthy.measure(settings.hours, settings.jobs)),
    }
    return [figure for key in only for figure in _section(key, *sections[key])]


def _section(key: str, what: str, measure: Callable[[], list[Figure]]) -> list[Figure]:
    """One section's figures; where it failed, one that says why: the others are worth having all the same."""
    print(f"measuring: {what}", file=sys.stderr, flush=True)
    try:
        return measure()
    except Exception as error:
        return [Figure(key, what, why_not=" ".join(f"{type(error).__name__}: {error}".split()))]


def _decision(settings: Settings, directory: Path) -> list[Figure]:
    """With earlyoom's search beside it where there is an earlyoom."""
    try:
        earlyoom = peers.find("earlyoom", directory, may_download=settings.may_download)
    except peers.Missing:
        earlyoom = None
    figures = decision.measure(settings.crowds, settings.decisions, directory, earlyoom)
    return figures + first_look.measure(directory, decision.shipped_terms(), settings.decisions, max(settings.crowds))


def _idle(settings: Settings, directory: Path) -> list[Figure]:
    """nohang on its own, the pair on its own, and then everybody together: first they idle, then memory is counted."""
    daemons.give_interpreter_of_their_own()
    found: dict[str, Peer] = {}
    missing: dict[str, str] = {}
    for name in ("earlyoom", "nohang"):
        try:
            found[name] = peers.find(name, directory, may_download=settings.may_download)
        except peers.Missing as error:
            missing[name] = str(error)
    alone = []
    if "nohang" in found:
        with daemons.nohang(found["nohang"], directory) as pids:
            time.sleep(settings.settle_seconds)
            alone += memory.measure_alone("nohang", pids)
    with ExitStack() as running:
        pids = dict(running.enter_context(daemons.idle_pair(directory / "pair")))
        time.sleep(settings.settle_seconds)
        alone += memory.measure_alone("pair", pids)
        if "earlyoom" in found:
            pids |= running.enter_context(daemons.earlyoom(found["earlyoom"]))
        if "nohang" in found:
            pids |= running.enter_context(daemons.nohang(found["nohang"], directory))
        time.sleep(settings.settle_seconds)
        idle_figures = _idle_with_both_caches(pids, settings, missing)
        return [*idle_figures, *memory.measure(pids, missing), *alone]


def _idle_with_both_caches(pids: dict[str, int], settings: Settings, missing: dict[str, str]) -> list[Figure]:
    """First with as much free memory as there is, then with a page cache that has taken nearly all of it."""
    if not settings.may_fill:
        as_it_is = _idle_runs("empty", pids, settings, missing)
        return [*as_it_is, *idle.unmeasured("full", "--quick leaves the page cache alone")]
    empty = _idle_runs("empty", pids, settings, missing, page_cache.empty, page_cache.check_empty)
    with page_cache.filling() as filling:
        full = _idle_runs("full", pids, settings, missing, filling.top_up, page_cache.check_full)
    return [*empty, *full]


def _idle_runs(
    cache: str,
    pids: dict[str, int],
    settings: Settings,
    missing: dict[str, str],
    prepare: Callable[[], None] = lambda: None,
    check: Callable[[], None] = lambda: None,
) -> list[Figure]:
    """`prepare` comes before each run, `check` after it: both raise NotSo where the page cache is not as it should.

    A run during which it changed does not count. There are twice as many attempts as runs.
    """
    runs, free, loads = list[idle.Run](), list[float](), list[float]()
    changed = ""
    try:
        for _ in range(2 * settings.idle_runs):
            if len(runs) == settings.idle_runs:
                break
            prepare()
            time.sleep(settings.settle_seconds)
            free_before = page_cache.free_percent()
            run = idle.run(pids, settings.idle_seconds)
            try:
                check()
            except page_cache.NotSo as error:
                changed = str(error)
                continue
            runs.append(run)
            free += [free_before, page_cache.free_percent()]
            loads.append(os.getloadavg()[0])
    except (page_cache.NotSo, OSError) as error:
        return idle.unmeasured(cache, str(error))
    if len(runs) < settings.idle_runs:
        return idle.unmeasured(cache, changed)
    note = f"{min(free):.0f} to {max(free):.0f} % of RAM free; load {', '.join(f'{load:.1f}' for load in loads)}"
    return idle.figures(cache, runs, missing, note)


if __name__ == "__main__":
    sys.exit(main())
