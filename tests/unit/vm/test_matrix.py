"""The table of make vm-matrix: made from the lines of a run, and written beside what was seen earlier."""

import json
from pathlib import Path

import pytest

from tests.vm import matrix
from tests.vm.image import superseded

SEEN = {"kernel": "6.1.0-1-amd64", "systemd": "252.1-1", "python": "3.11.2"}
SCORES = {"bustd-killer.service": 0.7, "bustd-monitor.service": 0.6, "earlyoom.service": 2.0}
OTHERS = f"text\n\n{matrix.HEAD}\n| --- |\n| trixie | old |\n\nmore text\n"


def line(name: str, verdict: str, **report: object) -> dict:
    return {"name": name, "verdict": verdict, "report": report}


RUN = [
    line("install", "pass"),
    line("fast-leak", "stood still"),
    line("system: systemd knows every key of the units", "pass", versions=SEEN),
    line("sandbox: systemd-analyze security", "FAIL", scores=SCORES),
    line("fast-leak", "pass"),
]


def test_a_row_has_the_versions_the_counts_and_what_did_not_pass():
    assert matrix.row("bookworm", ["fast-leak", "promises"], RUN) == (
        "| bookworm | 6.1.0-1-amd64 | 252.1-1 | 3.11.2 | fast-leak promises | 3 of 4 "
        "| sandbox: systemd-analyze security (FAIL) | 0.7, 0.6 |"
    )


def test_a_run_that_did_not_get_that_far_claims_nothing():
    failed = matrix.row("forky", ["core"], [line("install", "FAIL")])
    assert failed == "| forky |  |  |  | core | 0 of 1 | install (FAIL) | ?, ? |"


@pytest.mark.parametrize(
    ("suite", "rows"),
    [
        ("trixie", ["| trixie | new |"]),
        ("bookworm", ["| bookworm | new |", "| trixie | old |"]),
        ("forky", ["| trixie | old |", "| forky | new |"]),
    ],
)
def test_a_run_of_one_suite_leaves_the_rows_of_the_others(suite, rows):
    page = matrix.with_row(OTHERS, suite, f"| {suite} | new |")
    assert matrix.table(page) == [matrix.HEAD, "| --- |", *rows]
    assert page.startswith("text\n\n") and page.endswith("|\n\nmore text\n")


def test_a_page_without_the_table_is_no_place_for_it():
    with pytest.raises(ValueError, match="not in list"):
        matrix.table("text\n")


def test_every_suite_can_have_a_row_on_the_page():
    assert matrix.table(matrix.PAGE.read_text())[0] == matrix.HEAD


def run_of(monkeypatch, tmp_path: Path, *words: str) -> tuple[int, list[tuple], str]:
    """main() with runs that pass on every suite but forky: its code, what was run, and the page."""
    page, ran = tmp_path / "README.md", []
    page.write_text(OTHERS)

    def on(suite, chosen, asked, results):
        ran.append((suite, [one.name for one in chosen.scenarios], asked))
        results.write_text("".join(json.dumps(one) + "\n" for one in RUN))
        return int(suite == "forky")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(matrix, "PAGE", page)
    monkeypatch.setattr(matrix, "on", on)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    return matrix.main(list(words)), ran, page.read_text()


def test_words_are_suites_or_scenarios_and_one_suite_that_fails_fails_all(monkeypatch, tmp_path):
    code, ran, page = run_of(monkeypatch, tmp_path, "forky", "fast-leak", "bookworm")
    assert (code, ran) == (1, [(suite, ["fast-leak"], ["fast-leak"]) for suite in ("forky", "bookworm")])
    assert [row.split()[1] for row in matrix.table(page)[2:]] == ["bookworm", "trixie", "forky"]


def test_without_words_the_core_set_is_performed_on_every_suite(monkeypatch, tmp_path):
    _, ran, _ = run_of(monkeypatch, tmp_path)
    assert [(suite, asked) for suite, _, asked in ran] == [(suite, ["core"]) for suite in matrix.SUITES]


def test_an_unknown_word_runs_nothing(monkeypatch, tmp_path):
    assert run_of(monkeypatch, tmp_path, "forky", "fast-leek") == (64, [], OTHERS)


def test_a_new_image_replaces_those_of_other_recipes_and_an_unfinished_one_of_its_own(tmp_path):
    for name in ("trixie-new", "forky-new", "forky-old", "older"):
        (tmp_path / name).mkdir()
    (tmp_path / "trixie-old.tar").touch()
    gone = superseded(tmp_path, tmp_path / "forky-new", "new")
    assert {path.name for path in gone} == {"forky-new", "forky-old", "older"}
