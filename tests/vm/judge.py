"""From what the guest reports to what was wrong with it. Pure: a fault is a sentence, and no fault is a pass."""

from __future__ import annotations

import statistics
from typing import Any

from .scenarios import Scenario, Work

Report = dict[str, Any]

_CLD_EXITED, _CLD_KILLED = 1, 2
_SIGNALS = (9, 15)
_IDLENESS = (("before", "inactive_before"), ("after", "inactive_after"))
_LEAST_SAMPLES_PER_SECOND = 10
"""The probe takes 50; where it gets so few, its figures say nothing."""
PROMISED_REACTION_MS, _SLOWEST_REACTION_MS = 150, 1000
"""What the median of a run must keep, and what is a fault of one scenario: an emulated machine has slow moments."""
_LEAST_REACTIONS = 5
_STOOD_STILL_MS = 1000
"""The probe looks every 20 ms and the heartbeat every 50, locked and at real-time priority: no daemon and no leak keeps
them from that for so long.
"""


def faults(scenario: Scenario, report: Report, daemon: str) -> list[str]:
    """Everything that is not as the scenario states."""
    if "error" in report:
        return [f"the scenario could not be performed: {report['error'].strip().splitlines()[-1]}"]
    found = [f"{when} the scenario: {report[key]}" for when, key in _IDLENESS if report[key]]
    for work in scenario.work:
        found += _fate_faults(work, report["units"][work.unit])
    found += _bystanders_faults(scenario, report)
    found += _probe_faults(scenario, report)
    if daemon == "bustd":
        found += _kill_faults(scenario, report)
    return found


def stood_still(report: Report) -> bool:
    """Whether the emulated machine, or a processor of it, did not run for a while, as happens now and then: at once, or
    in all of the time in which bustd should have acted.
    """
    return max(report.get("stood_still_ms", 0), report.get("stood_ms", 0)) >= _STOOD_STILL_MS


def pause(report: Report) -> str:
    """How long that was, in words."""
    at_once_ms, in_all_ms = report.get("stood_still_ms", 0), report.get("stood_ms", 0)
    if at_once_ms >= _STOOD_STILL_MS:
        return f"the machine stood still for {at_once_ms:.0f} ms"
    return f"the machine stood still for {in_all_ms:.0f} ms in all after memory was short"


def reaction_ms(scenario: Scenario, report: Report) -> float | None:
    """How long after memory was below `floor` bustd signalled a process, less the time in which nothing got to run.

    None: it did so before that, or not at all, or it was struck itself.
    """
    taken_ms = report.get("reaction_ms")
    return None if taken_ms is None or scenario.blow else float(taken_ms - report["stood_ms"])


def reaction_faults(by_name_ms: dict[str, float]) -> list[str]:
    """Of a whole run: what half of the scenarios exceed is not the emulation's fault. Too few of them say nothing."""
    median_ms = statistics.median(by_name_ms.values()) if len(by_name_ms) >= _LEAST_REACTIONS else 0
    return [f"the median reaction is {median_ms:.0f} ms"] if median_ms > PROMISED_REACTION_MS else []


def promise_faults(report: Report) -> list[str]:
    """A step that is no scenario says itself what is wrong."""
    if "error" in report:
        return [report["error"].strip().splitlines()[-1]]
    return list(report["faults"])


def _fate_faults(work: Work, fate: dict[str, Any]) -> list[str]:
    died, alive = len(fate["dead"]), fate["alive"]
    if work.fate == "any":
        return []
    if work.fate == "lives":
        return [f"{work.unit} lost {died} of its processes"] if died or not alive else []
    if work.fate == "stuck":
        return [f"{work.unit} is not stuck"] if died or not alive else []
    if work.fate == "thinned":
        return _thinned_faults(work, fate)
    if work.fate == "some":
        main_died = fate["main_pid"] in {one["pid"] for one in fate["dead"]}
        as_wanted = (died, alive, main_died) == (work.dead, work.alive, False)
        return [] if as_wanted else [f"{work.unit}: {died} died and {alive} live{', the first is dead' * main_died}"]
    if alive or not died:
        return [f"{work.unit} lives"]
    if fate["main_code"] != _CLD_KILLED or fate["main_status"] not in _SIGNALS:
        return [f"{work.unit} ended by itself (code {fate['main_code']}, status {fate['main_status']})"]
    return []


def _thinned_faults(work: Work, fate: dict[str, Any]) -> list[str]:
    if fate["alive"] or fate["main_code"] != _CLD_EXITED:
        return [f"{work.unit} did not end by itself (code {fate['main_code']}, {fate['alive']} live)"]
    if not 1 <= fate["main_status"] <= work.dead:
        return [f"{work.unit}: {fate['main_status']} were killed"]
    return []


def _bystanders_faults(scenario: Scenario, report: Report) -> list[str]:
    """The user's program, and everything that is no part of the scenario: it may lose only whom the blow hit."""
    found = []
    program = report["units"]["program"]
    if program["dead"] or not program["alive"] or report["program"] is None:
        found.append("the user's program died")
    struck = report["blow"]["pid"] if report["blow"] else None
    died = {pid: unit for unit, pids in report["others_dead"].items() for pid in pids}
    if scenario.blow and struck not in died:
        found.append(f"the blow {scenario.blow} ended nobody")
    found += [f"{unit} lost process {pid}" for pid, unit in died.items() if pid != struck]
    for unit, count in report["restarts"].items():
        if count != (died.get(struck) == unit):
            found.append(f"{unit} was started anew {count} times")
    return found


def _probe_faults(scenario: Scenario, report: Report) -> list[str]:
    probe = report["probe"]
    if probe is None:
        return ["the probe has no result"]
    found = []
    if probe["samples"] < _LEAST_SAMPLES_PER_SECOND * report["seconds"]:
        found.append(f"the probe has {probe['samples']} samples of {report['seconds']} s")
    for what in ("available", "free"):
        lowest, wanted = probe[f"lowest_{what}_percent"], getattr(scenario, f"{what}_falls_to")
        if lowest > wanted:
            found.append(f"{what} memory never fell to {wanted:g} %, only to {lowest:g} %")
    if probe["most_swapped_mib"] < scenario.swap_takes_mib:
        found.append(f"only {probe['most_swapped_mib']:g} MiB went to swap")
    if probe["psi_some_ms"] < scenario.pressure_lasts_ms:
        found.append(f"pressure lasted only {probe['psi_some_ms']} ms")
    if probe["kernel_oom_kills"] and not scenario.unavoidable:
        found.append(f"the kernel killed {probe['kernel_oom_kills']}")
    return found


def _kill_faults(scenario: Scenario, report: Report) -> list[str]:
    """Whoever died in a unit that had to lose somebody was signalled by the killer; and bustd said what it should."""
    found = [f"bustd did not say: {text}" for text in scenario.says if not report["said"][text]]
    for text in scenario.says_once:
        if report["said"][text] != 1:
            found.append(f"bustd said {report['said'][text]} times: {text}")
    taken_ms = reaction_ms(scenario, report)
    if taken_ms is not None and taken_ms > _SLOWEST_REACTION_MS:
        found.append(f"the first signal came {taken_ms:.0f} ms after memory was short")
    if scenario.unavoidable and report["probe"]["kernel_oom_kills"]:
        return found  # the kernel came first
    signalled = set(report["signalled"])
    for work in scenario.work:
        fate = report["units"][work.unit]
        spared = [one["pid"] for one in fate["dead"] if one["pid"] not in signalled]
        if work.fate in ("dies", "some"):
            found += [f"{pid} of {work.unit} was not ended by the killer" for pid in spared]
        if work.fate == "thinned" and len(fate["dead"]) - len(spared) < fate["main_status"]:
            found.append(f"{work.unit}: not all of the {fate['main_status']} were ended by the killer")
        if work.fate == "stuck" and fate["main_pid"] not in signalled:
            found.append(f"{work.unit} was never signalled")
    return found
