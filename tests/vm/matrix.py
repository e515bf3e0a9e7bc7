"""`make vm-matrix`: the package on each Debian that people have, booted with its own kernel and systemd.

python -m tests.vm.matrix [SUITE]... [SCENARIO]... For each suite the package is built in a chroot of that suite, and
installed in a machine of that suite. Without scenarios the core set is performed. The table is in packaging/README.md.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from .image import image
from .outcome import Outcome, close
from .performing import Plan, perform
from .scenarios import BOOTS, all_scenarios
from .selection import CORE, Selection, selected

SUITES = ("bookworm", "trixie", "forky")
PAGE = Path(__file__).parents[2] / "packaging" / "README.md"
HEAD = "| suite | kernel | systemd | Python | performed | passed | failed or not decided | exposure: killer, monitor |"
_BUILD = Path(__file__).parent / "build.sh"
_EXPOSURE, _VERSIONS = "sandbox: systemd-analyze security", "system: systemd knows every key of the units"


def main(words: list[str]) -> int:
    """0: everything passed on every suite; 1: not; 64: a word is neither a suite nor a scenario."""
    suites = [word for word in words if word in SUITES] or list(SUITES)
    asked = [word for word in words if word not in SUITES] or [CORE]
    try:
        chosen = selected(asked, {scenario.name: scenario for scenario in all_scenarios()})
    except ValueError as error:
        print(error)
        return 64
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(1))  # so that the machine and its files are gone
    codes = []
    for suite in suites:
        results = Path(f"vm-matrix-{suite}.jsonl")
        codes.append(on(suite, chosen, asked, results))
        lines = [json.loads(line) for line in results.read_text().splitlines()]
        PAGE.write_text(with_row(PAGE.read_text(), suite, row(suite, asked, lines)))
    print("\n".join(table(PAGE.read_text())))
    return max(codes)


def on(suite: str, chosen: Selection, asked: list[str], results: Path) -> int:
    """Build, boot, perform. The exit code of this suite's run."""
    results.unlink(missing_ok=True)
    with image(suite) as made:
        subprocess.run(["sh", _BUILD, suite], check=True, stdin=subprocess.DEVNULL)
        (deb,) = Path("dist", suite).glob("bustd_*_all.deb")
        outcome = Outcome(results)
        for boot in BOOTS:
            mine = [one for one in chosen.scenarios if one.boot == boot]
            promises = chosen.promises if boot == "ordinary" else []
            perform(Plan(boot, mine, "bustd", deb, promises), made, outcome)
    print(f"== {suite}: {' '.join(asked)}")
    return close(outcome, is_core=asked == [CORE])


def row(suite: str, asked: list[str], lines: list[dict[str, Any]]) -> str:
    """The table's row from the lines of one run; what was performed again counts as it ended."""
    last = {line["name"]: line for line in lines}
    passed = [name for name, line in last.items() if line["verdict"] == "pass"]
    others = [f"{name} ({line['verdict']})" for name, line in last.items() if name not in passed]
    versions = last.get(_VERSIONS, {}).get("report", {}).get("versions", {})
    scores = last.get(_EXPOSURE, {}).get("report", {}).get("scores", {})
    cells = [
        suite,
        *(versions.get(name, "") for name in ("kernel", "systemd", "python")),
        " ".join(asked),
        f"{len(passed)} of {len(last)}",
        ", ".join(others) or "none",
        ", ".join(str(scores.get(f"bustd-{half}.service", "?")) for half in ("killer", "monitor")),
    ]
    return f"| {' | '.join(cells)} |"


def table(page: str) -> list[str]:
    """The lines of the table on the page. Raises ValueError if there is none."""
    lines = page.splitlines()
    begin = lines.index(HEAD)
    end = next((number for number in range(begin, len(lines)) if not lines[number].startswith("|")), len(lines))
    return lines[begin:end]


def with_row(page: str, suite: str, new: str) -> str:
    """The page with this row for this suite, and the rows of others as they were."""
    old = table(page)
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in old[2:]} | {suite: new}
    whole = [*old[:2], *(rows[name] for name in SUITES if name in rows)]
    return page.replace("\n".join(old), "\n".join(whole))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
