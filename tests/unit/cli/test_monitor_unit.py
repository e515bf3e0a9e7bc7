"""What systemctl says of the monitor's unit."""

from __future__ import annotations

import time

import pytest

from bustd_monitor.cli import monitor_unit as module
from bustd_monitor.cli.monitor_unit import MonitorUnit, monitor_unit, parsed

SHOWN = """\
LoadState=loaded
ActiveState=active
StatusText=watching; the killer 812 answers
ExecMainStatus=0
StateChangeTimestampMonotonic=5000000
"""


def test_a_unit_that_runs_has_its_status_and_since_when():
    unit = parsed(SHOWN, 1_000)
    assert unit == MonitorUnit("loaded", "active", "watching; the killer 812 answers", 0, 5_001_000)
    assert unit.is_installed and unit.is_running


@pytest.mark.parametrize(
    "text", ["", "\n", "LoadState\n", "x=y\n=\n", "ExecMainStatus=-1\nStateChangeTimestampMonotonic=\n"]
)
def test_what_makes_no_sense_is_no_unit(text):
    unit = parsed(text, 1_000)
    assert unit == MonitorUnit() and not unit.is_installed and not unit.is_running


def test_a_unit_that_has_failed_has_its_exit_code():
    unit = parsed("LoadState=loaded\nActiveState=failed\nExecMainStatus=78\nStateChangeTimestampMonotonic=0\n", 1_000)
    assert (unit.exit_code, unit.is_running, unit.changed_us) == (78, False, 0)


def test_an_equals_sign_in_a_status_stays(tmp_path):
    assert parsed("StatusText=a=b\n", 0).status == "a=b"


@pytest.mark.parametrize(
    "script",
    ["exit 1", "sleep 30", "printf 'LoadState=loaded\\n'; exit 1"],
    ids=["fails", "hangs", "fails after a word"],
)
def test_a_systemctl_that_does_not_answer_is_no_systemd(tmp_path, monkeypatch, script):
    fake = tmp_path / "systemctl"
    fake.write_text(f"#!/bin/sh\n[ $1 = show ] && {{ {script}; }}\n".replace("sleep 30", "exec sleep 30"))
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(module, "_ANSWER_S", 0.3)
    began_s = time.monotonic()
    assert monitor_unit() == MonitorUnit()
    assert time.monotonic() - began_s < 10


def test_where_there_is_no_systemctl_there_is_no_systemd(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert monitor_unit() == MonitorUnit()


def test_systemctl_is_asked_for_the_unit_as_the_parser_reads_it(tmp_path, monkeypatch):
    fake = tmp_path / "systemctl"
    fake.write_text(f"#!/bin/sh\n[ \"$2\" = bustd-monitor.service ] || exit 1\ncat <<'END'\n{SHOWN}END\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert monitor_unit().status == "watching; the killer 812 answers"
