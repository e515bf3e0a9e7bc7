"""The screens of docs/what-you-see.md, from the results of `make vm-test ARGS=story`: python -m tests.vm.screens [FILE]

The page says where each belongs; what is between is replaced, and nothing else.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path

from .scenarios import STORY

PAGE = Path(__file__).parents[2] / "docs" / "what-you-see.md"
_COLUMNS = 110
"""What is longer goes on in the next line, after a space."""
_WRAPPED = textwrap.TextWrapper(_COLUMNS, drop_whitespace=False, break_long_words=False, break_on_hyphens=False)
_BLOCK = re.compile(r"(<!-- screen: (\w+) -->\n+```text\n)(.*?)(```\n)", re.DOTALL)


def screens_of(lines: Iterable[str]) -> dict[str, str]:
    """What the story has seen the last time, by name. Raises ValueError where a step of it did not pass then."""
    steps = {line["name"]: line for line in map(json.loads, lines) if line["name"].startswith(f"{STORY}:")}
    found: dict[str, str] = {}
    for name, line in steps.items():
        if line["verdict"] != "pass":
            raise ValueError(f"{name}: {line['verdict']}")
        found |= line["report"].get("screens", {})
    return found


def shown_on(page: str) -> dict[str, str]:
    """The screens that a page has."""
    return {found[2]: found[3] for found in _BLOCK.finditer(page)}


def with_screens(page: str, screens: dict[str, str]) -> str:
    """The page with these screens. Raises KeyError for one that it shows and that is not among them."""
    return _BLOCK.sub(lambda found: f"{found[1]}{_trimmed(screens[found[2]])}{found[4]}", page)


def _trimmed(screen: str) -> str:
    lines = [line.rstrip() for line in screen.strip("\n").splitlines()]
    return "".join(f"{part.rstrip()}\n" for line in lines for part in _WRAPPED.wrap(line) or [""])


def main() -> int:
    """The command."""
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "vm-results.jsonl")
    PAGE.write_text(with_screens(PAGE.read_text(), screens_of(results.read_text().splitlines())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
