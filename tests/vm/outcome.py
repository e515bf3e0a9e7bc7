"""What came of a run: a line for a reader and one of JSON for each step, and the closing lines."""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

from . import judge
from .comparison import STOOD_STILL
from .scenarios import STORY, Scenario

UNDECIDED = "NOT DECIDED"
"""The verdict on what failed, and then failed once more, both times while the machine itself stood still."""
_MOST_UNDECIDED = 3
"""What the core set can do without: with more of it undecided, a run has shown nothing."""


class Outcome:
    """What came of everything that was asked for, in the order in which it came."""

    def __init__(self, results: Path, *, is_again: bool = False) -> None:
        self._results = results
        self._is_again = is_again
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.lost: list[str] = []
        self.undecided: list[str] = []
        self.reactions_ms: dict[str, float] = {}
        self.stood_still: list[str] = []

    def set_aside(self, daemon: str, name: str, report: dict[str, Any], found: list[str]) -> None:
        """It failed while the machine itself stood still, and will be performed once more."""
        self._write(daemon, name, STOOD_STILL, found, report)
        self.stood_still.append(name)
        print(f"again {name}, later: {judge.pause(report)}: {'; '.join(found)}", flush=True)

    def leave_undecided(self, daemon: str, name: str, report: dict[str, Any], found: list[str]) -> None:
        """It failed once more while the machine itself stood still: that says nothing about bustd, good or bad."""
        self._write(daemon, name, UNDECIDED, found, report)
        self.undecided.append(name)
        print(f"{UNDECIDED}  {name}: {judge.pause(report)}, both times: {'; '.join(found)}", flush=True)
        self._explain(report)

    def record(
        self, daemon: str, name: str, report: dict[str, Any], found: list[str], scenario: Scenario | None
    ) -> None:
        """One line of JSON into the results, one line for a reader."""
        verdict = verdict_under(daemon, found, scenario)
        self._write(daemon, name, verdict, found, report)
        {"pass": self.passed, "lost": self.lost, "FAIL": self.failed}[verdict].append(name)
        taken = f" ({report['took_s']:.0f} s)" if "took_s" in report else ""
        print(f"{verdict}  {name}{taken}{': ' if found else ''}{'; '.join(found)}", flush=True)
        self._reaction(name, report, scenario)
        if verdict == "lost" and scenario is not None:
            print(f"        as it says itself: {scenario.lost}")
        if verdict == "FAIL":
            self._explain(report)
            if scenario is not None and not found:
                print("        it says itself that bustd loses it, and it does not: take `lost` away")

    def _reaction(self, name: str, report: dict[str, Any], scenario: Scenario | None) -> None:
        taken_ms = judge.reaction_ms(scenario, report) if scenario is not None else None
        if taken_ms is None:
            return
        if judge.stood_still(report):
            print(f"        first signal after {taken_ms:.0f} ms: not counted, {judge.pause(report)}")
            return
        self.reactions_ms[name] = taken_ms
        print(f"        first signal after {report['reaction_ms']:.0f} ms below floor; {taken_ms:.0f} ms count")

    def _explain(self, report: dict[str, Any]) -> None:
        for said in [*report.get("log", []), *report.get("error", "").splitlines()]:
            print(f"        {said}")

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


def close(outcome: Outcome, *, is_core: bool) -> int:
    """Print what remains to be said; the exit code.

    0: everything passed, or was lost as it says. What is not decided is neither a pass nor a failure. In the core set,
    which decides about a landing, it makes no difference, unless it is too much of it. A run of everything, or of a
    scenario by name, was made for an answer: without one the code is 1.
    """
    if outcome.reactions_ms:
        print(reactions(outcome.reactions_ms))
        for fault in judge.reaction_faults(outcome.reactions_ms):
            outcome.failed.append("reaction")
            print(f"FAIL  reaction: {fault}")
    if outcome.stood_still:
        print(f"performed once more, because the machine stood still: {', '.join(outcome.stood_still)}")
    if outcome.lost:
        print(f"lost, as they say themselves, and counted as skipped: {', '.join(outcome.lost)}")
    if outcome.undecided:
        print(f"{UNDECIDED}: failed twice, both times while the machine stood still: {', '.join(outcome.undecided)}")
        words = " ".join(_words(outcome.undecided))
        print(f'        for an answer, run on a quiet machine: make vm-test ARGS="{words}"')
    if is_core and len(outcome.undecided) > _MOST_UNDECIDED:
        outcome.failed.append("core")
        print(f"FAIL  core: more than {_MOST_UNDECIDED} are not decided, so this run has shown too little")
    counts = f"{len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.lost)} skipped"
    print(f"{counts}, {len(outcome.undecided)} not decided" if outcome.undecided else counts)
    return 1 if outcome.failed or (outcome.undecided and not is_core) else 0


def _words(names: list[str]) -> list[str]:
    """What to ask for to have them performed: a promise has no word of its own."""
    return list(dict.fromkeys(_word(name) for name in names))


def _word(name: str) -> str:
    kind, is_step, _ = name.partition(":")
    return STORY if kind == STORY else "promises" if is_step or name == "install" else name


def reactions(by_name_ms: dict[str, float]) -> str:
    """A line on how soon the first signals came, and which were later than is promised."""
    late = [f"{name} {ms:.0f} ms" for name, ms in by_name_ms.items() if ms > judge.PROMISED_REACTION_MS]
    median_ms, slowest_ms = statistics.median(by_name_ms.values()), max(by_name_ms.values())
    return (
        f"first signal after memory was below floor, in {len(by_name_ms)} scenarios: median {median_ms:.0f} ms, "
        f"slowest {slowest_ms:.0f} ms; more than {judge.PROMISED_REACTION_MS} ms: {', '.join(late) or 'none'}"
    )
