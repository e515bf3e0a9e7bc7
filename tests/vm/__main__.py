"""`make vm-test`, `make vm-compare`: python -m tests.vm [test|compare|again] [SCENARIO]... --deb FILE

`again` is the end of `compare` alone: what --results has of a whole run says what has to be repeated.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from pathlib import Path

from . import comparison
from .image import Image, image
from .outcome import Outcome, close
from .performing import Plan, perform, perform_all
from .scenarios import BOOTS, STORY, Scenario, all_scenarios
from .selection import CORE, selected

_TURNS, _TIMES_IN_A_TURN = 2, 2
"""What is repeated is run so often by one daemon, then by the other; and that so often."""


def main() -> int:
    """0: everything passed, or was lost as it says; 1: not; 69: no QEMU."""
    parser = argparse.ArgumentParser(prog="python -m tests.vm")
    parser.add_argument("mode", choices=("test", "compare", "again"))
    parser.add_argument("scenarios", nargs="*", help="names; `promises`, `story`, `core`: the core set; all by default")
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
            promises = chosen.promises if boot == "ordinary" else [STORY] if boot == STORY and chosen.is_told else []
            perform(Plan(boot, mine, "bustd", options.deb, promises, options.traces), made, outcome)
    print(f"== virtual machine: {' '.join(options.scenarios) or 'everything'}")
    return close(outcome, is_core=options.scenarios == [CORE])


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


if __name__ == "__main__":
    sys.exit(main())
