import json

import pytest

from bustd_monitor.arguments import Arguments
from bustd_monitor.cli import check as check_module
from bustd_monitor.cli import options
from bustd_monitor.cli.check import check as check_of


@pytest.fixture
def check(monkeypatch):
    """`bustd check`, with these as the default files; `named`: with these as the files of the command line."""

    def run(monitor, killer, *, named: bool = False, quiet: bool = False, as_json: bool = False, **on_top) -> int:
        how = {"quiet": quiet, "as_json": as_json}
        if named:
            return check_of(Arguments(str(monitor), str(killer), **on_top), **how)
        monkeypatch.setattr(options, "DEFAULT_CONFIG", str(monitor))
        monkeypatch.setattr(options, "DEFAULT_KILLER_CONFIG", str(killer))
        return check_of(Arguments(**on_top), **how)

    return run


@pytest.fixture
def paths(tmp_path):
    return tmp_path / "bustd.toml", tmp_path / "killer.toml"


@pytest.fixture
def written(paths):
    def write(monitor: str, killer: str):
        for path, text in zip(paths, (monitor, killer), strict=True):
            path.write_text(text)
            path.chmod(0o644)
        return paths

    return write


def test_files_that_are_in_order_are_named_and_the_status_is_0(check, written, capfd):
    monitor, killer = written("verbose = true", "")
    assert check(monitor, killer) == 0
    assert capfd.readouterr() == (f"bustd.toml and killer.toml are in order (files read: {monitor}, {killer})\n", "")


def test_a_dry_run_is_said(check, written, capfd):
    assert check(*written("dry_run = true", "")) == 0
    assert "note: dry run: everything is decided and logged, nothing is ever killed\n" in capfd.readouterr().out


def test_drop_ins_are_among_the_files_read(check, written, capfd):
    monitor, killer = written("", "")
    drop_in = monitor.with_name("bustd.toml.d") / "a.toml"
    drop_in.parent.mkdir()
    drop_in.write_text("")
    assert check(monitor, killer) == 0
    assert f"(files read: {monitor}, {drop_in}, {killer})" in capfd.readouterr().out


def test_no_file_at_all_is_in_order_and_said(check, paths, capfd):
    assert check(*paths) == 0
    assert "(files read: none, so that everything has its default)" in capfd.readouterr().out


def test_a_file_that_was_asked_for_by_name_has_to_be_there(check, paths, capfd):
    assert check(*paths, named=True) == 1
    assert capfd.readouterr().out.splitlines() == [f"{path}: no such file" for path in paths] + ["2 problems"]


def test_each_problem_has_a_line_of_its_own_and_the_status_is_1(check, written, capfd):
    monitor, killer = written("[conditions.flor]\n", "[limits]\navailable_percent = 101\n")
    assert check(monitor, killer) == 1
    assert capfd.readouterr() == (
        f"{monitor}: conditions.flor: unknown key; nearest known key: conditions.floor\n"
        f"{killer}: limits.available_percent: expected a whole number from 1 to 100, found 101\n"
        "2 problems\n",
        "",
    )


def test_one_problem_is_counted_in_the_singular(check, written, capfd):
    assert check(*written("verbose = 1", "")) == 1
    assert capfd.readouterr().out.splitlines()[-1] == "1 problem"


def test_a_contradiction_is_a_problem(check, written, capfd):
    assert check(*written("[sleep]\nshortest_ms = 2000", "")) == 1
    assert "expected at most sleep.watch_longest_ms (1000)" in capfd.readouterr().out


def test_a_condition_outside_of_the_killers_limits_is_a_warning_and_no_problem(check, written, capfd):
    assert check(*written("[conditions.floor]\navailable_percent = 41", "")) == 0
    lines = capfd.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("warning: conditions.floor can fire at 41 %")
    assert "are in order" in lines[1]


def test_the_killers_own_limits_decide_on_the_warning(check, written, capfd):
    paths = written("[conditions.floor]\navailable_percent = 41", "[limits]\navailable_percent = 41")
    assert check(*paths) == 0
    assert "warning" not in capfd.readouterr().out


def test_a_name_that_root_has_protected_is_noted_because_any_program_can_give_itself_one(check, written, capfd):
    assert check(*written("", '[protect]\nnames = ["mydb", "qemu-*"]')) == 0
    note, *_, end = capfd.readouterr().out.splitlines()
    assert note == (
        'note: "mydb", "qemu-*": a name in protect.names of killer.toml, or of -u, protects every process that has it, '
        "and any program can give itself one; it can't give itself a unit (protect.units) or a user (protect.users)"
    )
    assert "are in order" in end


def test_a_name_of_the_command_line_is_noted_with_them(check, written, capfd):
    assert check(*written("", '[protect]\nnames = ["mydb"]'), unkillables=("Xorg", "a\nb")) == 0
    assert capfd.readouterr().out.startswith('note: "mydb", "Xorg", "a\\nb": a name in')


def test_names_that_are_shipped_and_units_and_users_are_not_noted(check, written, capfd):
    """A shipped name protects only the system's processes and small ones."""
    assert check(*written("", '[protect]\nshipped = true\nunits = ["db.service"]\nusers = [26]')) == 0
    assert "note" not in capfd.readouterr().out


def test_a_name_that_could_forge_a_line_is_escaped(check, tmp_path, capfd):
    monitor = tmp_path / "a\nb.toml"
    monitor.write_text("")
    assert check(monitor, tmp_path / "killer.toml") == 0
    assert capfd.readouterr().out.count("\n") == 1


@pytest.mark.root
def test_an_ordinary_user_is_told_which_file_he_cannot_read(check, public_path, as_nobody, capfd):
    monitor, killer = public_path / "bustd.toml", public_path / "killer.toml"
    killer.write_text("")
    killer.chmod(0o600)
    with as_nobody():
        status = check(monitor, killer)
    assert status == 1
    assert capfd.readouterr().out == f"{killer}: can't be read: Permission denied\n1 problem\n"


@pytest.mark.root
def test_an_ordinary_user_can_check_files_that_belong_to_root(check, public_path, as_nobody, capfd):
    monitor, killer = public_path / "bustd.toml", public_path / "killer.toml"
    for path in (monitor, killer):
        path.write_text("")
        path.chmod(0o644)
    with as_nobody():
        assert check(monitor, killer) == 0


def test_two_control_groups_are_a_warning_unless_the_command_line_tells_both_daemons_of_one(check, written, capfd):
    paths = written('cgroup = "/a"', 'cgroup = "/sys/fs/cgroup/b"')
    assert check(*paths) == 0
    assert capfd.readouterr().out.startswith('warning: cgroup is "/a" in bustd.toml and "/b" in killer.toml: ')
    assert check(*paths, cgroup="/c") == 0
    assert "warning" not in capfd.readouterr().out
    assert check(*written('cgroup = "/a"', 'cgroup = "/sys/fs/cgroup/a"')) == 0
    assert "warning" not in capfd.readouterr().out


# --- before a reload, and for programs


def test_quiet_says_nothing_of_files_that_are_in_order(check, written, capfd):
    assert check(*written("dry_run = true\n[victims.never]\nnames = ['x']\n", ""), quiet=True) == 0
    assert capfd.readouterr() == ("", "")


def test_quiet_says_what_is_wrong_and_what_is_in_doubt(check, written, capfd):
    monitor, killer = written("[conditions.flor]\n[victims.never]\nnames = ['^x$']\n", "")
    assert check(monitor, killer, quiet=True) == 1
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"{monitor}: conditions.flor: unknown key; nearest known key: conditions.floor"
    assert [line.partition(":")[0] for line in lines[1:]] == ["warning"]


def test_quiet_looks_at_no_process(check, written, monkeypatch):
    def refused(**_scope: object):
        raise AssertionError("a process was looked at")

    monkeypatch.setattr(check_module, "of_this_machine", refused)
    assert check(*written("", ""), quiet=True) == 0


def test_json_has_every_problem_and_the_same_exit_code(check, written, capfd):
    monitor, killer = written("[conditions.flor]\n", "[limits]\navailable_percent = 101\n")
    assert check(monitor, killer, as_json=True) == 1
    found = json.loads(capfd.readouterr().out)
    assert found["can_be_used"] is False
    assert [(one["file"], one["key"], one["nearest"]) for one in found["problems"]] == [
        (str(monitor), "conditions.flor", "conditions.floor"),
        (str(killer), "limits.available_percent", ""),
    ]
    assert found["problems"][1]["expected"] == "a whole number from 1 to 100"
    assert found["problems"][1]["line"].endswith("expected a whole number from 1 to 100, found 101")


def test_json_has_files_warnings_notes_and_rules(check, written, capfd):
    text = "dry_run = true\n[victims.never]\nnames = ['x-\u202ename*', '^x$']\n"
    monitor, killer = written(text, "")
    assert check(monitor, killer, as_json=True) == 0
    said = capfd.readouterr().out
    assert said.isascii()
    found = json.loads(said)
    assert found["can_be_used"] is True and found["problems"] == []
    assert found["files"] == [str(monitor), str(killer)]
    assert len(found["warnings"]) == 1 and len(found["notes"]) == 1
    rules = {one["rule"]: one for one in found["rules"]}
    (hidden,) = [rule for rule in rules if "name*" in rule]
    assert rules[hidden]["matched"] == 0 and rules[hidden]["largest_pid"] is None
