"""`bustd check` says of each wrong rule that it is wrong, and of every rule what it matches now."""

import re
import tomllib

import pytest

from bustd_monitor.arguments import Arguments
from bustd_monitor.cli.check import check
from tests.support import victims
from tests.support.typed import typed

TEN_WRONG_RULES = """
[victims.prefer]
names = ["^(X)$", "'Xorg'", "/usr/bin/java", "sshd|cron"]
units = ["postgresql", "app-firefox-*.scope", "user.slice"]
[victims.never]
commands = [".*--type=renderer.*", "*"]
cgroups = ["system.slice/*"]
"""

CASES = {
    "regex": (
        """
[victims.prefer]
names = ["^(java|chromium)$"]
[victims.never]
names = ["(^|/)(init|X|sshd)$", "'Xorg'", ".*postgres.*"]
commands = [".*--type=renderer.*"]
units = ["^postgresql", "app-firefox.*"]
""",
        [
            *("^(java|chromium)$", "(^|/)(init|X|sshd)$", "'Xorg'", ".*postgres.*", ".*--type=renderer.*"),
            *("^postgresql", "app-firefox.*"),
        ],
    ),
    "unit": (
        """
[victims.prefer]
units = ["app-gnome-firefox-*.scope", "app-org.chromium*.scope", "libpod-*.scope"]
""",
        ["app-gnome-firefox-*.scope", "app-org.chromium*.scope", "libpod-*.scope"],
    ),
    "r2": (
        """
[victims.never]
names = [".*postgres.*", "'postgres'"]
units = ["postgresql"]
""",
        [".*postgres.*", "'postgres'", "postgresql"],
    ),
}


@pytest.fixture
def checked(tmp_path, capfd):
    def run(monitor: str, killer: str = "", **on_top) -> tuple[int, list[str]]:
        paths = tmp_path / "bustd.toml", tmp_path / "killer.toml"
        for path, text in zip(paths, (monitor, killer), strict=True):
            path.write_text(text)
            path.chmod(0o644)
        return check(Arguments(*map(str, paths), **on_top)), capfd.readouterr().out.splitlines()

    return run


def test_ten_wrong_rules_are_each_said_and_can_be_used(checked):
    code, lines = checked(TEN_WRONG_RULES)
    assert code == 0
    warned = [line for line in lines if line.startswith("warning: ")]
    assert len(warned) == 10
    assert "bustd.toml and killer.toml can be used, with 10 rules in doubt (files read: " in lines[-1]
    for table in tomllib.loads(TEN_WRONG_RULES)["victims"].values():
        for rule in (rule for rules in table.values() for rule in rules):
            assert sum(f': "{rule}" ' in line for line in warned) == 1, rule


@pytest.mark.parametrize("case", CASES)
def test_every_rule_of_the_reported_cases_is_said(checked, case):
    text, rules = CASES[case]
    _, lines = checked(text)
    for rule in rules:
        assert any(f'"{rule}"' in line and ("warning: " in line or "; it looks like" in line) for line in lines), rule
    assert not any("in order" in line for line in lines)


@pytest.mark.parametrize(
    ("globs", "instead"),
    [("'Xorg'", '"Xorg"'), ("^(X)$", '"X"'), ("^(java|chromium)$", '"java"'), (" sshd", '"sshd"'), ("Xorg ", '"Xorg"')],
)
def test_a_wrong_name_of_the_command_line_is_said(monkeypatch, capfd, tmp_path, globs, instead):
    files = []
    for option, name in (("--config", "bustd.toml"), ("--killer-config", "killer.toml")):
        (tmp_path / name).write_text("")
        (tmp_path / name).chmod(0o644)
        files += [option, str(tmp_path / name)]
    code, out, err = typed(monkeypatch, capfd, "check", *files, "-u", globs)
    assert (code, err) == (0, "")
    assert re.search(
        rf"^warning: command line, -u/--unkillables: victims\.never\.names: .* write {re.escape(instead)}$", out, re.M
    )


def test_one_doubt_is_counted_in_the_singular_and_each_file_says_its_own(checked):
    code, lines = checked("", "[protect]\nunits = ['postgresql']\n")
    assert code == 0
    assert re.fullmatch(r'warning: .*/killer\.toml: protect\.units: "postgresql" has no suffix, .*', lines[0])
    assert "can be used, with 1 rule in doubt" in lines[-1]


def test_a_drop_in_is_named_for_its_own_rules(checked, tmp_path):
    (tmp_path / "bustd.toml.d").mkdir()
    (tmp_path / "bustd.toml.d/a.toml").write_text("[victims.never]\nnames = [\"'b'\"]\n")
    _, lines = checked("[victims.never]\nnames = [\"'a'\"]\n")
    found = [re.match(r"warning: .*/(\S+\.toml): .*: \"'(.)'\"", line) for line in lines[:2]]
    assert [match and match.groups() for match in found] == [("bustd.toml", "a"), ("a.toml", "b")]


def test_every_rule_is_shown_with_what_it_matches_now(checked):
    with victims.victim(24, name=b"precious") as child:
        code, lines = checked("[victims.never]\nnames = ['precious', 'no-such-name']\n")
    assert code == 0
    place = lines.index("Rules, and what each of them matches now:")
    shown = lines[place + 1 : -1]
    assert any(
        re.match(rf'  victims\.never\.names "precious": 1 process, {child.pid} \(precious\) with 2\d MiB', line)
        for line in shown
    )
    assert '  victims.never.names "no-such-name": no process' in shown
    assert "are in order" in lines[-1]


def test_rules_that_are_in_doubt_do_not_hide_a_problem(checked):
    code, lines = checked("verbose = 1\n[victims.never]\nnames = [\"'a'\"]\n")
    assert code == 1
    assert "expected true or false" in lines[0]
    assert "has quotes" in lines[1]
    assert "  victims.never.names \"'a'\": no process" in lines
    assert lines[-1] == "1 problem"


CASES_OF_ONE_RULE = [
    ("protect.units", "postgresql", '"postgresql.service"'),
    ("protect.units", "app-firefox-*.scope", "user@"),
    ("protect.units", "user.slice", "is a slice"),
    ("protect.names", "packagekitd-helper", "15 bytes"),
    ("protect.names", "*", "matches every process: nothing could be killed"),
    ("victims.never.commands", "^java .*$", "looks like a regular expression"),
    ("victims.avoid.names", "X|Xorg", '"X", "Xorg"'),
    ("victims.prefer.names", "\\.bash", "looks like a regular expression"),
    ("victims.grace.units", "postgresql", '"postgresql.service"'),
]


@pytest.mark.parametrize(("key", "rule", "words"), CASES_OF_ONE_RULE)
def test_a_wrong_rule_is_said_in_either_file_and_in_each_table(checked, key, rule, words):
    table, _, name = key.rpartition(".")
    text = f"[{table}]\n{name} = ['{rule}']\n"
    _, lines = checked(*(("", text) if table == "protect" else (text, "")))
    assert any(f'"{rule}"' in line and words in line for line in lines), lines
    assert not any("are in order" in line for line in lines)
