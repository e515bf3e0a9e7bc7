"""The journal as a source of counts: a stand-in for journalctl, and a journal of the tests' own."""

from __future__ import annotations

import pytest

from bustd_monitor.cli.metrics import journal as module
from bustd_monitor.cli.metrics.journal import NO_JOURNAL, read_since
from bustd_monitor.cli.unit_copies import MONITOR
from tests.unit.cli.metrics.test_counters import a_kill


def exported(*packets: bytes, unit: str = MONITOR) -> bytes:
    return b"\n".join(
        b"__CURSOR=s=0f;i=%x\n_SYSTEMD_UNIT=%s\n" % (at, unit.encode()) + one for at, one in enumerate(packets)
    )


@pytest.fixture
def journalctl(monkeypatch, tmp_path):
    """A stand-in that prints this, after it has noted what it was asked for."""
    (tmp_path / "log/id").mkdir(parents=True)
    (tmp_path / "log/id/system.journal").write_bytes(b"")
    monkeypatch.setattr(module, "ROOTS", (str(tmp_path / "log"),))
    monkeypatch.setattr(module, "PATH", f"{tmp_path}:/usr/bin:/bin")

    def prints(content: bytes, then: str = "exit 0"):
        (tmp_path / "said").write_bytes(content)
        script = tmp_path / "journalctl"
        script.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{tmp_path}/asked\ncat {tmp_path}/said\n{then}\n')
        script.chmod(0o755)

    prints.asked = lambda: (tmp_path / "asked").read_text().splitlines()
    return prints


def test_the_first_time_this_boot_is_read_and_later_what_is_behind_the_cursor(journalctl):
    journalctl(exported(*a_kill()))
    read = read_since("")
    assert read.cursor == "s=0f;i=2" and read.entries is not None and len(read.entries) == 3
    assert "--boot" in journalctl.asked() and f"_SYSTEMD_UNIT={MONITOR}" in journalctl.asked()
    assert read_since("s=0f;i=7").cursor == "s=0f;i=2"
    assert "--after-cursor=s=0f;i=7" in journalctl.asked() and "--boot" not in journalctl.asked()


def test_a_journal_with_nothing_new_keeps_its_cursor(journalctl):
    journalctl(b"")
    assert read_since("s=0f;i=7") == ((), "s=0f;i=7")


@pytest.mark.parametrize("unit", ["user@1000.service", "bustd-monitor.service.evil", ""])
def test_an_entry_that_another_unit_wrote_counts_for_nothing(journalctl, unit):
    journalctl(exported(*a_kill(), unit=unit))
    assert read_since("").entries == ()


@pytest.mark.parametrize(
    ("content", "then"),
    [(b"", "exit 1"), (b"MESSAGE=x", "exit 0"), (b"A\n" + b"\xff" * 8, "exit 0"), (b"", "exec sleep 30")],
    ids=["fails", "half a line", "garbage", "hangs"],
)
def test_a_journal_that_can_not_be_read_is_no_journal(journalctl, monkeypatch, content, then):
    monkeypatch.setattr(module, "_PATIENCE_S", 0.5)
    journalctl(content, then)
    assert read_since("") == NO_JOURNAL


def test_where_there_is_no_journalctl_there_is_no_journal(journalctl, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "PATH", str(tmp_path))
    assert read_since("") == NO_JOURNAL


def test_a_user_who_may_not_read_the_systems_journal_has_none(journalctl, monkeypatch):
    """journalctl would print what there is of the user's own, and not fail."""
    journalctl(exported(*a_kill()))
    monkeypatch.setattr(module.os, "access", lambda *_: False)
    assert read_since("") == NO_JOURNAL


def test_where_the_journal_keeps_no_files_there_is_none(journalctl, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "ROOTS", (str(tmp_path / "absent"),))
    journalctl(exported(*a_kill()))
    assert read_since("") == NO_JOURNAL
