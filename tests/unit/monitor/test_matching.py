"""The user's rules: which process a matcher fits, and that the first that fits is named. And root's, as advice."""

import pytest

from bustd_monitor.ranking.matching import advised_by, matched_by
from bustd_monitor.sensing.processes import Process, read_process
from bustd_shared.rules.protection import SMALL_BYTES, Protection
from tests.fakes.procfs import FakeProc
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


# Root's rules, by which the killer will refuse

ADVICE = Protection(units=("db.service",), uids=(26,), names=(b"mydb",), shipped_names=(b"sshd",))
LARGE = {"held_bytes": SMALL_BYTES}


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"unit": "db.service", "is_system": False}, "unit db.service"),
        ({"uid": 26, "is_system": True}, "uid 26"),
        ({"comm": b"mydb", "is_system": False}, "name mydb"),
        ({"comm": b"sshd", "is_system": True}, "name sshd"),
        ({"comm": b"sshd", "is_system": False}, ""),
        ({"comm": b"sshd", "is_system": False, "held_bytes": SMALL_BYTES - 1}, "name sshd"),
        ({"comm": b"leak", "is_system": True}, ""),
    ],
)
def test_the_advice_is_what_the_killer_will_say(changed, rule):
    asked = process(**(LARGE | changed))
    assert advised_by(ADVICE, asked) == rule
    assert advised_by(ADVICE, asked) == rule, "and the same when it is remembered"


def test_a_process_that_grows_out_of_a_shipped_name_is_not_remembered_as_protected():
    small = process(comm=b"sshd", is_system=False, held_bytes=SMALL_BYTES - 1)
    assert advised_by(ADVICE, small) == "name sshd"
    assert advised_by(ADVICE, small._replace(held_bytes=SMALL_BYTES)) == ""


@pytest.mark.parametrize(
    ("uids", "is_system"),
    [((0,) * 4, True), ((999,) * 4, True), ((1000, 0, 0, 0), False), ((0, 0, 0, 1000), False), ((1000,) * 4, False)],
)
def test_whether_a_process_is_the_systems_is_read_from_all_of_its_uids(tmp_path, uids, is_system):
    proc = FakeProc(tmp_path)
    proc.process(10, uid=uids, anonymous_kib=100_000)
    found = read_process(10, 0, proc.path)
    assert isinstance(found, Process)
    assert (found.uid, found.is_system) == (uids[1], is_system)
