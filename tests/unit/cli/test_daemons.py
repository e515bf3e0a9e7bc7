"""What a daemon is told: each option of a command comes to the daemons that the table names, and to no other."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_killer import start as killer
from bustd_monitor.arguments import Arguments, overrides, parse_arguments
from bustd_monitor.cli import daemons
from bustd_monitor.cli.daemons import arguments_of, killer_words, monitor_words, pair_command
from bustd_monitor.cli.option_table import PASSED_ON
from bustd_monitor.cli.parser import parsed
from bustd_shared.kernel import ancestor

WORDS = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]))
PIDS = st.integers(1, 2**22)
TICKS = 90125
"""When the process 77 was started."""

EVERYTHING = [
    *("-V", "-n", "-g", "--dry-run", "-p", "12.5", "-u", "a|b*", "-u-c", "--user", "nobody"),
    *(
        "--config",
        "m.toml",
        "--killer-config",
        "/k.toml",
        "--only-descendants-of",
        "77",
        "--cgroup",
        "/sys/fs/cgroup/g",
    ),
]


@pytest.fixture(autouse=True)
def root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(ancestor, "start_ticks", lambda pid: {77: TICKS}[pid])


@given(
    st.builds(
        Arguments,
        config=st.none() | WORDS,
        killer_config=st.none() | WORDS,
        psi=st.none() | st.floats(allow_nan=False),
        unkillables=st.lists(WORDS).map(tuple),
        scope=st.sampled_from(["", "group"]),
        verbose=st.booleans(),
        dry_run=st.booleans(),
        only_uid=st.integers(-1, 2**32 - 2),
        only_descendants_of=st.just(0) | PIDS,
        ancestor_ticks=st.integers(0, 2**64 - 1),
        cgroup=WORDS,
    )
)
def test_the_monitor_reads_what_it_is_told_as_it_was_meant(arguments):
    assert parse_arguments(monitor_words(arguments)) == arguments


def test_a_monitor_that_is_told_nothing_has_no_words():
    assert monitor_words(Arguments()) == monitor_words(arguments_of(parsed([]))) == []
    assert killer_words(parsed([])) == []


def test_every_option_comes_to_the_daemons_that_the_table_names(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = parsed(EVERYTHING)
    assert arguments_of(options) == Arguments(
        f"{tmp_path}/m.toml", "/k.toml", 12.5, ("a", "b*", "-c"), "group", True, True, -1, 77, TICKS, "/g"
    )
    read = killer.parse_arguments(killer_words(options))
    assert read == killer.Arguments(
        config="/k.toml",
        only_descendants_of=77,
        ancestor_ticks=TICKS,
        protect_names=(b"a", b"b*", b"-c"),
        cgroup="/g",
        dry_run=True,
    )


def test_the_table_names_only_what_the_daemons_have():
    assert {option.monitor for option in PASSED_ON} - {""} == set(Arguments._fields) - {"only_uid", "ancestor_ticks"}
    assert {option.killer for option in PASSED_ON} - {""} < set(killer.OPTIONS)


def test_an_ordinary_users_monitor_asks_for_that_users_processes_only(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert arguments_of(parsed([])) == Arguments(only_uid=1000)


@pytest.mark.parametrize("words", [["-p", "0"], ["run", "-p", "0.0"], ["check", "--psi=0"], ["replay", "x", "-p", "0"]])
def test_a_value_of_0_is_a_value(words):
    assert overrides(arguments_of(parsed(words))) == {"conditions": {"pressure": {"psi_some_avg10": 0}}}


@pytest.mark.parametrize("words", [["explain"], ["check"], ["replay", "x"], ["run", "-u", "|"], ["-u", ""]])
def test_a_command_tells_nothing_of_what_was_not_typed(words):
    assert arguments_of(parsed(words)) == Arguments()


@pytest.mark.parametrize(("pid_file", "read_as"), [(7, {"syslog": True, "pid_file": 7}), (None, {})])
def test_the_killer_of_a_pair_reads_its_own_words_and_keeps_those_of_its_monitor(monkeypatch, pid_file, read_as):
    monkeypatch.setattr(daemons, "program", lambda package: ["-S", f"/x/{package}"])
    options = parsed(EVERYTHING)
    _, *words = pair_command(options, (998, 997), [("psi-some", 5), ("psi-full", 6)], pid_file)
    assert words[:3] == ["-I", "-S", "/x/bustd_killer"]
    read = killer.parse_arguments(words[3:])
    assert read._replace(plan=None) == killer.parse_arguments(killer_words(options))._replace(**read_as)
    monitor = ("-S", "/x/bustd_monitor", *monitor_words(arguments_of(options)))
    assert read.plan == killer.MonitorPlan(998, 997, monitor, (("psi-some", 5), ("psi-full", 6)))
    _, *words = pair_command(options, (998, 997), [], pid_file, "/run/events")
    assert killer.parse_arguments(words[3:]).events == "/run/events"
