"""`make attack`: a table of what these tests have tried, who would do it, and how it ended. A plugin for pytest.

Each row is a test, and says what the test says of itself: the attack is the docstring of its file and its name, the
attacker is its marker `attack`, and what is left to the attacker all the same is its marker or its property `left`, or
the reason of a failure that is expected.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator

import pytest

_WIDTHS = (66, 28, 44)
_WORST = ("FAILED", "not tried", "left", "repelled")


class Row:
    """One attack: a test with all its parameters, or one scenario of a test that runs them."""

    def __init__(self, item: pytest.Item) -> None:
        marker, left = item.get_closest_marker("attack"), item.get_closest_marker("left")
        self.chapter = (item.getparent(pytest.Module).obj.__doc__ or "").partition("\n")[0]  # type: ignore[union-attr]
        self.name = _in_words(item)
        self.attacker = marker.args[0] if marker else "?"
        self.left = left.args[0] if left else ""
        self.outcomes: dict[str, str] = {}

    def outcome(self) -> str:
        """The worst of its parameters' outcomes, with its reason; what is left counts where all of them passed."""
        worst = min(self.outcomes, key=_WORST.index, default="not tried")
        if worst == "repelled" and self.left:
            return f"left: {self.left}"
        reason = self.outcomes.get(worst, "")
        return f"{worst}: {reason}" if reason else worst


class Table:
    """What has become of each attack, in the order in which they were made."""

    def __init__(self) -> None:
        self._rows: dict[str, Row] = {}
        self._of_item: dict[str, Row] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """One row for each attack that was collected."""
        for item in session.items:
            key = f"{item.nodeid.partition('::')[0]}::{_in_words(item)}"
            self._of_item[item.nodeid] = self._rows.setdefault(key, Row(item))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """How one test has ended; each of its phases may fail."""
        row = self._of_item[report.nodeid]
        for name, value in report.user_properties:
            if name == "left":
                row.left = str(value)
        if hasattr(report, "wasxfail") and report.skipped:
            row.left, row.outcomes["repelled"] = str(report.wasxfail), ""
        elif report.failed:
            row.outcomes["FAILED"] = ""
        elif report.skipped:
            said = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            row.outcomes["not tried"] = said.removeprefix("Skipped: ")
        elif report.when == "call":
            row.outcomes["repelled"] = ""

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """The table, in chapters."""
        for line in self.lines():
            terminalreporter.write_line(line)

    def lines(self) -> Iterator[str]:
        """The table for a terminal."""
        yield _line("ATTACK", "WHO", "OUTCOME")
        chapter = ""
        for row in self._rows.values():
            if row.chapter != chapter:
                chapter = row.chapter
                yield ""
                yield chapter
            yield from _wrapped(f"  {row.name}", row.attacker, row.outcome())
        kinds = [row.outcome().partition(":")[0] for row in self._rows.values()]
        counts = ", ".join(f"{kinds.count(kind)} {word}" for kind, word in _COUNTED if kinds.count(kind))
        yield ""
        yield f"{len(kinds)} attacks: {counts or 'none'}"


_COUNTED = (
    ("repelled", "repelled"),
    ("left", "of which something is left to the attacker (killer/THREATS.md)"),
    ("not tried", "not tried here"),
    ("FAILED", "FAILED"),
)


def pytest_configure(config: pytest.Config) -> None:
    """Loaded by `-p tests.hostile.attack_table`."""
    config.pluginmanager.register(Table())


def _in_words(item: pytest.Item) -> str:
    """The test's name as a sentence; that of its scenario, where it has one."""
    callspec = getattr(item, "callspec", None)
    scenario = callspec.params.get("scenario") if callspec else None
    name = scenario or re.sub(r"\[.*", "", item.name).removeprefix("test_")
    return str(name).replace("_", " ")


def _wrapped(*cells: str) -> Iterator[str]:
    columns = [
        textwrap.wrap(cell, width, subsequent_indent="  " if cell.startswith(" ") else "", drop_whitespace=True)
        for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    for at in range(max(map(len, columns))):
        yield _line(*(column[at] if at < len(column) else "" for column in columns))


def _line(*cells: str) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
