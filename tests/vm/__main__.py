"""`make vm-test`, `make vm-compare`: python -m tests.vm [test|compare|again] [SCENARIO]... --deb FILE

`again` is the end of `compare` alone: what --results has of a whole run says what has to be repeated.
"""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import signal
import statistics
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from . import comparison, judge
from .image import Image, image
from .qemu import Hung, booted
from .scenarios import BOOTS, Scenario, all_scenarios
from .selection import selected

_TURNS, _TIMES_IN_A_TURN = 2, 2
"""What is repeated is run so often by one daemon, then by the other; and that so often."""


class Outcome:
    """What came of everything that was asked for, in the order in which it came."""

    def __init__(self, results: Path, *, is_again: bool = False) -> None:
        self._results = results
        self._is_again = is_again
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []
        self.reactions_ms: dict[str, float] = {}
        self.stood_still: list[str] = []

    def set_aside(self, daemon: str, name: str, report: dict[str, Any], found: list[str]) -> None:
        """It failed while the machine itself stood still, and will be performed once more."""
        self._write(daemon, name, comparison.STOOD_STILL, found, report)
        self.stood_still.append(name)
        print(f"again {name}, later: the machine stood still for {report['stood_still_ms']} ms: {'; '.join(found)}")

    def record(
        self, daemon: str, name: str, report: dict[str, Any], found: list[str], scenario: Scenario | None
    ) -> None:
        """One line of JSON into the results, one line for a reader."""
        verdict = verdict_under(daemon, found, scenario)
        self._write(daemon, name, verdict, found, report)
        taken_ms = judge.reaction_ms(scenario, report) if scenario is not None else None
        if taken_ms is not None:
            self.reactions_ms[name] = taken_ms
        {"pass": self.passed, "lost": self.lost, "FAIL": self.failed}[verdict].append(name)
        print(f"{verdict}  {name}{': ' if found else ''}{'; '.join(found)}", flush=True)
        if taken_ms is not None:
            print(f"        first signal after {report['reaction_ms']:.0f} ms below floor; {taken_ms:.0f} ms count")
        if verdict == "lost" and scenario is not None:
            print(f"        as it says itself: {scenario.lost}")
        if verdict == "FAIL":
            for said in [*report.get("log", []), *report.get("error", "").splitlines()]:
                print(f"        {said}")
            if scenario is not None and not found:
                print("        it says itself that bustd loses it, and it does not: take `lost` away")

    def _write(self, daemon: str, name: str, verdict: str, found: list[str], report: dict[str, Any]) -> None:
        line = {"daemon": daemon, "name": name, "verdict": verdict, "faults": found, "report": report}
        with self._results.open("a") as results:
            print(json.dumps(line | {"again": self._is_again}), file=results)


def verdict_of(found: list[str], scenario: Scenario | None) -> str:
    """`lost` excuses exactly the faults that the scenario names, and demands them."""
    if scenario is not None and scenario.lost:
        return "lost" if found == scenario.lost_as else "FAIL"
    return "FAIL" if found else "pass"


def verdict_under(daemon: str, found: list[str], scenario: Scenario | None) -> str:
    """What a scenario says that it loses, it says of bustd."""
    return verdict_of(found, scenario if daemon == "bustd" else None)


class Plan(NamedTuple):
    """What one kind of machine is booted for."""

    boot: str
    scenarios: list[Scenario]
    daemon: str
    deb: Path | None
    promises: str
    traces: Path | None = None

    def job(self, rest: list[Scenario]) -> dict[str, Any]:
        """What the guest is told."""
        return {
            "daemon": self.daemon,
            "deb": self.deb.name if self.deb else "",
            "scenarios": [scenario.for_the_guest() for scenario in rest],
            "promises": self.promises,
            "traces": self.traces is not None,
        }


def perform(plan: Plan, made: Image, outcome: Outcome) -> None:
    """All of it. What failed while the machine itself stood still is performed once more: that counts.

    Without a daemon it is not: there is nobody to whom a pause of the machine could be unjust.
    """
    again = perform_once(plan, made, outcome, is_last=plan.daemon == "kernel")
    if again:
        perform_once(plan._replace(scenarios=again, promises=""), made, outcome, is_last=True)


def perform_once(plan: Plan, made: Image, outcome: Outcome, *, is_last: bool) -> list[Scenario]:
    """After a machine that hung in a scenario, another one goes on with those that are left.

    What is to be performed once more; nothing if this is the last time.
    """
    rest, is_promised, again = list(plan.scenarios), bool(plan.promises), list[Scenario]()
    while rest or is_promised:
        by_name = {scenario.name: scenario for scenario in rest}
        started = time.monotonic()
        try:
            with booted(made, BOOTS[plan.boot], plan.job(rest), [plan.deb] if plan.deb else []) as machine:
                for name, report in machine.reports():
                    keep_trace(report, plan.traces, name)
                    scenario = by_name.get(name)
                    if scenario is None:
                        outcome.record(plan.daemon, name, report, judge.promise_faults(report), None)
                        continue
                    rest.remove(scenario)
                    found = judge.faults(scenario, report, plan.daemon)
                    is_failure = verdict_under(plan.daemon, found, scenario) == "FAIL"
                    if is_failure and judge.stood_still(report) and not is_last:
                        again.append(scenario)
                        outcome.set_aside(plan.daemon, name, report, found)
                    else:
                        outcome.record(plan.daemon, name, report, found, scenario)
        except Hung as hung:
            print(hung.console)
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


def keep_trace(report: dict[str, Any], folder: Path | None, name: str) -> None:
    """What was recorded beside a scenario is too long for a line of results: it becomes FOLDER/NAME.trace."""
    trace = report.pop("trace", None)
    if folder is not None and trace is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.trace").write_bytes(base64.b64decode(trace))


def main() -> int:
    """0: everything passed, or was lost as it says; 1: not; 69: no QEMU."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm")
    parser.add_argument("mode", choices=("test", "compare", "again"))
    parser.add_argument("scenarios", nargs="*", help="their names, `promises`, `core` for the core set; all by default")
    parser.add_argument("--deb", type=Path, required=True)
    parser.add_argument("--daemon", action="append", help="for compare; all five by default")
    parser.add_argument("--traces", type=Path, help="for test: a folder for what bustd records beside each scenario")
    parser.add_argument("--results", type=Path, default=Path("vm-results.jsonl"))
    options = parser.parse_intermixed_args()
    if shutil.which("qemu-system-x86_64") is None:
        print("there is no qemu-system-x86_64 on this machine: run tests/vm/requirements.sh as root")
        return 69
    known = {scenario.name: scenario for scenario in all_scenarios()}
    if options.mode == "again" and (options.scenarios or options.daemon or not options.results.exists()):
        parser.error("again: --results alone says which scenarios, and under which daemons")
    try:
        chosen = selected(options.scenarios, known)
    except ValueError as error:
        parser.error(str(error))
    if options.mode != "again":
        options.results.unlink(missing_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that the machine and its files are gone
    with image() as made:
        if options.mode != "test":
            return compare(options, known, chosen.scenarios, made)
        outcome = Outcome(options.results)
        for boot in BOOTS:
            mine = [one for one in chosen.scenarios if one.boot == boot]
            promises = chosen.promises if boot == "ordinary" else ""
            perform(Plan(boot, mine, "bustd", options.deb, promises, options.traces), made, outcome)
    print(f"== virtual machine: {' '.join(options.scenarios) or 'everything'}")
    if outcome.reactions_ms:
        print(reactions(outcome.reactions_ms))
        for fault in judge.reaction_faults(outcome.reactions_ms):
            outcome.failed.append("reaction")
            print(f"FAIL  reaction: {fault}")
    if outcome.stood_still:
        print(f"performed once more, because the machine stood still: {', '.join(outcome.stood_still)}")
    if outcome.lost:
        print(f"lost, as they say themselves, and counted as skipped: {', '.join(outcome.lost)}")
    print(f"{len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.lost)} skipped")
    return 1 if outcome.failed else 0


def reactions(by_name_ms: dict[str, float]) -> str:
    """A line on how soon the first signals came, and which were later than is promised."""
    late = [f"{name} {ms:.0f} ms" for name, ms in by_name_ms.items() if ms > judge.PROMISED_REACTION_MS]
    median_ms, slowest_ms = statistics.median(by_name_ms.values()), max(by_name_ms.values())
    return (
        f"first signal after memory was below floor, in {len(by_name_ms)} scenarios: median {median_ms:.0f} ms, "
        f"slowest {slowest_ms:.0f} ms; more than {judge.PROMISED_REACTION_MS} ms: {', '.join(late) or 'none'}"
    )


def compare(options: argparse.Namespace, known: dict[str, Scenario], chosen: list[Scenario], made: Image) -> int:
    """The page is written only by a run of everything: a part of it would look like the whole."""
    if options.mode == "compare":
        outcome = Outcome(options.results)
        for daemon in options.daemon or comparison.DAEMONS:
            perform_all([one for one in chosen if one.compared], daemon, options.deb, made, outcome)
    if options.daemon or options.scenarios:
        print(f"only a part: {comparison.PAGE.name} stays as it is, and {options.results} has what came of it")
        return 0
    found = comparison.sorted_out(comparison.read(options.results), known)
    if lacking := comparison.lacking(found, known):
        print(f"{options.results} is not of a whole run: it lacks {lacking[0]}, and {len(lacking) - 1} more")
        return 1
    outcome = Outcome(options.results, is_again=True)
    for _ in range(_TURNS):  # a machine has its moments
        for daemon, names in comparison.to_repeat(found).items():
            perform_all([known[name] for name in names] * _TIMES_IN_A_TURN, daemon, options.deb, made, outcome)
    comparison.write(options.results, known)
    return 0


def perform_all(scenarios: list[Scenario], daemon: str, deb: Path, made: Image, outcome: Outcome) -> None:
    """Under one daemon, each kind of machine booted once."""
    for boot in BOOTS:
        mine = [scenario for scenario in scenarios if scenario.boot == boot]
        perform(Plan(boot, mine, daemon, deb if daemon == "bustd" else None, ""), made, outcome)


if __name__ == "__main__":
    sys.exit(main())
