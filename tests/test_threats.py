"""killer/THREATS.md: each sentence and each row names what shows it, and what is named exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
TEXT = (TESTS.parent / "killer" / "THREATS.md").read_text()
BODY, _, SHOWN = TEXT.partition("\n## What shows it\n")
ASSUMED = "assumed"
MOST_SENTENCES = 3
"""For which one mark may stand."""

MARK = re.compile(r"\[([a-z0-9-]+(?:,\s[a-z0-9-]+)*)\](?!\()")
_SENTENCE = re.compile(r"[.?](?=\s|$)")
_PLACE = re.compile(r"`([^`]+)`")


def blocks(text: str) -> list[str]:
    """Paragraphs, points of lists and rows of tables, each in one line; without headings and code."""
    found: list[str] = []
    is_within = False
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            is_within = False
        elif line.startswith(("- ", "|")) or not is_within:
            found.append(line)
            is_within = True
        else:
            found[-1] += f" {line.strip()}"
    return found


def is_of_a_table(block: str) -> bool:
    return block.startswith("|")


def unmarked(text: str) -> list[str]:
    """What has no mark where it needs one: the end of each paragraph and point, and each row of a table with marks.

    A table without a column for marks stands below a paragraph that has them.
    """
    found, names_marks, before = [], False, ""
    for block in blocks(text):
        if is_of_a_table(block):
            if not is_of_a_table(before):
                names_marks = "shown by" in block
            elif names_marks and not block.startswith("| ---") and not MARK.search(block.rpartition("| ")[2]):
                found.append(block)
        else:
            *_, rest = MARK.split(block)
            if rest.strip(" ;"):
                found.append(block)
            parts = MARK.split(block)[::2]
            found += [part for part in parts if len(_SENTENCE.findall(part.strip())) > MOST_SENTENCES]
        before = block
    return found


def marks(text: str) -> set[str]:
    return {name.strip() for found in MARK.findall(text) for name in found.split(",")}


def shown() -> dict[str, list[str]]:
    """By its mark, the tests that the table at the end names."""
    rows = [block.strip("| ").split(" | ") for block in blocks(SHOWN) if is_of_a_table(block)]
    return {row[0]: _PLACE.findall(row[1]) for row in rows if len(row) == 2 and _PLACE.search(row[1])}


def functions(path: Path) -> dict[str, list[str]]:
    """Each function with its decorators."""
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    return {node.name: [ast.unparse(decorator) for decorator in node.decorator_list] for node in nodes}


def test_every_sentence_is_shown_or_an_assumption() -> None:
    assert unmarked(BODY) == []


def test_every_mark_stands_in_the_table_and_none_is_there_in_vain() -> None:
    assert marks(BODY) - {ASSUMED} == set(shown())
    assert len(shown()) > 50


@pytest.mark.parametrize("place", sorted({place for places in shown().values() for place in places}))
def test_each_test_that_is_named_exists(place: str) -> None:
    file, _, name = place.partition("::")
    assert (TESTS / file).is_file()
    if file.endswith(".py"):
        decorators = functions(TESTS / file)[name]
        assert name.startswith("test_") or file.startswith("vm/guest/") or "scenario" in decorators


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("It kills. [rate] It does more.", 1),
        ("It kills. [rate]\n\n- a point\n- another; [assumed]", 1),
        ("A. B. C. D. [rate]", 1),
        ("| attack | shown by |\n| --- | --- |\n| a | [rate] |\n| b | |", 1),
        ("See [this](#there). [rate, many]", 0),
    ],
)
def test_what_has_no_mark_is_found(text: str, count: int) -> None:
    assert len(unmarked(text)) == count
