"""Which pair has a socket for the readers of its events: root's, where it protects the whole machine."""

import os

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
