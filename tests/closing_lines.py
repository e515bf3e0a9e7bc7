"""The last lines of `make test`: what was left out for lack of root, and how many tests passed, failed or were skipped.

Usage: closing_lines.py RESULTS..., the files that pytest --junitxml wrote.
"""

import sys
from pathlib import Path
from xml.etree import ElementTree

NEEDS_ROOT = "needs root"  # what tests/conftest.py says when it skips a test


def main(files: list[Path]) -> int:
    """Print the lines. Returns 0 always, because tests/run.sh says whether the run failed."""
    if missing := [results for results in files if not results.exists()]:
        print("pytest ended before it could write its results")
    seen, failed, skipped, left_out = set(), {("pytest", results.stem) for results in missing}, set(), set()
    cases = [case for results in files if results.exists() for case in ElementTree.parse(results).iter("testcase")]
    for case in cases:  # a test that fails and cannot clean up is there twice
        name = case.get("classname", ""), case.get("name", "")
        seen.add(name)
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            failed.add(name)
        elif skip is not None:
            skipped.add(name)
            if skip.get("message") == NEEDS_ROOT:
                left_out.add(name)
    if left_out:
        print(f"left out for lack of root: {len(left_out)} (to run them too: sudo make test)")
    skipped -= failed
    print(f"{len(seen - failed - skipped)} passed, {len(failed)} failed, {len(skipped)} skipped")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(name) for name in sys.argv[1:]]))
