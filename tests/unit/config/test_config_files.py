import os
import socket

import pytest

from bustd_shared.rules import config_files
from bustd_shared.rules.config_files import MOST_BYTES, Loaded, add, merged, read
from bustd_shared.rules.schema import Key, Schema

SCHEMA: Schema = {
    "verbose": Key("bool", False, ""),
    "floor": {"percent": Key("number", 10, "", 0, 100), "mib": Key("int", 1024, "", 1, 4096)},
    "never": {"units": Key("globs", [], ""), "names": Key("names", [], "")},
}

AS_ROOT = pytest.mark.root
NOBODY = 65534


@pytest.fixture
def main(tmp_path):
    """The main file, which is not there yet, in a directory that nobody else can write to."""
    return tmp_path / "bustd.toml"


@pytest.fixture
def drop_in(main):
    def write(name: str, text: str):
        directory = main.with_name("bustd.toml.d")
        directory.mkdir(exist_ok=True, mode=0o755)
        path = directory / name
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


def lines(reading: Loaded) -> list[str]:
    return [problem.line() for problem in reading.problems]


def line(reading: Loaded) -> str:
    (only,) = lines(reading)
    return only


def test_a_file_that_is_missing_gives_no_value_and_no_problem(main):
    assert read(main, SCHEMA) == Loaded({}, [], [], {})


def test_a_file_that_is_missing_is_a_problem_when_it_is_required(main):
    assert line(read(main, SCHEMA, required=True)) == f"{main}: no such file"


def test_a_link_to_nothing_is_a_problem_though_no_file_is_required(main):
    main.symlink_to("nowhere")
    assert line(read(main, SCHEMA)) == f"{main}: no such file"


def test_a_path_below_a_file_is_a_problem(main):
    main.write_text("")
    assert f"{main}/x.toml: can't be read: Not a directory" in lines(read(main / "x.toml", SCHEMA))


def test_the_file_is_read_with_its_values_and_where_they_come_from(main):
    main.write_text('verbose = true\n[floor]\npercent = 2.5\n[never]\nnames = ["a"]\n')
    values = {"verbose": True, "floor": {"percent": 2.5}, "never": {"names": [b"a"]}}
    origins = dict.fromkeys(("verbose", "floor.percent", "never.names"), str(main))
    assert read(main, SCHEMA) == Loaded(values, [], [str(main)], origins)


def test_a_path_may_be_given_as_text(main):
    main.write_text("verbose = true")
    assert read(str(main), SCHEMA).values == {"verbose": True}


def test_a_later_file_overrides_single_values_and_appends_to_lists(main, drop_in):
    main.write_text('[floor]\npercent = 1\nmib = 7\n[never]\nunits = ["a"]\n')
    second = drop_in("20-b.toml", '[floor]\npercent = 3\n[never]\nunits = ["c"]\n')
    first = drop_in("10-a.toml", '[floor]\npercent = 2\n[never]\nunits = ["b"]\nnames = ["x"]\n')
    reading = read(main, SCHEMA)
    assert reading.values == {"floor": {"percent": 3, "mib": 7}, "never": {"units": ["a", "b", "c"], "names": [b"x"]}}
    assert reading.files == [str(main), str(first), str(second)]
    assert reading.origins["floor.percent"] == str(second)
    assert reading.origins["floor.mib"] == str(main)


def test_drop_ins_count_in_the_order_of_their_names_and_not_of_the_directory(main, drop_in):
    for number in (7, 2, 9, 4, 1, 8, 3, 6, 5):
        drop_in(f"{number}.toml", f'[never]\nunits = ["{number}"]')
    assert read(main, SCHEMA).values["never"]["units"] == list("123456789")


def test_drop_ins_count_without_a_main_file(main, drop_in):
    drop_in("x.toml", "verbose = true")
    assert read(main, SCHEMA).values == {"verbose": True}


def test_other_files_beside_the_drop_ins_are_not_read(main, drop_in):
    for name in ("README", "x.toml~", ".x.toml", "x.toml.bak", "x.TOML"):
        drop_in(name, "this is no TOML")
    assert read(main, SCHEMA) == Loaded({}, [], [], {})


def test_each_file_is_named_in_its_own_problems(main, drop_in):
    main.write_text("verbos = true")
    path = drop_in("x.toml", "verbose = 1")
    assert lines(read(main, SCHEMA)) == [
        f"{main}: verbos: unknown key; nearest known key: verbose",
        f"{path}: verbose: expected true or false, found 1",
    ]


def test_a_broken_file_does_not_hide_the_problems_of_the_next(main, drop_in):
    main.write_text("verbose = ")
    drop_in("1.toml", "verbose = 1")
    drop_in("2.toml", "= ")
    assert len(lines(read(main, SCHEMA))) == 3


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("verbose = true\nthis is not TOML\n", "(at line 2, column 6)"),
        ("verbose = ", "(at end of document)"),
        ("verbose = true\nverbose = false\n", "(at line 3, column 1)"),
        ("[floor]\n[floor]\n", "(at line 2, column 7)"),
        ("verbose = \x00", "(at line 1, column 11)"),
    ],
)
def test_a_syntax_error_is_a_problem_with_its_line_and_column(main, text, place):
    main.write_text(text)
    found = line(read(main, SCHEMA))
    assert found.startswith(f"{main}: not TOML: ")
    assert place in found or place == "(at line 3, column 1)"


@pytest.mark.parametrize(
    "text",
    [
        "x = " + "[" * 100_000,
        "x = " + "{a = " * 50_000,
        "x = " + "9" * 100_000,
        "x = 0x" + "f" * 100_000,
        "x = 2020-13-45",
        "x = 10:99:00",
        '"\\u0000" = 1',
        ".".join("a" * 3_000) + " = 1",
        "floor." + ".".join("a" * 3_000) + " = 1",
        "\ufeffverbose = true",
        "floor = 1e999",
        "verbose = 1979-05-27T07:32:00Z",
    ],
    ids=range(12),
)
def test_absurd_content_is_a_problem_and_never_a_traceback(main, text):
    main.write_text(text)
    found = line(read(main, SCHEMA))
    assert found.startswith(f"{main}: ")
    assert len(found) < len(str(main)) + 250
    assert found.isprintable()


def test_bytes_that_are_not_utf8_are_a_problem_with_their_line(main):
    main.write_bytes(b"verbose = true\n# caf\xe9\n")
    assert line(read(main, SCHEMA)) == f"{main}: expected text in UTF-8, found the byte 0xe9 in line 2"


def test_a_byte_order_mark_is_named(main):
    main.write_bytes(b"\xef\xbb\xbfverbose = true\n")
    expected = "text in UTF-8 without one, found a byte order mark before the first line"
    assert line(read(main, SCHEMA)) == f"{main}: expected {expected}"


def test_an_empty_file_is_in_order(main):
    main.write_text("")
    assert read(main, SCHEMA) == Loaded({}, [], [str(main)], {})


def test_a_file_of_the_greatest_length_is_read_and_a_longer_one_is_a_problem(main):
    main.write_text("verbose = true\n" + "#" * (MOST_BYTES - 15))
    assert read(main, SCHEMA).values == {"verbose": True}
    main.write_text("verbose = true\n" + "#" * (MOST_BYTES - 14))
    assert line(read(main, SCHEMA)) == f"{main}: expected at most {MOST_BYTES} bytes, found more"


def test_a_directory_is_a_problem(main):
    main.mkdir()
    assert line(read(main, SCHEMA)) == f"{main}: expected a file, found a directory"


def test_a_fifo_is_a_problem_and_does_not_hold_up_the_reader(main):
    os.mkfifo(main)
    assert line(read(main, SCHEMA)) == f"{main}: expected a file, found a FIFO"


def test_a_device_is_a_problem_and_is_not_read():
    assert line(read("/dev/zero", SCHEMA)) == "/dev/zero: expected a file, found a device"


def test_a_socket_is_a_problem(main):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(main))
        assert line(read(main, SCHEMA)) == f"{main}: can't be read: No such device or address"


def test_a_link_to_dev_null_masks_a_file(main, drop_in):
    main.symlink_to("/dev/null")
    drop_in("x.toml", "verbose = true")
    (main.parent / "bustd.toml.d" / "y.toml").symlink_to("/dev/null")
    reading = read(main, SCHEMA, trusted=True)
    assert (reading.values, reading.problems) == ({"verbose": True}, [])


def test_a_link_to_a_file_is_followed(main, tmp_path):
    (tmp_path / "real").write_text("verbose = true")
    main.symlink_to("real")
    assert read(main, SCHEMA).values == {"verbose": True}


def test_a_drop_in_that_is_a_link_to_nothing_is_a_problem(main, drop_in):
    path = drop_in("x.toml", "")
    path.unlink()
    path.symlink_to("nowhere")
    assert line(read(main, SCHEMA)) == f"{path}: no such file"


def test_a_drop_in_that_is_a_directory_is_a_problem(main):
    path = main.parent / "bustd.toml.d" / "x.toml"
    path.mkdir(parents=True)
    assert line(read(main, SCHEMA)) == f"{path}: expected a file, found a directory"


def test_a_file_where_the_directory_of_drop_ins_belongs_is_a_problem(main):
    directory = main.with_name("bustd.toml.d")
    directory.write_text("")
    assert line(read(main, SCHEMA)) == f"{directory}: can't be read: Not a directory"


def test_a_name_that_is_not_utf8_is_read_and_its_line_is_printable(main, drop_in):
    drop_in(os.fsdecode(b"\xff\n.toml"), "verbos = 1")
    found = line(read(main, SCHEMA))
    assert found == rf"{main}.d/\udcff\n.toml: verbos: unknown key; nearest known key: verbose"


@AS_ROOT
def test_a_file_that_this_user_may_not_read_is_a_problem(public_path, as_nobody):
    path = public_path / "bustd.toml"
    path.write_text("verbose = true")
    path.chmod(0o600)
    with as_nobody():
        reading = read(path, SCHEMA)
    assert line(reading) == f"{path}: can't be read: Permission denied"


@AS_ROOT
def test_drop_ins_that_this_user_may_not_list_are_a_problem(public_path, as_nobody):
    path = public_path / "bustd.toml"
    directory = public_path / "bustd.toml.d"
    directory.mkdir(mode=0o700)
    (directory / "x.toml").write_text("verbose = true")
    with as_nobody():
        reading = read(path, SCHEMA)
    assert line(reading) == f"{directory}: can't be read: Permission denied"


def test_a_file_of_this_user_that_nobody_else_can_write_is_trusted(main, drop_in):
    main.write_text("verbose = true")
    main.chmod(0o644)
    drop_in("x.toml", "[floor]\nmib = 5")
    assert read(main, SCHEMA, trusted=True).values == {"verbose": True, "floor": {"mib": 5}}


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o602, 0o620])
def test_a_file_that_others_can_write_is_not_trusted_and_not_used(main, mode):
    main.write_text("verbose = true")
    main.chmod(mode)
    reading = read(main, SCHEMA, trusted=True)
    assert line(reading) == (
        f"{main}: expected nobody but the owner to have write permission (chmod go-w {main}), found mode {mode:04o}"
    )
    assert reading.values == {}


def test_a_file_that_others_can_write_is_good_enough_where_no_trust_is_needed(main):
    main.write_text("verbose = true")
    main.chmod(0o666)
    assert read(main, SCHEMA).values == {"verbose": True}


def test_a_drop_in_that_others_can_write_is_not_trusted(main, drop_in):
    path = drop_in("x.toml", "verbose = true")
    path.chmod(0o664)
    reading = read(main, SCHEMA, trusted=True)
    assert line(reading).startswith(f"{path}: expected nobody but the owner")
    assert reading.values == {}


def test_a_directory_of_drop_ins_that_others_can_write_is_not_trusted(main, drop_in):
    drop_in("x.toml", "verbose = true")
    main.with_name("bustd.toml.d").chmod(0o775)
    reading = read(main, SCHEMA, trusted=True)
    assert line(reading).startswith(f"{main}.d: expected nobody but the owner")
    assert reading.values == {}


@AS_ROOT
def test_root_does_not_trust_a_file_of_somebody_else(main):
    main.write_text("verbose = true")
    os.chown(main, NOBODY, NOBODY)
    reading = read(main, SCHEMA, trusted=True)
    assert line(reading) == f"{main}: expected owner root, found owner uid {NOBODY}"
    assert reading.values == {}


@AS_ROOT
def test_root_does_not_trust_a_directory_of_drop_ins_of_somebody_else(main, drop_in):
    drop_in("x.toml", "verbose = true")
    os.chown(main.with_name("bustd.toml.d"), NOBODY, NOBODY)
    assert line(read(main, SCHEMA, trusted=True)) == f"{main}.d: expected owner root, found owner uid {NOBODY}"


@AS_ROOT
def test_an_ordinary_user_trusts_root_and_himself_and_nobody_else(public_path, as_nobody):
    path = public_path / "bustd.toml"
    path.write_text("verbose = true")
    path.chmod(0o644)
    found = {}
    for owner in (0, NOBODY, 1234):
        os.chown(path, owner, 0)
        with as_nobody():
            found[owner] = lines(read(path, SCHEMA, trusted=True))
    assert found == {0: [], NOBODY: [], 1234: [f"{path}: expected owner root or uid {NOBODY}, found owner uid 1234"]}


def test_a_file_is_judged_by_what_was_opened_and_not_by_the_link_to_it(main, tmp_path):
    target = tmp_path / "target"
    target.write_text("verbose = true")
    target.chmod(0o666)
    main.symlink_to(target)
    assert "chmod go-w" in line(read(main, SCHEMA, trusted=True))


def test_an_error_while_reading_is_a_problem(main, monkeypatch):
    def fail(_descriptor, _count):
        raise OSError(5, "Input/output error")

    main.write_text("verbose = true")
    monkeypatch.setattr(config_files.os, "read", fail)
    assert line(read(main, SCHEMA)) == f"{main}: can't be read: Input/output error"


def test_a_further_document_goes_on_top_of_what_was_read(main):
    main.write_text('[floor]\npercent = 1\nmib = 7\n[never]\nunits = ["a"]\n')
    reading = add(
        read(main, SCHEMA), {"floor": {"percent": 2, "mib": 0}, "never": {"units": ["b"]}}, SCHEMA, "command line"
    )
    assert reading.values == {"floor": {"percent": 2, "mib": 7}, "never": {"units": ["a", "b"]}}
    assert lines(reading) == ["command line: floor.mib: expected a whole number from 1 to 4096, found 0"]
    assert reading.origins["floor.percent"] == "command line"
    assert reading.origins["floor.mib"] == str(main)


def test_merging_changes_neither_of_the_two():
    earlier, later = {"a": {"b": [1]}}, {"a": {"b": [2], "c": 3}}
    assert merged(earlier, later) == {"a": {"b": [1, 2], "c": 3}}
    assert (earlier, later) == ({"a": {"b": [1]}}, {"a": {"b": [2], "c": 3}})
