"""How many processes each rule matches now, in numbers and in words."""

import os
import pwd

import pytest

from bustd_monitor.cli import rules_now
from bustd_monitor.ranking.rule_matches import rule_matches, rules_of_killer, rules_of_victims
from bustd_monitor.reporting.rules import rule_match
from bustd_monitor.sensing.command_lines import CommandLines
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.processes import TOO_LONG
from bustd_shared.rules import killer_toml
from tests.fakes.procfs import FakeProc
from tests.support import victims as real
from tests.unit.monitor.making import GIB, MIB, matchers, process, victims

PROCESSES = [
    process(1, comm=b"postgres", uid=26, held_bytes=2 * GIB, cgroup="/system.slice/db.service"),
    process(2, comm=b"postgres", uid=26, held_bytes=MIB),
    process(3, comm=b"java", held_bytes=3 * GIB, command="java DataNode", command_trouble=""),
    process(4, comm=b"X", held_bytes=4 * GIB, command="X", command_trouble=""),
]


def said(rules, processes=None) -> list[str]:
    return [rule_match(match) for match in rule_matches(rules, PROCESSES if processes is None else processes)]


def test_each_rule_is_shown_with_what_it_matches_and_the_one_that_matches_most_memory_comes_first():
    rules = rules_of_victims(
        victims(
            prefer=matchers(names=(b"none*",)),
            avoid=matchers(units=("none.service",), cgroups=("*/db.service",)),
            never=matchers(uids=(26,), names=(b"postgres", b"?")),
            only=matchers(commands=("*DataNode",)),
        )
    )
    assert said(rules) == [
        'victims.never.names "?": 1 process, 4 (X) with 4096 MiB',
        'victims.only.commands "*DataNode": 1 process, 3 (java) with 3072 MiB; 2 more with a command line that is not '
        "known whole",
        'victims.never.users "26": 2 processes with 2049 MiB, the largest 1 (postgres) with 2048 MiB',
        'victims.never.names "postgres": 2 processes with 2049 MiB, the largest 1 (postgres) with 2048 MiB',
        'victims.avoid.cgroups "*/db.service": 1 process, 1 (postgres) with 2048 MiB',
        'victims.prefer.names "none*": no process',
        'victims.avoid.units "none.service": no process',
    ]


def test_a_rule_that_matches_a_process_without_memory_still_matches_one():
    rules = rules_of_victims(victims(never=matchers(names=(b"none", b"idle"))))
    assert said(rules, [process(1, comm=b"idle", held_bytes=0)])[0].startswith('victims.never.names "idle": 1 process')


def test_the_rules_of_the_killer_are_shown_one_by_one_and_those_that_are_shipped_together():
    config = killer_toml.config_of({"protect": {"units": ["user@*.service"], "names": [b"\xff"], "users": [7]}})
    assert [rule.key for rule in rules_of_killer(config)] == [
        *("protect.units", "protect.users", "protect.names", "protect.shipped")
    ]
    lines = said(rules_of_killer(config), [process(1, comm=b"sshd", unit="", held_bytes=MIB)])
    assert lines[0] == "protect.shipped: 1 process, 1 (sshd) with 1 MiB"
    assert r'protect.names "\xff": no process' in lines
    config = killer_toml.config_of({"protect": {"shipped": False}})
    assert rules_of_killer(config) == []


def test_a_line_is_printable_whatever_the_rule_and_the_process_are_called():
    rules = rules_of_victims(victims(never=matchers(names=(b"a\n*",))))
    assert all(line.isprintable() for line in said(rules, [process(1, comm=b"a\n\xff\x1b")]))


def test_that_a_command_line_is_not_known_whole_does_not_count_where_its_beginning_matches():
    rules = rules_of_victims(victims(never=matchers(commands=("java*",))))
    one = process(1, comm=b"java", command="java x", command_trouble=TOO_LONG, held_bytes=MIB)
    assert said(rules, [one]) == ['victims.never.commands "java*": 1 process, 1 (java) with 1 MiB']


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (matchers(names=(b"pythno3",)), 'names "pythno3": no process; "python3" runs'),
        (matchers(names=(b"node",)), 'names "node": no process'),
        (matchers(names=(b"python?",)), 'names "python?": 1 process, 1 (python3) with 1 MiB'),
        (matchers(units=("postgresq.service",)), 'units "postgresq.service": no process; "postgresql.service" runs'),
        (matchers(commands=("python4",)), 'commands "python4": no process'),
    ],
)
def test_a_rule_that_is_almost_a_name_or_a_unit_that_runs_is_told_from_one_of_a_program_that_does_not(rules, told):
    running = [process(1, comm=b"python3", unit="postgresql.service", held_bytes=MIB, command="x", command_trouble="")]
    assert said(rules_of_victims(victims(never=rules)), running) == [f"victims.never.{told}"]


# --- on a machine


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


def lines(proc, rules, config=None):
    table = ProcessTable(proc.path, commands=CommandLines(proc.path))
    try:
        return rules_now.lines(rules, config or killer_toml.config_of({}), table)
    finally:
        table.close()


def test_every_process_that_has_memory_is_looked_at_whatever_its_score(proc):
    proc.process(101, b"db", anonymous_kib=1024, oom_score=0, command=b"db\0--precious\0")
    proc.process(102, b"other", command=b"other\0")
    proc.process(103, b"kthread", anonymous_kib=None)
    rules = victims(never=matchers(commands=("*--precious*",), names=(b"kthread",)))
    assert lines(proc, rules) == [
        'victims.never.commands "*--precious*": 1 process, 101 (db) with 1 MiB',
        'victims.never.names "kthread": no process',
        "protect.shipped: no process",
        "victims.avoid_shipped: no process",
    ]


def test_a_user_is_shown_by_its_name_as_it_was_written(proc):
    proc.process(101, b"db")
    user, nobody_has = (
        pwd.getpwuid(os.getuid()),
        max(entry.pw_uid for entry in pwd.getpwall() if entry.pw_uid < 65534) + 1,
    )
    shown = lines(proc, victims(never=matchers(uids=(user.pw_uid, nobody_has))))
    keys = [line.partition(":")[0] for line in shown]
    assert f'victims.never.users "{user.pw_name}"' in keys
    assert f'victims.never.users "{nobody_has}"' in keys


def test_where_nobody_wrote_a_rule_there_is_nothing_to_show(proc):
    proc.process(101, b"sshd")
    assert lines(proc, victims()) == []


def test_a_command_line_that_hangs_is_not_waited_for_for_ever(proc, monkeypatch):
    monkeypatch.setattr(rules_now, "_COMMANDS_WAIT_MS", 1)
    proc.process(101, b"db")
    path = proc.directory / "101/cmdline"
    path.unlink()
    os.mkfifo(path)
    line, _, _ = lines(proc, victims(never=matchers(commands=("*",))))
    assert line == 'victims.never.commands "*": no process; 1 more with a command line that is not known whole'
    with path.open("wb"):
        pass


def test_of_real_processes_the_rule_finds_the_one_that_it_names():
    table = ProcessTable(only_descendants_of=os.getpid())
    with real.victim(24, name=b"precious") as child:
        rules = victims(never=matchers(names=(b"preciou?",), commands=("*kept = bytes*",)), avoid_shipped=False)
        found = rules_now.lines(rules, killer_toml.config_of({"protect": {"shipped": False}}), table)
    table.close()
    assert len(found) == 2
    assert all(f": 1 process, {child.pid} (precious) with 2" in line for line in found)
