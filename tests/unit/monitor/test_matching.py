"""The user's rules: which process a matcher fits, and that the first that fits is named."""

import pytest

from bustd_monitor.ranking.matching import matched_by
from tests.unit.monitor.making import matchers, process

EVERYTHING = matchers(
    units=("db*.service",), uids=(26,), names=(b"leak?", b"\xff*"), commands=("*--leak*", "python3 -c *")
)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"unit": "db1.service"}, "unit db*.service"),
        ({"uid": 26}, "uid 26"),
        ({"comm": b"leak2"}, "name leak?"),
        ({"comm": b"\xff\xfe"}, r"name \xff*"),
        ({"command": "/usr/bin/eater --leak=5"}, "command *--leak*"),
        ({"command": "python3 -c pass"}, "command python3 -c *"),
        ({}, ""),
        ({"command": ""}, ""),
        ({"command": "python3 -cpass"}, ""),
        ({"command": "--lea"}, ""),
        ({"unit": "xdb.service", "uid": 27, "comm": b"leak"}, ""),
    ],
)
def test_each_kind_of_matcher_fits_what_it_says(changed, words):
    assert matched_by(EVERYTHING, process(**changed)) == words


def test_one_that_fits_is_enough_and_units_are_asked_first():
    both = process(unit="db.service", uid=26, comm=b"leak2", command="--leak")
    assert matched_by(EVERYTHING, both) == "unit db*.service"
    assert matched_by(EVERYTHING._replace(units=(), uids=(), names=()), both) == "command *--leak*"


def test_without_rules_no_process_matches():
    assert matched_by(matchers(), process(unit="x", command="x")) == ""


def test_a_command_line_that_is_not_known_is_not_matched_by_a_glob_that_matches_anything():
    anything = matchers(commands=("*",))
    assert matched_by(anything, process(command="")) == ""
    assert matched_by(anything, process(command="x")) == "command *"


def test_a_command_line_that_is_not_utf_8_is_matched_as_it_is_shown():
    shown = b"eat \xff".decode("utf-8", "backslashreplace")
    assert matched_by(matchers(commands=("eat *",)), process(command=shown)) == "command eat *"
