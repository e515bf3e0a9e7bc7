"""The closing lines of a run, and its exit code."""

from pathlib import Path

import pytest

from tests.vm.outcome import Outcome, close

STOOD = {"stood_still_ms": 4000, "took_s": 31.4, "log": ["what bustd said"]}


@pytest.fixture
def outcome(tmp_path: Path) -> Outcome:
    """Of a run in which one step has passed."""
    made = Outcome(tmp_path / "results.jsonl")
    made.record("bustd", "one", {}, [], None)
    return made


def last_lines(capsys, count: int) -> list[str]:
    return capsys.readouterr().out.splitlines()[-count:]


def test_a_run_in_which_everything_passed_says_so_and_how_long_each_step_took(outcome, capsys):
    outcome.record("bustd", "two", STOOD, [], None)
    assert close(outcome, is_core=True) == 0
    assert last_lines(capsys, 2) == ["pass  two (31 s)", "2 passed, 0 failed, 0 skipped"]


@pytest.mark.parametrize("is_core", [True, False])
def test_one_failure_fails_the_run(outcome, capsys, is_core):
    outcome.record("bustd", "two", {}, ["leak lives"], None)
    assert close(outcome, is_core=is_core) == 1
    assert last_lines(capsys, 1) == ["1 passed, 1 failed, 0 skipped"]


@pytest.mark.parametrize(("is_core", "code"), [(True, 0), (False, 1)])
def test_what_is_not_decided_is_counted_by_itself_and_fails_only_a_run_that_was_made_for_an_answer(
    outcome, capsys, is_core, code
):
    outcome.set_aside("bustd", "two", STOOD, ["leak lives"])
    outcome.leave_undecided("bustd", "two", STOOD, ["leak lives"])
    assert "NOT DECIDED  two: the machine stood still for 4000 ms, both times: leak lives" in capsys.readouterr().out
    outcome.leave_undecided("bustd", "promise: no", STOOD, ["no"])
    outcome.leave_undecided("bustd", "story: a leak", STOOD, ["no"])
    assert close(outcome, is_core=is_core) == code
    assert last_lines(capsys, 4) == [
        "performed once more, because the machine stood still: two",
        "NOT DECIDED: failed twice, both times while the machine stood still: two, promise: no, story: a leak",
        '        for an answer, run on a quiet machine: make vm-test ARGS="two promises story"',
        "1 passed, 0 failed, 0 skipped, 3 not decided",
    ]


@pytest.mark.parametrize(("count", "code"), [(3, 0), (4, 1)])
def test_a_core_set_of_which_too_much_is_not_decided_fails(outcome, capsys, count, code):
    for number in range(count):
        outcome.leave_undecided("bustd", str(number), STOOD, ["no"])
    assert close(outcome, is_core=True) == code
    assert last_lines(capsys, 1) == [f"1 passed, {code} failed, 0 skipped, {count} not decided"]


def test_a_failure_beside_what_is_not_decided_fails_the_core_set(outcome):
    outcome.leave_undecided("bustd", "two", STOOD, ["no"])
    outcome.record("bustd", "three", {}, ["no"], None)
    assert close(outcome, is_core=True) == 1


def test_a_median_reaction_beyond_the_promise_fails_the_run(outcome, capsys):
    outcome.reactions_ms = {str(number): 151.0 for number in range(5)}
    assert close(outcome, is_core=True) == 1
    assert last_lines(capsys, 2) == ["FAIL  reaction: the median reaction is 151 ms", "1 passed, 1 failed, 0 skipped"]
