"""The user's rules: which process a matcher fits, and that the first that fits is named. And root's, as advice."""

import pytest

from bustd_monitor.ranking.matching import advised_by, in_cgroup, is_among, matched_by, why_unjudged
from bustd_monitor.sensing.processes import NOT_ASKED, TOO_LONG, Process, read_process
from bustd_shared.rules.protection import SMALL_BYTES, Protection
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import matchers, process

EVERYTHING = matchers(
    units=("db*.service",),
    uids=(26,),
    names=(b"leak?", b"\xff*"),
    commands=("*--leak*", "python3 -c *"),
    cgroups=("*/app-*.scope",),
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
        ({"cgroup": "/user.slice/app.slice/app-x.scope"}, "cgroup */app-*.scope"),
        ({"cgroup": "/user.slice/app.slice/app-x.scope/below"}, "cgroup */app-*.scope"),
        ({"cgroup": "/user.slice/app.slice/app-x.service"}, ""),
        ({"cgroup": "/app.slice"}, ""),
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


@pytest.mark.parametrize(
    ("pattern", "path", "is_in"),
    [
        ("/a.slice/b.service", "/a.slice/b.service", True),
        ("/a.slice/b.service", "/a.slice/b.service/inner", True),
        ("/a.slice/b.service", "/a.slice/b.service2", False),
        ("/a.slice/b.service", "/a.slice", False),
        ("/a.slice", "/a.slice/b.service", True),
        ("/a.slice/*", "/a.slice", False),
        ("*/b.service", "/x/y/b.service/z", True),
        ("/b.service", "/x/b.service", False),
        ("a.slice", "/a.slice", False),
        ("*", "", False),
        ("/", "/a", False),
    ],
)
def test_a_control_group_is_matched_by_its_path_or_that_of_a_group_above_it(pattern, path, is_in):
    assert in_cgroup(pattern, path) is is_in


JAVA = matchers(commands=("java *DataNode", "*--precious*"))
LONG = {"command": "java -cp a.jar:b.jar", "command_trouble": TOO_LONG}


@pytest.mark.parametrize(
    ("rules", "changed", "why"),
    [
        (JAVA, LONG, TOO_LONG),
        (
            JAVA,
            {"command": "", "command_trouble": "can't be read: Permission denied"},
            "can't be read: Permission denied",
        ),
        (JAVA, {"command": "java x", "command_trouble": ""}, ""),
        (JAVA, {"command": "", "command_trouble": ""}, ""),
        (JAVA, {"command": "", "command_trouble": NOT_ASKED}, ""),
        (matchers(names=(b"x",)), LONG, ""),
        (matchers(commands=("python *",)), LONG, ""),
        (matchers(commands=("java *",)), LONG, TOO_LONG),
        (matchers(commands=("jav? *x",)), LONG, TOO_LONG),
        (matchers(commands=("jav[a] *x",)), LONG, TOO_LONG),
        (matchers(commands=("[p]ython *x",)), LONG, TOO_LONG),
        (matchers(commands=("java -cp a.jar:b.jar:c.jar*",)), LONG, TOO_LONG),
        (matchers(commands=("java -cp x*",)), LONG, ""),
    ],
)
def test_a_rule_on_a_command_line_that_is_not_known_whole_can_be_judged_only_where_its_beginning_differs(
    rules, changed, why
):
    assert why_unjudged(rules, process(**changed)) == why


@pytest.mark.parametrize(
    ("only", "changed", "is_in"),
    [
        (matchers(), {}, True),
        (matchers(names=(b"leak",)), {}, True),
        (matchers(names=(b"other",)), {}, False),
        (matchers(cgroups=("*/a.scope",)), {"cgroup": "/a.slice/a.scope/b"}, True),
        (matchers(cgroups=("*/a.scope",)), {"cgroup": ""}, False),
        (matchers(commands=("build *",)), {"command": "build x", "command_trouble": ""}, True),
        (matchers(commands=("build *",)), {"command": "other", "command_trouble": ""}, False),
        (matchers(commands=("build *",)), {"command": "", "command_trouble": ""}, False),
        (matchers(commands=("build *",)), {"command": "", "command_trouble": "has not been read yet"}, False),
        (matchers(commands=("build *",)), {"command": "", "command_trouble": NOT_ASKED}, True),
    ],
)
def test_only_what_matches_is_among_those_that_may_die_if_there_is_such_a_rule(only, changed, is_in):
    assert is_among(only, process(**changed)) is is_in
