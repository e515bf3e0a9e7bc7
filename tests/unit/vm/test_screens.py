"""How the story's screens come to docs/what-you-see.md, and that the page has them all."""

import json

import pytest

from tests.vm.screens import PAGE, screens_of, shown_on, with_screens

BEFORE = "# A page\n\n<!-- screen: status -->\n```text\nold\n```\n\n```text\nno screen\n```\n"


def line(name: str, verdict: str = "pass", **report: object) -> str:
    return json.dumps({"name": name, "verdict": verdict, "report": report})


def test_a_screen_takes_the_place_of_the_one_before_and_nothing_else_changes():
    after = with_screens(BEFORE, {"status": "\nBUSTD OK  \n\\1 as it is\n\n", "other": "x"})
    assert after == BEFORE.replace("old\n", "BUSTD OK\n\\1 as it is\n")
    assert shown_on(after) == {"status": "BUSTD OK\n\\1 as it is\n"}


def test_a_screen_that_the_page_shows_and_the_run_has_not_is_an_error():
    with pytest.raises(KeyError):
        with_screens(BEFORE, {})


def test_screens_are_those_of_the_story_alone():
    lines = [line("story: one", screens={"a": "1"}), line("fast-leak", "FAIL", screens={"b": "2"}), line("story: two")]
    assert screens_of(lines) == {"a": "1"}


def test_where_the_machine_stood_still_the_second_time_counts():
    lines = [line("story: one", "stood still", screens={"a": "1"}), line("story: one", screens={"a": "2"})]
    assert screens_of(lines) == {"a": "2"}


def test_a_story_that_did_not_pass_gives_no_screen():
    with pytest.raises(ValueError, match="story: two: FAIL"):
        screens_of([line("story: one", screens={"a": "1"}), line("story: two", "FAIL")])


def test_the_page_shows_each_command_with_what_it_must_say():
    shown = shown_on(PAGE.read_text())
    says = {
        "notifications": "bustd ended leak",
        "explain": "The most likely victims, the first to die first:",
        "warnings": "floor fires: ",
        "explained": "Subject: bustd asks for the death of process",
        "status": "BUSTD OK: watching; ",
        "history": "leak",
        "whole": "(leak) died",
        "crash": "the boot ended without a shutdown",
    }
    assert set(shown) == set(says)
    assert {name for name, text in says.items() if text not in shown[name]} == set()
