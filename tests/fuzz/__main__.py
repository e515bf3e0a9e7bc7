"""`make fuzz`: coverage-guided fuzzing of every target by atheris, in turn; a fault leaves a reproducer and fails.

`make fuzz ARGS="--minutes 30"` divides the time among the targets, `--only trace` leaves out all others, `--keep` puts
what reaches new code into the corpus in the tree. With `--only trace`, `--reproduce FILE` runs one input, and `--add
FILE` puts it into the corpus, where every test run finds it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz import corpus
from tests.fuzz.judging import judge
from tests.fuzz.targets import TARGETS

CRASHES = Path("fuzz-crashes")
_HANGS_S = 20
_EXECUTED = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")
_BYTES_OF_A_TARGET = 7_000


def libfuzzer(target: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run it on one target, in a process of its own; what it says is on stdout."""
    command = [sys.executable, "-m", "tests.fuzz.one", target, *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")


def fuzzed(target: str, seconds: int, found: Path) -> tuple[int, bool]:
    """How many inputs were tried, and whether there was no fault. New inputs go to `found`."""
    CRASHES.mkdir(exist_ok=True)
    ran = libfuzzer(
        target,
        f"-max_total_time={seconds}",
        f"-timeout={_HANGS_S}",
        "-print_final_stats=1",
        "-rss_limit_mb=1024",
        f"-artifact_prefix={CRASHES}/{target}-",
        found,
    )
    executed, covered = _EXECUTED.search(ran.stdout), _COVERED.findall(ran.stdout)
    count = int(executed[1]) if executed else 0
    edges = covered[-1] if covered else "?"
    print(f"{target:16} {count:>10} inputs, {edges:>5} edges, exit {ran.returncode}", flush=True)
    if ran.returncode:
        print("\n".join(ran.stdout.splitlines()[-40:]), flush=True)
    return count, ran.returncode == 0


def kept(target: str, found: Path) -> None:
    """Add to the corpus in the tree what reaches new code, as far as there is room."""
    inputs = [path.read_bytes() for path in found.iterdir()]
    corpus.keep(target, corpus.grown(TARGETS[target].run, corpus.inputs(target), inputs, _BYTES_OF_A_TARGET))


def main() -> int:
    """0: no fault was found."""
    parser = argparse.ArgumentParser(prog="make fuzz", usage='make fuzz ARGS="..."')
    parser.add_argument("--minutes", type=float, default=5, help="for all targets together (5)")
    parser.add_argument("--only", action="append", choices=TARGETS, help="this target; may be given several times")
    parser.add_argument("--reproduce", type=Path, help="run this one input")
    parser.add_argument("--add", type=Path, nargs="+", help="put these reproducers into the corpus in the tree")
    parser.add_argument("--keep", action="store_true", help="write what was found into the corpus in the tree")
    options = parser.parse_args()
    targets = options.only or list(TARGETS)
    if options.reproduce:
        judge(TARGETS[targets[0]], options.reproduce.read_bytes())
        print("no fault")
        return os.EX_OK
    if options.add:
        corpus.keep(targets[0], [*corpus.inputs(targets[0]), *(path.read_bytes() for path in options.add)])
        return os.EX_OK
    seconds = max(1, round(60 * options.minutes / len(targets)))
    began, total, faulty = time.monotonic(), 0, []
    with tempfile.TemporaryDirectory(prefix="bustd-corpus-") as place:
        for target in targets:
            found = corpus.unpacked(target, Path(place) / target)
            count, is_sound = fuzzed(target, seconds, found)
            total += count
            faulty += [] if is_sound else [target]
            if options.keep and is_sound:
                kept(target, found)
    print(f"{total} inputs in {time.monotonic() - began:.0f} s, {len(targets)} targets")
    if faulty:
        print(f"FAULTS in {', '.join(faulty)}: see above and {CRASHES}/")
    return 1 if faulty else os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
