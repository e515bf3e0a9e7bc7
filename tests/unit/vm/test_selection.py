"""What a command line asks for, and that the core set stands for everything else."""

import pytest

from tests.vm.scenarios import BOOTS, all_scenarios
from tests.vm.selection import Selection, selected

from .test_judge import SCENARIO

KNOWN = {
    "one": SCENARIO._replace(name="one", core="what it stands for"),
    "two": SCENARIO._replace(name="two"),
    "three": SCENARIO._replace(name="three", core="something else"),
}
CORE = [scenario for scenario in all_scenarios() if scenario.core]


@pytest.mark.parametrize(
    ("words", "names", "promises", "is_told"),
    [
        ([], ["one", "two", "three"], ["all"], True),
        (["two"], ["two"], [], False),
        (["two", "one"], ["two", "one"], [], False),
        (["two", "two"], ["two", "two"], [], False),
        (["promises"], [], ["all"], False),
        (["two", "promises"], ["two"], ["all"], False),
        (["story"], [], [], True),
        (["core"], ["one", "three"], ["core"], False),
        (["core", "two"], ["one", "three", "two"], ["core"], False),
        (["three", "core", "story"], ["one", "three"], ["core"], True),
        (["core", "promises"], ["one", "three"], ["all"], False),
    ],
)
def test_the_words_of_a_command_line_say_what_is_performed(words, names, promises, is_told):
    assert selected(words, KNOWN) == Selection([KNOWN[name] for name in names], promises, is_told)


def test_a_word_that_is_nothing_is_an_error_that_names_what_there_is():
    said = "no such scenario: four, zero; there are one, two, three, promises, story, and core"
    with pytest.raises(ValueError, match=said):
        selected(["zero", "core", "four"], KNOWN)


def test_the_core_set_is_a_dozen_that_boots_few_machines():
    assert 10 <= len(CORE) <= 14
    assert len({scenario.core for scenario in CORE}) == len(CORE), "two stand for the same"
    assert {scenario.boot for scenario in CORE} <= {"ordinary", "small", "large"} < set(BOOTS)


def test_the_core_set_has_each_kind_of_end_and_of_disturbance():
    assert {work.fate for scenario in CORE for work in scenario.work} >= {"dies", "lives", "stuck"}
    assert [scenario.name for scenario in CORE if all(work.fate == "lives" for work in scenario.work)], "nothing dies"
    assert {scenario.swap for scenario in CORE} >= {"none", "disk"}
    assert [scenario.name for scenario in CORE if scenario.blow], "no half is ended"
    assert [scenario.name for scenario in CORE if scenario.settings], "no setting"
    assert {name for scenario in CORE for name in scenario.prepare} >= {"hidepid", "frozen"}
