"""Which pair has a socket for the readers of its events: root's, where it protects the whole machine."""

import errno
import os
import subprocess

import pytest

from bustd_monitor.cli import run
from bustd_monitor.cli.events_socket import EVENTS_SOCKET
from bustd_monitor.cli.options import load
from bustd_monitor.cli.parser import parsed


@pytest.mark.parametrize(
    ("words", "uid", "events"),
    [
        ([], 0, EVENTS_SOCKET),
        (["-n", "-V"], 0, EVENTS_SOCKET),
        ([], 1000, ""),
        (["--dry-run"], 0, ""),
        (["--only-descendants-of", "1"], 0, ""),
        (["--cgroup", "/a.slice"], 0, ""),
    ],
)
def test_only_a_live_pair_of_root_for_the_whole_machine_has_readers(monkeypatch, tmp_path, words, uid, events):
    for name in ("bustd.toml", "killer.toml"):
        (tmp_path / name).write_text("")
    files = ["--config", str(tmp_path / "bustd.toml"), "--killer-config", str(tmp_path / "killer.toml")]
    options = parsed([*words, *files])
    settings = load(options)
    assert settings is not None
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    assert run._events(options, settings) == events


def test_a_pair_that_bustd_toml_makes_dry_has_none(monkeypatch, tmp_path):
    (tmp_path / "bustd.toml").write_text("dry_run = true\n")
    options = parsed(["--config", str(tmp_path / "bustd.toml")])
    settings = load(options)
    assert settings is not None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert run._events(options, settings) == ""


def test_root_that_may_not_become_the_monitors_user_is_told_what_the_container_lacks(monkeypatch):
    def refused(*_words, **_how):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(subprocess, "run", refused)
    said = run.trouble_as("bustd", (61_000, 61_000))
    assert said.startswith("root may not become the user bustd here")
    assert "CAP_SETUID and CAP_SETGID" in said


def test_a_python_that_may_not_be_executed_is_unreadable(monkeypatch):
    def refused(*_words, **_how):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(subprocess, "run", refused)
    assert run.trouble_as("bustd", (61_000, 61_000)).startswith("the user bustd can't read ")


def test_an_ordinary_user_stays_what_it_is(monkeypatch):
    monkeypatch.setattr(subprocess, "run", None)
    assert run.trouble_as("bustd", (-1, -1)) == ""
