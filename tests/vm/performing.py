"""Boot machines, have scenarios and promises performed in them, and hand each report to the outcome."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import judge
from .image import Image
from .outcome import Outcome, verdict_under
from .qemu import BOOT, Hung, booted
from .scenarios import BOOTS, STORY, Scenario


class Plan(NamedTuple):
    """What one kind of machine is booted for. `promises`: "all" or "core", or the names of some, or none.

    The machine of the story tells all of it, whichever of its steps is among them.
    """

    boot: str
    scenarios: list[Scenario]
    daemon: str
    deb: Path | None
    promises: list[str]
    traces: Path | None = None

    def job(self, rest: list[Scenario]) -> dict[str, Any]:
        """What the guest is told."""
        return {
            "daemon": self.daemon,
            "deb": self.deb.name if self.deb else "",
            "scenarios": [scenario.for_the_guest() for scenario in rest],
            "promises": self.promises,
            "is_story": self.boot == STORY,
            "traces": self.traces is not None,
        }


def perform(plan: Plan, made: Image, outcome: Outcome) -> None:
    """All of it. What failed while the machine itself stood still is performed once more: that counts. Where it fails
    again while the machine stands still, nothing is decided.

    Without a daemon it is not: there is nothing to which a pause of the machine could be unjust.
    """
    again = perform_once(plan, made, outcome, is_last=plan.daemon == "kernel")
    if again.scenarios or again.promises:
        perform_once(again, made, outcome, is_last=True)


_MOST_PANICS = 2


def _has_panicked_at_boot(hung: Hung) -> bool:
    """Whether the guest's kernel failed before anything of ours ran: the emulation is not always right.

    Seen on a busy host: `int3` in sched_clock_cpu, which the kernel had just patched (text_poke_bp in its sources).
    """
    return hung.step == BOOT and "Kernel panic" in hung.console


def perform_once(plan: Plan, made: Image, outcome: Outcome, *, is_last: bool) -> Plan:
    """After a machine that hung in a scenario, another one goes on with those that are left. So it does, twice at most,
    after one whose kernel failed before it began.

    The plan with what is to be performed once more; nothing in it if this is the last time.
    """
    rest, again, panics = list(plan.scenarios), plan._replace(scenarios=[], promises=[]), 0
    while rest or plan.promises:
        by_name = {scenario.name: scenario for scenario in rest}
        started = time.monotonic()
        try:
            with booted(made, BOOTS[plan.boot], plan.job(rest), [plan.deb] if plan.deb else []) as machine:
                for name, report in machine.reports():
                    keep_trace(report, plan.traces, name)
                    scenario = by_name.get(name)
                    if scenario is not None:
                        rest.remove(scenario)
                    if _is_set_aside(plan.daemon, name, report, scenario, outcome, is_last=is_last):
                        if scenario is not None:
                            again.scenarios.append(scenario)
                        else:
                            again.promises.append(name)
        except Hung as hung:
            print(hung.console)
            if panics < _MOST_PANICS and _has_panicked_at_boot(hung):
                panics += 1
                continue
            hanging = by_name.get(hung.step)
            report = {"hung": str(hung), "console": hung.console}
            outcome.record(plan.daemon, hung.step, report, [f"HUNG: {hung}"], hanging)
            if hanging is not None and hanging in rest:
                rest.remove(hanging)
                continue
        print(f"      ({plan.boot}, {plan.daemon}: {time.monotonic() - started:.0f} s)", flush=True)
        break
    for scenario in rest:
        outcome.record(plan.daemon, scenario.name, {}, ["it was never performed"], scenario)
    return again


def _is_set_aside(
    daemon: str, name: str, report: dict[str, Any], scenario: Scenario | None, outcome: Outcome, *, is_last: bool
) -> bool:
    """Hand a report to the outcome; whether the step is to be performed once more."""
    found = judge.promise_faults(report) if scenario is None else judge.faults(scenario, report, daemon)
    is_excused = verdict_under(daemon, found, scenario) == "FAIL" and judge.stood_still(report)
    if is_excused and not is_last:
        outcome.set_aside(daemon, name, report, found)
        return True
    if is_excused and daemon == "bustd":
        outcome.leave_undecided(daemon, name, report, found)
    else:
        outcome.record(daemon, name, report, found, scenario)
    return False


def perform_all(scenarios: list[Scenario], daemon: str, deb: Path, made: Image, outcome: Outcome) -> None:
    """Under one daemon, each kind of machine booted once."""
    for boot in BOOTS:
        mine = [scenario for scenario in scenarios if scenario.boot == boot]
        perform(Plan(boot, mine, daemon, deb if daemon == "bustd" else None, []), made, outcome)


def keep_trace(report: dict[str, Any], folder: Path | None, name: str) -> None:
    """What was recorded beside a scenario is too long for a line of results: it becomes FOLDER/NAME.trace."""
    trace = report.pop("trace", None)
    if folder is not None and trace is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.trace").write_bytes(base64.b64decode(trace))
