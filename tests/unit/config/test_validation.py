import itertools
import math
import os
import pwd

import pytest
from hypothesis import given, settings
from hypothesis.strategies import text

from bustd_shared.rules.globs import least_bytes
from bustd_shared.rules.protection import matches_glob
from bustd_shared.rules.schema import Key, Problem, Schema, with_defaults
from bustd_shared.rules.validation import UID_MAX, above, nearest_key, shown, validate

SCHEMA: Schema = {
    "verbose": Key("bool", False, ""),
    "conditions": {
        "floor": {
            "available_percent": Key("number", 10, "", 0, 100),
            "swap_percent": Key("number", 10, "", 0, 100),
        },
        "pressure": {"psi_some_avg10": Key("number", 25, "", 0, 100), "seconds": Key("int", 2, "", 1, 60)},
    },
    "victims": {
        "scope": Key("string", "process", "", choices=("process", "group")),
        "title": Key("string", "x", ""),
        "socket": Key("path", "/run/x", ""),
        "owner": Key("user", "no-such-user", ""),
        "words": Key("strings", [], ""),
        "units": Key("globs", [], ""),
        "names": Key("names", [], ""),
        "users": Key("users", [], ""),
    },
}


def values_of(document: dict) -> dict:
    values, problems = validate(document, SCHEMA, "f.toml")
    assert problems == []
    return values


def lines_of(document: dict) -> list[str]:
    return [problem.line() for problem in validate(document, SCHEMA, "f.toml")[1]]


def line_of(document: dict) -> str:
    (line,) = lines_of(document)
    return line


def victims(key: str, value: object) -> dict:
    return {"victims": {key: value}}


def test_values_that_fit_come_out_as_given_and_without_defaults():
    document = {"verbose": True, "conditions": {"floor": {"swap_percent": 2.5}}}
    assert values_of(document) == document


def test_an_empty_document_gives_nothing_and_is_no_problem():
    assert values_of({}) == {}


def test_an_empty_table_is_no_problem():
    assert values_of({"conditions": {"floor": {}}}) == {"conditions": {"floor": {}}}


def test_defaults_fill_what_is_not_given():
    whole = with_defaults({"conditions": {"floor": {"swap_percent": 3}}}, SCHEMA)
    assert whole["conditions"] == {
        "floor": {"available_percent": 10, "swap_percent": 3},
        "pressure": {"psi_some_avg10": 25, "seconds": 2},
    }
    assert whole["verbose"] is False


def test_a_default_list_is_not_shared_with_its_schema():
    with_defaults({}, SCHEMA)["victims"]["units"].append("x")
    assert with_defaults({}, SCHEMA)["victims"]["units"] == []


def test_an_unknown_key_is_named_with_the_nearest_known_one():
    assert (
        line_of({"conditions": {"flor": {}}})
        == "f.toml: conditions.flor: unknown key; nearest known key: conditions.floor"
    )


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("verbos", "verbose"),
        ("floor", "conditions.floor"),
        ("swap_percent", "conditions.floor.swap_percent"),
        ("conditions.floor.avail", "conditions.floor.available_percent"),
        ("conditions.pressure.psi", "conditions.pressure.psi_some_avg10"),
        ("conditions.presure", "conditions.pressure"),
        ("victims.unit", "victims.units"),
        ("victims.usres", "victims.users"),
        ("zzzzzzzz", ""),
        ("x" * 1000, ""),
        ("", ""),
    ],
)
def test_the_nearest_key_may_be_in_another_table(unknown, nearest):
    assert nearest_key(unknown, SCHEMA) == nearest


def test_the_table_that_an_unknown_key_is_in_is_not_suggested_for_it():
    assert nearest_key("conditions.floor.floor", SCHEMA) != "conditions.floor"


def test_an_unknown_key_without_a_near_one_is_only_unknown():
    assert line_of({"zzzzzzzz": 1}) == "f.toml: zzzzzzzz: unknown key"


def test_every_problem_is_reported_and_not_the_first_one_only():
    lines = lines_of({"zzzzzzzz": 1, "verbose": 1, "conditions": {"floor": {"swap_percent": -1}}})
    assert [line.split(": ")[1] for line in lines] == ["zzzzzzzz", "verbose", "conditions.floor.swap_percent"]


def test_a_wrong_value_is_left_out_of_the_values():
    values, problems = validate({"verbose": "yes", "victims": {"scope": "group"}}, SCHEMA, "f.toml")
    assert values == {"victims": {"scope": "group"}}
    assert problems == [Problem("f.toml", "verbose", '"yes"', "true or false")]


def test_a_value_where_a_table_belongs_is_a_problem():
    assert line_of({"conditions": 5}) == "f.toml: conditions: expected a table, found 5"
    assert line_of({"conditions": [{}]}) == "f.toml: conditions: expected a table, found a list"


def test_a_table_where_a_value_belongs_is_a_problem():
    assert line_of({"verbose": {}}) == "f.toml: verbose: expected true or false, found a table"


@pytest.mark.parametrize("found", [0, 1, "true", [], 1.0])
def test_a_bool_is_nothing_but_true_and_false(found):
    assert "expected true or false" in line_of({"verbose": found})


@pytest.mark.parametrize("value", [1, 60])
def test_an_int_may_be_at_both_ends_of_its_range(value):
    assert values_of({"conditions": {"pressure": {"seconds": value}}}) == {
        "conditions": {"pressure": {"seconds": value}}
    }


@pytest.mark.parametrize("found", [0, 61, -1, 2.0, True, "2", [], 2**70])
def test_an_int_out_of_range_or_of_another_type_is_a_problem(found):
    assert "conditions.pressure.seconds: expected a whole number from 1 to 60, found " in line_of(
        {"conditions": {"pressure": {"seconds": found}}}
    )


@pytest.mark.parametrize("value", [0, 100, 0.0, 12.5])
def test_a_number_may_be_an_int_or_a_float(value):
    assert values_of({"conditions": {"floor": {"swap_percent": value}}})["conditions"]["floor"]["swap_percent"] == value


@pytest.mark.parametrize(
    "found", [-0.1, 100.1, math.nan, -math.nan, math.inf, -math.inf, True, False, "x", None, 10**400]
)
def test_a_number_that_is_no_number_or_not_finite_or_out_of_range_is_a_problem(found):
    assert ": expected a number from 0 to 100, found " in line_of({"conditions": {"floor": {"swap_percent": found}}})


def test_the_line_says_what_was_found():
    line = line_of({"conditions": {"floor": {"swap_percent": "x"}}})
    assert line == 'f.toml: conditions.floor.swap_percent: expected a number from 0 to 100, found "x"'


def test_a_choice_is_one_of_its_texts():
    assert values_of(victims("scope", "group")) == victims("scope", "group")
    assert line_of(victims("scope", "cgroup")) == (
        'f.toml: victims.scope: expected one of "process", "group", found "cgroup"'
    )


@pytest.mark.parametrize("found", [1, True, [], {}, None])
def test_a_choice_of_another_type_is_a_problem(found):
    assert 'expected one of "process", "group"' in line_of(victims("scope", found))


@pytest.mark.parametrize("found", ["", "a\0b", "\udc80", 1, None])
def test_a_text_is_neither_empty_nor_has_it_a_nul_or_bytes_outside_of_utf8(found):
    assert "victims.title: expected a text" in line_of(victims("title", found))


@pytest.mark.parametrize("value", ["/x", "/" + "x" * 106])
def test_a_path_is_absolute_and_fits_into_a_socket_address(value):
    assert values_of(victims("socket", value)) == victims("socket", value)


@pytest.mark.parametrize("found", ["x", "", "./x", "/" + "x" * 107, "/" + "é" * 60, "/a\0", 1])
def test_a_path_that_no_socket_can_have_is_a_problem(found):
    assert "expected an absolute path of at most 107 bytes" in line_of(victims("socket", found))


@pytest.mark.parametrize("key", ["words", "units", "names", "users"])
@pytest.mark.parametrize("found", ["x", 1, {}, True, None])
def test_a_single_value_where_a_list_belongs_is_a_problem(key, found):
    assert f"victims.{key}: expected a list of " in line_of(victims(key, found))


@pytest.mark.parametrize("key", ["words", "units", "names", "users"])
def test_a_list_may_be_empty(key):
    assert values_of(victims(key, [])) == victims(key, [])


def test_each_wrong_item_of_a_list_is_a_problem_of_its_own_and_the_others_stay():
    values, problems = validate(victims("units", ["a*", 1, "", "b"]), SCHEMA, "f.toml")
    assert values == victims("units", ["a*", "b"])
    assert [problem.key for problem in problems] == ["victims.units[1]", "victims.units[2]"]


def test_names_become_bytes():
    assert values_of(victims("names", ["café*"])) == victims("names", ["café*".encode()])


def test_a_name_from_the_command_line_need_not_be_utf8():
    assert values_of(victims("names", [os.fsdecode(b"\xff\xfe*")])) == victims("names", [b"\xff\xfe*"])


@pytest.mark.parametrize(
    "name",
    [
        "a" * 15,
        "a" * 15 + "*",
        "*" * 40,
        "?" * 15,
        "[abcdefghijklmnopq]" * 15,
        "é" * 7,
        "[[:alpha:]]" * 15,
        "a*b*c*d*e*f*g*h*",
    ],
)
def test_a_name_that_some_comm_of_15_bytes_has_is_accepted(name):
    assert values_of(victims("names", [name])) == victims("names", [name.encode()])


@pytest.mark.parametrize(
    "name",
    [
        "a" * 16,
        "a" * 16 + "*",
        "*" + "a" * 16,
        "?" * 16,
        "[ab]" * 16,
        "é" * 8,
        "dbus-broker-launch",
        "a" * 8 + "*" + "b" * 8,
    ],
)
def test_a_name_that_is_longer_than_any_comm_is_a_problem(name):
    assert "comm has at most 15 bytes" in line_of(victims("names", [name]))


@pytest.mark.parametrize("key", ["names", "units"])
@pytest.mark.parametrize("glob", ["[", "a[b", "[]", "[!]", "[[:alpha:]", "a[b]c[", "[^]"])
def test_a_bracket_that_is_never_closed_is_a_problem(key, glob):
    expected = f'f.toml: victims.{key}[0]: expected a glob with a ] for each [, found "{glob}"'
    assert line_of(victims(key, [glob])) == expected


@pytest.mark.parametrize("key", ["names", "units"])
@pytest.mark.parametrize("found", ["", "a\0", 1, None, True, []])
def test_a_glob_is_a_text_that_can_match(key, found):
    assert f"victims.{key}[0]: expected a glob" in line_of(victims(key, [found]))


@pytest.mark.parametrize(
    ("glob", "count"),
    [
        ("", 0),
        ("*", 0),
        ("abc", 3),
        ("a?c", 3),
        ("a[bc]d", 3),
        ("[]x]", 1),
        ("[!]x]y", 2),
        ("[^]x]y", 2),
        ("[[:digit:]x]y", 2),
        ("[[=]=]]", 1),
        ("[[:x]", 1),
        ("]", 1),
        ("a]", 2),
        ("é", 2),
        ("\\*", 1),
    ],
)
def test_the_shortest_text_that_a_glob_matches_is_counted_in_bytes(glob, count):
    assert least_bytes(glob) == count


def test_users_become_uids():
    assert values_of(victims("users", ["root", 0, 1234, UID_MAX])) == victims("users", [0, 0, 1234, UID_MAX])


@pytest.mark.parametrize("found", ["no-such-user", "", "1000", -1, UID_MAX + 1, True, 1.0, None, "a\0b", "\udc80"])
def test_a_user_who_does_not_exist_is_a_problem(found):
    assert "victims.users[0]: expected the name of a user of this machine, or a uid" in line_of(
        victims("users", [found])
    )


def test_a_single_user_becomes_a_uid():
    assert values_of(victims("owner", "root")) == victims("owner", 0)
    assert values_of(victims("owner", 7)) == victims("owner", 7)


def test_the_default_user_may_be_missing_on_this_machine():
    assert values_of(victims("owner", "no-such-user")) == victims("owner", "no-such-user")


def test_another_user_than_the_default_may_not_be_missing():
    assert "victims.owner: expected the name of a user" in line_of(victims("owner", "nobody-of-that-name"))


def test_a_user_database_that_fails_is_a_problem_and_no_traceback(monkeypatch):
    def fail(_name):
        raise OSError("no answer")

    monkeypatch.setattr(pwd, "getpwnam", fail)
    assert "expected the name of a user" in line_of(victims("users", ["root"]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (False, "false"),
        (3, "3"),
        (2.5, "2.5"),
        (math.nan, "nan"),
        ("x", '"x"'),
        ("x" * 100, '"' + "x" * 60 + '…"'),
        ([1], "a list"),
        ({}, "a table"),
        (2**5000000, "a number of more than 64 bits"),
        (None, "a NoneType"),
    ],
    ids=lambda value: str(value)[:20] if not isinstance(value, int) or value < 2**64 else "huge",
)
def test_a_value_is_shown_as_it_stands_in_a_file_and_never_longer_than_a_line(value, text):
    assert shown(value) == text


def test_a_line_has_nothing_in_it_that_could_disturb_a_terminal_or_forge_a_second_line():
    document = {"evil\n\x1b[2Jkey": 1}
    line = validate(document, SCHEMA, "f\n\udc80.toml")[1][0].line()
    assert line == r"f\n\udc80.toml: evil\n\x1b[2Jkey: unknown key"


def test_a_very_long_key_is_cut_in_the_line():
    assert len(line_of({"x" * 100_000: 1})) < 200


def test_a_key_above_its_limit_is_a_problem_of_the_file_that_said_so():
    values = {"a": {"x": 5, "y": 3}}
    assert above(values, {"a.x": "one.toml", "a.y": "two.toml"}, "a.x", "a.y") == [
        Problem("one.toml", "a.x", "5", "at most a.y (3)")
    ]
    assert above(values, {"a.y": "two.toml"}, "a.x", "a.y")[0].file == "two.toml"


def test_a_key_at_its_limit_is_no_problem():
    assert above({"a": 3, "b": 3}, {}, "a", "b") == []


TEXTS = [bytes(letters) for length in range(5) for letters in itertools.product(b"ab[:", repeat=length)]


@settings(database=None, deadline=None)
@given(text(alphabet="ab[]!^*?:", max_size=8))
def test_no_text_that_a_glob_matches_is_shorter_than_what_was_counted(glob):
    try:
        least = least_bytes(glob)
    except ValueError:
        return
    shortest = min((len(match) for match in TEXTS if matches_glob(glob.encode(), match)), default=least)
    assert shortest >= least
