"""How counting goes on from one file to the next, and how a file is put in the place of another."""

from __future__ import annotations

import os
import resource
from argparse import Namespace
from pathlib import Path

import pytest

from bustd_monitor.cli.memory_now import MemoryNow
from bustd_monitor.cli.metrics import command as module
from bustd_monitor.cli.metrics.command import Counted, counted_in, further, metrics, replace
from bustd_monitor.cli.metrics.counters import counted
from bustd_monitor.cli.metrics.exposition import samples_in
from bustd_monitor.cli.metrics.journal import NO_JOURNAL, JournalSince
from bustd_monitor.cli.protection import ProtectionNow
from tests.support.told import told
from tests.unit.cli.metrics.test_counters import a_kill, kills, refusal
from tests.unit.shared.forked import in_child

CURSOR = "s=0f;i=2a;b=0e;m=1;t=2;x=3"
ONE_KILL = JournalSince(told(*a_kill()), CURSOR)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs the command with this journal: the exit code. Every call notes the cursor that was asked for."""
    asked: list[str] = []
    path = tmp_path / "bustd.prom"

    def once(journal: JournalSince, output: str | None = str(path)) -> int:
        def read_since(cursor: str) -> JournalSince:
            asked.append(cursor)
            return journal

        monkeypatch.setattr(module, "memory_now", lambda *_: MemoryNow(trouble="x"))
        monkeypatch.setattr(module, "looked", lambda memory: Namespace(protection=ProtectionNow("watching", True)))
        monkeypatch.setattr(module, "read_since", read_since)
        return metrics(Namespace(output=output))

    once.asked = asked
    once.path = path
    return once


def kills_in(path: Path) -> float | None:
    return samples_in(path.read_text()).get(kills())


def test_the_first_time_counts_this_boot_and_the_next_go_on_behind_it(run):
    later = JournalSince(told(*a_kill(), refusal("rate")), "s=0f;i=2b")
    assert [run(ONE_KILL), run(later), run(JournalSince((), "s=0f;i=2b"))] == [0, 0, 0]
    assert run.asked == ["", CURSOR, "s=0f;i=2b"]
    assert kills_in(run.path) == 2


def test_a_journal_that_can_not_be_read_for_a_while_takes_nothing_away(run):
    run(ONE_KILL)
    run(NO_JOURNAL)
    assert kills_in(run.path) == 1
    run(JournalSince(told(*a_kill()), "s=0f;i=2b"))
    assert run.asked[-1] == CURSOR and kills_in(run.path) == 2


def test_without_a_journal_there_are_no_counts_rather_than_wrong_ones(run, capsys):
    assert run(NO_JOURNAL) == 0
    assert kills_in(run.path) is None and "bustd_protected 1" in run.path.read_text()
    assert run(NO_JOURNAL, None) == 0
    said = capsys.readouterr().out
    assert "bustd_protected 1" in said and "total" not in said


def test_what_is_printed_counts_this_boot_alone(run, capsys):
    run(ONE_KILL)
    run(ONE_KILL, None)
    assert run.asked == ["", ""]
    assert samples_in(capsys.readouterr().out)[kills()] == 1


@pytest.mark.parametrize(
    "comment",
    [
        "",
        "# bustd has counted the journal up to --root=/x",
        "# bustd has counted the journal up to s=0f x",
        "# up to s=0f",
    ],
)
def test_a_file_without_a_cursor_that_journalctl_understands_is_begun_again(comment):
    assert counted_in(f"{comment}\n{kills()} 9\n") == Counted()


def test_a_file_that_is_no_text_is_begun_again(run):
    run.path.write_bytes(b"\xff\x00" * 100)
    assert run(ONE_KILL) == 0
    assert kills_in(run.path) == 1


def test_what_was_counted_is_read_back():
    before = further(Counted(), ONE_KILL)
    assert before == Counted(counted(told(*a_kill())), CURSOR)


def test_a_file_is_readable_by_everybody_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        replace(str(tmp_path / "bustd.prom"), "a 1\n")
    finally:
        os.umask(before)
    assert (tmp_path / "bustd.prom").stat().st_mode & 0o7777 == 0o644


def test_nobody_sees_half_a_file(tmp_path, monkeypatch):
    path = tmp_path / "bustd.prom"
    path.write_text("old\n")
    seen = []

    def rename(temporary: str, final: str) -> None:
        seen.append((path.read_text(), Path(temporary).read_text(), Path(temporary).parent, Path(temporary).suffix))
        Path(temporary).replace(final)

    monkeypatch.setattr(module.os, "rename", rename)
    replace(str(path), "new\n")
    assert seen == [("old\n", "new\n", tmp_path, ".new")], "node_exporter reads what ends in .prom"
    assert path.read_text() == "new\n"


def test_a_file_that_can_not_be_written_is_said_and_leaves_nothing(run, capsys, tmp_path):
    assert run(ONE_KILL, str(tmp_path / "absent/bustd.prom")) == os.EX_CANTCREAT
    (tmp_path / "directory.prom").mkdir()
    assert run(ONE_KILL, str(tmp_path / "directory.prom")) == os.EX_CANTCREAT
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all(line.startswith(f"bustd: {tmp_path}/") for line in said)
    assert [path.name for path in tmp_path.iterdir()] == ["directory.prom"]


def test_on_a_full_disk_the_file_of_before_stays_and_nothing_is_left(run, tmp_path):
    """RLIMIT_FSIZE stands for the disk: what is written beyond it fails (setrlimit(2))."""
    run.path.write_text("old\n")

    def on_a_full_disk() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        return run(ONE_KILL)

    assert in_child(on_a_full_disk) == os.EX_CANTCREAT
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("bustd.prom", "old\n")]
