"""docs/comparison.md: how each daemon did in the same scenarios, from the results of one run."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from .scenarios import Scenario

DAEMONS = ("bustd", "earlyoom", "nohang", "systemd-oomd", "kernel")
_NOTICEABLE_MS = 50
STOOD_STILL = "stood still"
"""The verdict on a run that failed while the machine itself stood still, and that was therefore repeated."""
PAGE = Path(__file__).parents[2] / "docs" / "comparison.md"

_HEAD = """# bustd beside earlyoom, nohang, systemd-oomd and the bare kernel

Made by `make vm-compare`. Every daemon went through the same scenarios: those of `tests/vm/scenarios` that also say
something about the other daemons. They run in a Debian 13 with two processors and mostly 1 GiB, which is booted again
for each daemon. The processors are emulated (QEMU without KVM), so everything takes several times as long as on a
real machine: **compare the rows of one scenario, not the milliseconds with those of your machine**. Each row is one
run, and none is an average. If a daemon failed while the machine itself stood still (the probe, locked and
SCHED_FIFO, did not run for a second or more), the scenario was run once more, and the second result counts.

earlyoom and nohang run as Debian 13 configures them. systemd-oomd has Fedora's configuration: `ManagedOOMSwap=kill`
and `ManagedOOMMemoryPressure=kill` at 50 % for 20 s, on the slice with all programs of a scenario. It kills control
groups, and looks at pressure and swap alone. `kernel` is no daemon at all.

- **verdict**: `pass` if exactly the intended programs died, the kernel killed nothing, and the user's program
  survived
- **died**: units or processes, with the seconds since the leak began
- **kernel**: the number of processes that the kernel's own OOM killer killed
- **< 10 %**, **< 2 %**: the seconds with less than this much memory available; **lowest**: the least that was
  available, in MiB
- **stall**: the longest time that a program of the user waited beyond its pause of 50 ms (24 MiB of memory and 8 MiB
  of a file, not locked), from the moment the leak began until the scenario was over, in ms; **p99**: the 99th
  percentile of its rounds, in ms

Random crises of a simulated machine, judged by the policies of the same daemons, are in [crises.md](crises.md).
"""


class Results(NamedTuple):
    """The lines of a run, by scenario and daemon: the first ones, and those of scenarios that were repeated."""

    first: dict[str, dict[str, dict[str, Any]]]
    again: dict[str, dict[str, list[dict[str, Any]]]]


def sorted_out(lines: list[dict[str, Any]], scenarios: dict[str, Scenario]) -> Results:
    """The results of known scenarios, without the runs that were repeated because the machine stood still."""
    results = Results({}, {})
    for line in lines:
        if line["name"] not in scenarios or line["verdict"] == STOOD_STILL:
            continue
        if line.get("again"):
            results.again.setdefault(line["name"], {}).setdefault(line["daemon"], []).append(line)
        else:
            results.first.setdefault(line["name"], {})[line["daemon"]] = line
    return results


def lacking(results: Results, scenarios: dict[str, Scenario]) -> list[str]:
    """The results that a complete run has and this one lacks."""
    compared = [name for name, scenario in scenarios.items() if scenario.compared]
    pairs = ((name, daemon) for daemon in DAEMONS for name in compared)
    return [f"{name} under {daemon}" for name, daemon in pairs if daemon not in results.first.get(name, {})]


def read(results: Path) -> list[dict[str, Any]]:
    """The lines of JSON."""
    return [json.loads(line) for line in results.read_text().splitlines()]


def write(results: Path, scenarios: dict[str, Scenario]) -> None:
    """Write the page from lines of JSON."""
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(sorted_out(read(results), scenarios), scenarios))


def page(results: Results, scenarios: dict[str, Scenario]) -> str:
    """The whole text. Scenarios that bustd does not win are named at the end, each with its reason."""
    parts, first = [_HEAD], sorted(results.first.items())
    for name, rows in first:
        scenario = scenarios[name]
        parts.append(f"\n## {name}: {scenario.title}\n\n{scenario.why[0].upper()}{scenario.why[1:]}.\n")
        parts.append("| daemon | verdict | died | kernel | < 10 % | < 2 % | lowest | stall | p99 |")
        parts.append("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        parts += [row(daemon, rows[daemon]) for daemon in DAEMONS if daemon in rows]
    parts.append("\n## Totals\n\n| daemon | passed | of | kernel OOM kills |\n| --- | ---: | ---: | ---: |")
    for daemon in DAEMONS:
        mine = [rows[daemon] for _, rows in first if daemon in rows]
        passed = sum(line["verdict"] == "pass" for line in mine)
        kernel = sum((line["report"].get("probe") or {}).get("kernel_oom_kills", 0) for line in mine)
        parts.append(f"| {daemon} | {passed} | {len(mine)} | {kernel} |")
    parts.append("\n## Where bustd does worse\n")
    for name, rows in first:
        if "bustd" in rows and rows["bustd"]["verdict"] != "pass":
            reason = scenarios[name].lost
            faults = "; ".join(rows["bustd"]["faults"])
            parts.append(f"- **{name}**: {faults}.{f' Because {reason}.' if reason else ''}")
    for name, best in longer_stalls(results).items():
        parts.append(_longer_stall(name, best, results))
    return "\n".join(parts) + "\n"


def longer_stalls(results: Results) -> dict[str, str]:
    """The scenarios in which the user's program waited noticeably longer under bustd than under the best of the others
    that passed, and which that was.
    """
    found = {}
    for name, rows in sorted(results.first.items()):
        stalls = {
            daemon: _stall_ms(line)
            for daemon, line in rows.items()
            if line["report"].get("program") and daemon != "kernel" and (line["verdict"] == "pass" or daemon == "bustd")
        }
        mine = stalls.pop("bustd", 0)
        if stalls and mine > max(_NOTICEABLE_MS, 2 * min(stalls.values())):
            found[name] = min(stalls, key=lambda daemon: stalls[daemon])
    return found


def to_repeat(results: Results) -> dict[str, list[str]]:
    """By daemon: those scenarios, under bustd and under the best of the others."""
    longer = longer_stalls(results)
    by_daemon = {daemon: [name for name, best in longer.items() if daemon in ("bustd", best)] for daemon in DAEMONS}
    return {daemon: names for daemon, names in by_daemon.items() if names}


def _longer_stall(name: str, best: str, results: Results) -> str:
    """The two figures, and those of the repetitions: a single stall may come from the emulation."""
    rows, again = results.first[name], results.again.get(name, {})
    stalls = (f"{_stall_ms(rows['bustd']):.0f} ms under bustd", f"{_stall_ms(rows[best]):.0f} ms under {best}")
    sentence = f"- **{name}**: the user's program waited {stalls[0]}, {stalls[1]}."
    repeated = [_repeated(daemon, again[daemon]) for daemon in ("bustd", best) if daemon in again]
    return f"{sentence} Again: {'; '.join(repeated)}." if repeated else sentence


def _repeated(daemon: str, lines: list[dict[str, Any]]) -> str:
    stalls = sorted(_stall_ms(line) for line in lines if line["report"].get("program"))
    words = [f"{', '.join(f'{ms:.0f}' for ms in stalls) or 'none'} under {daemon}"]
    if stalls:
        words.append(f"the median {statistics.median(stalls):.0f}")
    if failed := sum(line["verdict"] != "pass" for line in lines):
        words.append(f"{failed} failed")
    return ", ".join(words)


def _stall_ms(line: dict[str, Any]) -> float:
    return float(line["report"]["program"]["longest_stall_ms"])


def row(daemon: str, line: dict[str, Any]) -> str:
    """The row of one daemon in one scenario. A machine that hung has no figures."""
    report = line["report"]
    verdict = "pass" if line["verdict"] == "pass" else f"**{'; '.join(line['faults'])}**"
    if not report.get("probe"):
        return f"| {daemon} | {_cell(verdict)} | | | | | | | |"
    probe, program = report["probe"], report["program"] or {}
    deaths = [f"{_cell(name)} {when:.1f} s" for fate in report["units"].values() for name, when in _few(fate["dead"])]
    figures = (
        probe["kernel_oom_kills"],
        f"{probe['ms_below_10_percent'] / 1000:.1f}",
        f"{probe['ms_below_2_percent'] / 1000:.1f}",
        f"{probe['lowest_available_mib']:.0f}",
        f"{program.get('longest_stall_ms') or 0:.0f}",
        f"{program.get('p99_ms') or 0:.0f}",
    )
    return f"| {daemon} | {_cell(verdict)} | {', '.join(deaths) or 'none'} | {' | '.join(map(str, figures))} |"


def _few(dead: list[dict[str, Any]]) -> list[tuple[str, float]]:
    """Name and seconds of each, or of the first seven and the last."""
    deaths = [(one["name"], one["seconds"]) for one in dead]
    return deaths if len(deaths) <= 8 else [*deaths[:7], (f"… {len(deaths) - 7} more, the last", deaths[-1][1])]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("`", "'").replace("\n", " ")
