"""From what the guest reports to what was wrong with it. Pure: a fault is a sentence, and no fault is a pass."""

from __future__ import annotations

from typing import Any

from .scenarios import Scenario, Work

Report = dict[str, Any]


def faults(scenario: Scenario, report: Report) -> list[str]:
    """Everything that is not as the scenario states, whoever the daemon is."""
    if "error" in report:
        return [f"the scenario could not be performed: {report['error'].strip().splitlines()[-1]}"]
    found = []
    for work in scenario.work:
        found += _fate_faults(work, report["units"][work.unit])
    program = report["units"]["program"]
    if program["dead"] or not program["alive"]:
        found.append("the user's program died")
    allowed = _expected_to_restart(scenario)
    for unit, names in report["others_dead"].items():
        if unit not in allowed:
            found.append(f"{unit} lost {', '.join(names)}")
    if scenario.blow and report["blow_s"] is None:
        found.append(f"the blow {scenario.blow} never fell")
    probe = report["probe"]
    if probe is None:
        found.append("the probe has no result")
    elif probe["kernel_oom_kills"] and not scenario.unavoidable:
        found.append(f"the kernel killed {probe['kernel_oom_kills']}")
    return found


def _fate_faults(work: Work, fate: dict[str, Any]) -> list[str]:
    died, alive = len(fate["dead"]), fate["alive"]
    if work.fate == "dies" and (alive or not died):
        return [f"{work.unit} lives"]
    if work.fate == "lives" and (died or not alive):
        return [f"{work.unit} lost {died} of its processes"]
    if work.fate == "some" and not (alive and died):
        return [f"{work.unit}: {died} died and {alive} live"]
    return []


def _expected_to_restart(scenario: Scenario) -> set[str]:
    """The daemon that the blow falls on, or that is restarted to undo a preparation."""
    return {
        "kill-killer": {"bustd-killer.service"},
        "kill-monitor": {"bustd-monitor.service"},
        "stop-monitor": {"bustd-monitor.service"},
    }.get(scenario.blow, set())


def promise_faults(report: Report) -> list[str]:
    """A step that is no scenario says itself what is wrong."""
    if "error" in report:
        return [report["error"].strip().splitlines()[-1]]
    return list(report.get("faults", []))
