"""Fail if tests cover less than 95 % of the branches, or of the lines, of a part that must be right.

Reads the data that the pytest run left in $COVERAGE_FILE.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

LEAST_PERCENT = 95.0
GROUPS = {
    "the protocol": "protocol/bustd_protocol/",
    "the killer's rules": "killer/bustd_killer/checks.py",
    "the killer's rate": "killer/bustd_killer/rate.py",
    "the monitor's conditions": "monitor/bustd_monitor/conditions/",
    "the monitor's decide": "monitor/bustd_monitor/deciding/",
    "the monitor's driver": "monitor/bustd_monitor/driver.py",
}


def share_percent(covered: int, total: int) -> float:
    """Covered as a percentage of total; 100 if total is 0."""
    return 100.0 * covered / total if total else 100.0


def judge(name: str, where: str, files: dict[str, dict[str, dict[str, int]]]) -> bool:
    """Print the line of one group. Returns whether it has enough coverage."""
    summaries = [file["summary"] for path, file in files.items() if path.startswith(where)]
    if not sum(summary["num_statements"] for summary in summaries):
        print(f"FAILED  {name}: {where} was not measured at all")
        return False
    covered, branches = (sum(summary[key] for summary in summaries) for key in ("covered_branches", "num_branches"))
    branch_percent = share_percent(covered, branches)
    # Lines count too: otherwise a file without a branch would count as covered although no test runs it.
    line_percent = share_percent(
        sum(summary["covered_lines"] for summary in summaries), sum(summary["num_statements"] for summary in summaries)
    )
    enough = min(branch_percent, line_percent) >= LEAST_PERCENT
    print(
        f"{'ok    ' if enough else 'FAILED'}  {name}: {branch_percent:.1f} % of branches ({covered} of {branches}), "
        f"{line_percent:.1f} % of lines; at least {LEAST_PERCENT:g} % ({where})"
    )
    return enough


def main() -> int:
    """0 when every group has enough, 1 otherwise."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", report], check=False)
        files = json.loads(report.read_bytes())["files"] if report.exists() else {}
    verdicts = [judge(name, where, files) for name, where in GROUPS.items()]  # so that every group prints its line
    return 0 if all(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
