"""`make vm-test`, `make vm-compare`: python -m tests.vm [test|compare] [SCENARIO]... [--deb FILE]"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import comparison, judge
from .image import Image, image
from .qemu import Hung, booted
from .scenarios import BOOTS, Scenario, all_scenarios

_STEP_SPARE_S = 180
_PROMISES = "promises"


class Outcome:
    """What came of everything that was asked for, in the order in which it came."""

    def __init__(self, results: Path) -> None:
        self._results = results.open("a")
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []

    def record(self, daemon: str, name: str, report: dict[str, Any], found: list[str], lost: str) -> None:
        """One line of JSON into the results, one line for a reader."""
        verdict = "pass" if not found else "lost" if lost else "FAIL"
        line = {"daemon": daemon, "name": name, "verdict": verdict, "faults": found, "report": report}
        print(json.dumps(line), file=self._results, flush=True)
        {"pass": self.passed, "lost": self.lost, "FAIL": self.failed}[verdict].append(name)
        print(f"{verdict}  {name}{': ' if found else ''}{'; '.join(found)}", flush=True)
        if verdict == "FAIL":
            for said in report.get("log", []):
                print(f"        {said}")
            if "error" in report:
                print(report["error"])
        if verdict == "lost":
            print(f"        expected: {lost}")


class Plan(NamedTuple):
    """What one kind of machine is booted for."""

    boot: str
    scenarios: list[Scenario]
    daemon: str
    deb: Path | None
    promises: bool

    def job(self, rest: list[Scenario]) -> dict[str, Any]:
        """What the guest is told."""
        return {
            "daemon": self.daemon,
            "deb": self.deb.name if self.deb else "",
            "scenarios": [scenario.for_the_guest() for scenario in rest],
            "promises": self.promises,
        }


def perform(plan: Plan, made: Image, outcome: Outcome) -> None:
    """All of it; after a machine that hung in a scenario, another one goes on with those that are left."""
    rest = list(plan.scenarios)
    while rest or plan.promises:
        by_name = {scenario.name: scenario for scenario in rest}
        seconds_of = {name: scenario.seconds + _STEP_SPARE_S for name, scenario in by_name.items()}
        started = time.monotonic()
        try:
            with booted(made, BOOTS[plan.boot], plan.job(rest), [plan.deb] if plan.deb else []) as machine:
                for name, report in machine.reports(seconds_of):
                    if name in by_name:
                        scenario = by_name[name]
                        rest.remove(scenario)
                        outcome.record(plan.daemon, name, report, judge.faults(scenario, report), scenario.lost)
                    else:
                        outcome.record(plan.daemon, name, report, judge.promise_faults(report), "")
            print(f"      ({plan.boot}, {plan.daemon}: {time.monotonic() - started:.0f} s)", flush=True)
            return
        except Hung as hung:
            print(hung.console)
            hanging = by_name.get(hung.step)
            report = {"hung": str(hung), "console": hung.console}
            outcome.record(plan.daemon, hung.step, report, [f"HUNG: {hung}"], hanging.lost if hanging else "")
            if hanging is None or hanging not in rest:  # no scenario: the next machine would hang there as well
                return
            rest.remove(hanging)


def main() -> int:
    """0: everything passed, or was lost as it says; 1: not; 69: no QEMU."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm")
    parser.add_argument("mode", choices=("test", "compare"))
    parser.add_argument("scenarios", nargs="*", help="their names; all by default")
    parser.add_argument("--deb", type=Path, required=True)
    parser.add_argument("--daemon", action="append", help="for compare; all five by default")
    parser.add_argument("--results", type=Path, default=Path("vm-results.jsonl"))
    options = parser.parse_args()
    if shutil.which("qemu-system-x86_64") is None:
        print("there is no qemu-system-x86_64 on this machine: run tests/vm/requirements.sh as root")
        return 69
    known = {scenario.name: scenario for scenario in all_scenarios()}
    if unknown := set(options.scenarios) - set(known) - {_PROMISES}:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}; there are {', '.join(known)}, {_PROMISES}")
    wanted = options.scenarios or [*known, _PROMISES]
    chosen = [known[name] for name in wanted if name in known]
    options.results.unlink(missing_ok=True)
    outcome = Outcome(options.results)
    made = image()
    if options.mode == "compare":
        for daemon in options.daemon or comparison.DAEMONS:
            deb = options.deb if daemon == "bustd" else None
            compared = [scenario for scenario in chosen if scenario.compared]
            for boot in BOOTS:
                mine = [one for one in compared if one.boot == boot]
                perform(Plan(boot, mine, daemon, deb, False), made, outcome)
        comparison.write(options.results, known)
        return 0
    for boot in BOOTS:
        promised = boot == "ordinary" and _PROMISES in wanted
        mine = [one for one in chosen if one.boot == boot]
        perform(Plan(boot, mine, "bustd", options.deb, promised), made, outcome)
    print(f"== virtual machine: {', '.join(wanted)}")
    if outcome.lost:
        print(f"lost, as they say themselves: {', '.join(outcome.lost)}")
    print(f"{len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.lost)} skipped")
    return 1 if outcome.failed else 0


if __name__ == "__main__":
    sys.exit(main())
