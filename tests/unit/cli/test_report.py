"""`bustd report`: everything that a maintainer needs, and no name that somebody has chosen."""

import os
import stat

import pytest

from bustd_monitor.cli import report_parts
from bustd_monitor.cli.daemonize import Places
from bustd_monitor.cli.nameless import masked, without_names
from bustd_monitor.event_log import entry
from bustd_monitor.ranking.family import Family
from bustd_monitor.ranking.order import Candidate
from bustd_monitor.ranking.rule_matches import RuleMatch, SingleRule
from bustd_monitor.ranking.settings import NOTHING
from bustd_monitor.ranking.shipped_avoid import AVOIDED
from bustd_monitor.ranking.what_may_die import Cause, Move, Shield, Spared
from bustd_monitor.reporting import reasons, sentences
from bustd_monitor.reporting.events import DECIDED, Told
from bustd_monitor.sensing.kin import Kinship
from bustd_protocol.messages import Scope
from bustd_shared.rules.killer_toml import SHIPPED_NAMES
from tests.support.typed import typed
from tests.unit.cli.test_explain import looked
from tests.unit.monitor.making import GIB, candidate, process

SECRETS = ["zqsecret", "zqsecret.service", "/home/zqsecret/x", "a zqsecret (b), c", "zqsecret) of uid", "Zq-secret,"]


def has_secret(text: str) -> bool:
    return "secret" in text.lower() or "zq" in text.lower()


def named(secret: str) -> Candidate:
    """A candidate in which everything that can be named is named so."""
    return candidate(
        comm=secret.encode(), unit=secret, cgroup=f"/{secret}", whole=f"/{secret}", command=f"{secret} --{secret}"
    )._replace(
        moves=(Move(Cause.PREFERRED, GIB, f"name {secret}"), Move(Cause.RUNS_AWAY, GIB)),
        scope=Scope.CGROUP,
        service=secret,
    )


def kill_line(secret: str) -> str:
    """The line of a kill, as the monitor writes it."""
    one = named(secret)
    many = one._replace(family=Family(Kinship(7, secret.encode()), ((8, 9),), 0, secret.encode()))
    return f"{sentences.victim(one.process)}, {reasons.place(one)}; after it {reasons.place(many)}"


@pytest.mark.parametrize("secret", SECRETS)
def test_no_name_is_left_in_what_is_said_of_a_victim(secret):
    line = kill_line(secret)
    assert has_secret(line)
    shown = masked(line)
    assert not has_secret(shown), shown
    for kept in ("4711 (…", " of uid 1000, unit …", "holding 1024 MiB", "runaway bonus +1024 MiB", "preferred by name"):
        assert kept in shown


@pytest.mark.parametrize("secret", SECRETS)
def test_no_name_is_left_in_a_line_of_the_killer(secret):
    line = f"signalled SIGTERM to 4711 ({secret}, unit {secret}, holding 48 MiB, uid 1000) for floor: why {secret}"
    shown = masked(line)
    assert not has_secret(shown)
    assert shown.startswith("signalled SIGTERM to 4711 (…")
    assert masked("4711 is gone after 26 ms") == "4711 is gone after 26 ms"


@pytest.mark.parametrize("word", ["memory", "floor", "gone", "12345", "SIGTERM"])
def test_a_name_that_is_one_of_our_words_or_a_number_goes_where_a_name_stands(word):
    assert masked(f"SIGTERM for 7 ({word}) of uid 1, unit {word}, holding 1 MiB, 5 s old, command {word} {word}") == (
        "SIGTERM for 7 (…) of uid 1, unit …, holding 1 MiB, 5 s old, command …"
    )


@pytest.mark.parametrize("word", ["10.11.12.13", "2001:db8::1", "me@host", "+49-30-1234", "a1", "überall", "字"])
def test_only_plain_numbers_and_known_words_stay(word):
    assert masked(f"memory {word} is short") == "memory … is short"


def test_the_names_that_are_shipped_are_names_too():
    """Two are words of ours beside that; where a name stands they go as well."""
    words = (*(name.decode() for name in SHIPPED_NAMES), *(name.decode() for name in AVOIDED.names))
    kept = [word for word in words if masked(f"the {word} is") != "the … is"]
    assert set(kept) <= {"systemd", "X"}


def crowded(secret: str):
    rule = SingleRule("victims.never.names", secret, NOTHING)
    one = named(secret)
    family = one._replace(family=Family(Kinship(7, secret.encode()), ((8, 9),), 0, secret.encode()))
    return looked(
        watching=f"watching the control group /{secret}",
        pressure_trouble=f"/sys/fs/cgroup/{secret} can't be read",
        warnings=(f"conditions.floor {secret}",),
        candidates=(one, family),
        left_out=(Spared(process(comm=secret.encode()), Shield.NEVER, f"name {secret}"),),
        matches=(RuleMatch(rule, 1, GIB, process(comm=secret.encode())),),
    )


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Where everything that can be named has a secret name; the directory has both files of the configuration."""
    secret = SECRETS[0]
    line = f"floor fires: 1 MiB of 2 MiB available (50.0 %); SIGTERM for 7 ({secret}) of uid 1, unit {secret}, holding"
    told = Told(DECIDED, "", (("VICTIM_COMM", secret.encode()),))
    entries = b"__REALTIME_TIMESTAMP=1000000\n" + entry("bustd-monitor", line, told)
    (tmp_path / "journal").write_bytes(entries)
    shown = (
        f"Id=bustd-monitor.service\nActiveState=active\nStatusText=NOT PROTECTED: no {secret}\nDropInPaths=/{secret}"
    )
    programs = {
        "systemctl": f"if [ $1 = --version ]; then echo systemd 257 {secret}; else echo '{shown}'; fi",
        "journalctl": f"cat {tmp_path}/journal",
    }
    for name, script in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("HOME", f"/home/{secret}")
    (tmp_path / "log").write_text(f"2026-01-31 12:00:00 bustd-monitor: {line}\n{secret} {secret}\n")
    monkeypatch.setattr(report_parts, "places", lambda: Places("", str(tmp_path / "log")))
    monkeypatch.setattr(report_parts, "look", lambda _settings, _pid: crowded(secret))
    (tmp_path / "bustd.toml").write_text(
        f'dry_run = true\nvictims.never.names = ["{secret}", "b"]\nconditions.floor.available_mib = 100\n'
    )
    (tmp_path / "killer.toml").write_text(f'protect.units = ["{secret}.service"]\n')
    return tmp_path


@pytest.fixture
def bustd(monkeypatch, capfd, machine):
    files = ("--config", f"{machine}/bustd.toml", "--killer-config", f"{machine}/killer.toml")
    return lambda *words: typed(monkeypatch, capfd, "report", *files, *words)


def test_a_report_has_no_name_in_it_and_all_that_matters(bustd):
    code, out, err = bustd()
    assert (code, err) == (0, "")
    assert not has_secret(out), [line for line in out.splitlines() if has_secret(line)]
    assert os.uname().release in out
    for kept in (
        "read it before you send it",
        "  dry_run = true\n",
        "  victims.never.names = 2 of them\n",
        "  conditions.floor.available_mib = 100\n",
        "  protect.units = 1 of them\n",
        "systemd 257\n",
        "StatusText=NOT PROTECTED: no …\nDropInPaths: 1\n",
        "1970-01-01T00:00:01Z bustd-monitor: floor fires: 1 MiB of 2 MiB available (50.0 %); SIGTERM for 7 (…) of uid",
        "2026-01-31 12:00:00 bustd-monitor: floor fires: ",
        "holds 1024 MiB in … (1 known), preferred by … +1024 MiB, runaway bonus +1024 MiB",
        'victims.never.names "…": 1 process, 4711 (…) with 1024 MiB',
        "MemAvailable:",
    ):
        assert kept in out, kept


def test_names_are_in_a_report_only_where_they_are_asked_for(bustd):
    _, out, _ = bustd("--names")
    assert "which may hold passwords" in out.splitlines()[0]
    assert out.count("zqsecret") > 15
    assert '  victims.never.names = ["zqsecret", "b"]\n' in out


def test_a_problem_in_the_configuration_is_named_without_what_is_in_it(bustd, machine):
    (machine / "bustd.toml").write_text('verbose = "zqsecret"\nzqsecret = 1\nvictims.never.names = [".*zqsecret"]\n')
    code, out, _ = bustd()
    assert code == 0
    assert not has_secret(out)
    assert "  problem: verbose: expected true or false\n" in out
    assert "  problem: …: expected a known key\n" in out
    assert "the configuration has problems, so nothing is decided" in out


def test_a_report_is_a_new_file_that_only_its_owner_can_read(bustd, tmp_path):
    file = tmp_path / "it.txt"
    code, out, err = bustd("-o", str(file))
    assert (code, out, err) == (0, f"bustd: {file} is written. It is text: read it before you send it.\n", "")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_text()
    assert before.startswith("A report of bustd.")
    assert bustd("-o", str(file)) == (73, "", f"bustd: {file}: File exists\n")
    assert file.read_text() == before


def test_where_nothing_answers_each_part_says_so(bustd, machine, monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    (machine / "log").unlink()
    _, out, _ = bustd()
    assert "systemd does not answer, or is not there" in out
    assert "no entry of the journal can be read (as root?)" in out
    assert "no systemd" in out


def test_a_look_without_names_has_the_same_numbers():
    seen = crowded("zqsecret")
    nameless_look = without_names(seen)
    assert not has_secret(repr(nameless_look))
    for before, after in zip(seen.candidates, nameless_look.candidates, strict=True):
        assert (before.badness, before.process.pid) == (after.badness, after.process.pid)
        assert [move.moved_bytes for move in before.moves] == [move.moved_bytes for move in after.moves]
    empty = without_names(looked(candidates=(candidate(unit=""),)))
    assert empty.candidates[0].process.unit == ""
