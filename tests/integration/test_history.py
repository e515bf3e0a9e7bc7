"""`bustd history` with a journalctl, journal, log file and monitor that the test makes up, in all their states."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bustd_monitor.cli.history import journal, log_file, sources
from bustd_monitor.cli.history.boots import JOURNAL_STARTED, JOURNAL_STOPPED
from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import told
from tests.support.typed import typed
from tests.unit.cli.history.making import (
    BEFORE,
    EPOCH_S,
    THIS,
    answered,
    chosen,
    ended,
    kill,
    stamped,
)
from tests.unit.cli.history.test_boots import mark
from tests.unit.shared.forked import in_child

REMOTE = shutil.which("systemd-journal-remote", path=f"{os.environ['PATH']}:/usr/lib/systemd:/lib/systemd")
LOG = """\
2026-09-21 14:15:00 bustd-monitor: bustd 0.1.0 acts when one of these is true: floor: less than 10 %
2026-09-21 14:16:40 bustd-monitor: {decision}
2026-09-21 14:16:40 bustd-monitor: {answer}
2026-09-21 14:16:41 bustd-monitor: {end}
no line of a daemon
"""
Typed = Callable[..., tuple[object, str, str]]


class Machine:
    """What `bustd history` finds: the journal's files, journalctl, the log file, and the monitor's socket."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.system_journal = place / "log/machine/system.journal"
        self.log = place / "bustd.log"
        self.socket = place / "events"

    def has_a_journal(self, script: str) -> None:
        """With this program as journalctl."""
        self.system_journal.parent.mkdir(parents=True)
        self.system_journal.touch()
        program = self.place / "bin/journalctl"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def prints(self, *streams: bytes) -> None:
        """A journal of which journalctl prints these, one for each question, and then nothing."""
        for number, stream in enumerate(streams):
            (self.place / f"answer-{number}").write_bytes(stream)
        here = self.place
        self.has_a_journal(
            f"count=$(cat {here}/count 2>/dev/null || echo 0); echo $((count + 1)) >{here}/count\n"
            f'printf "%s\\n" "$PATH" "$@" "" >>{here}/asked\n'
            f"[ ! -e {here}/answer-$count ] || cat {here}/answer-$count"
        )

    def has_a_log(self) -> None:
        sentences = [told(event).sentence for event in (chosen(), answered(), ended())]
        self.log.write_text(LOG.format(**dict(zip(("decision", "answer", "end"), sentences, strict=True))))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path)
    monkeypatch.setattr(journal, "PATH", f"{tmp_path}/bin:{os.defpath}")
    monkeypatch.setattr(journal, "ROOTS", (f"{tmp_path}/log", f"{tmp_path}/run"))
    monkeypatch.setattr(journal, "PATIENCE_S", 30.0)
    monkeypatch.setattr(log_file, "paths", lambda: [str(made.log)])
    monkeypatch.setattr(sources, "EVENTS_SOCKET", str(made.socket))
    return made


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Typed:
    return lambda *words: typed(monkeypatch, capfd, "history", *words)


def stories_in(out: str) -> list[tuple[str, int, str]]:
    """Source, number and name of each story of a document."""
    found = json.loads(out)
    return [(found["source"], one["number"], one["victim"]["comm"]) for one in found["stories"]]


# --- journalctl


def test_it_asks_for_bustds_units_alone_and_a_forged_entry_is_no_story(machine: Machine, history: Typed) -> None:
    forged = stamped(entry("bustd-monitor", "m", told(chosen(666, b"forged"))), 50, unit="user@1000.service")
    machine.prints(kill() + forged)
    code, out, err = history("--json")
    assert (code, err, stories_in(out)) == (0, "", [("journal", 1, "leak")])
    path, *words = (machine.place / "asked").read_text().split("\n\n")[0].splitlines()
    assert path == journal.PATH
    assert [word for word in words if not word.startswith("-")] == [
        "_SYSTEMD_UNIT=bustd-monitor.service",
        "_SYSTEMD_UNIT=bustd-killer.service",
    ]
    assert {"--quiet", "--no-pager", "--output=export", f"--lines={journal.MOST_ENTRIES}"} < set(words)


def test_a_boot_without_a_shutdown_is_told_with_its_last_entry(machine: Machine, history: Typed) -> None:
    started = mark(1, BEFORE, MESSAGE_ID=JOURNAL_STARTED, _TRANSPORT="driver")
    stopped = mark(900, THIS, MESSAGE_ID=JOURNAL_STOPPED, _TRANSPORT="driver")
    last = stamped(b"MESSAGE=x\n", 777, boot=BEFORE)
    machine.prints(kill(boot=BEFORE) + kill(boot=THIS), started + stopped, last)
    found = json.loads(history("--json")[1])
    assert found["boots_without_shutdown"] == [
        {"boot": BEFORE, "last_entry_us": (EPOCH_S + 777) * 10**6, "is_of_any_program": True}
    ]
    assert f"_BOOT_ID={BEFORE}" in (machine.place / "asked").read_text()


def test_the_boot_that_runs_now_has_not_ended(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    boot_id = machine.place / "boot_id"
    boot_id.write_text("bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb\n")
    monkeypatch.setattr(sources, "_BOOT_ID", str(boot_id))
    machine.prints(kill(boot=THIS))
    assert json.loads(history("--json")[1])["boots_without_shutdown"] == []


def test_the_whole_story_of_one_by_its_number(machine: Machine, history: Typed) -> None:
    machine.prints(kill(101, 100) + kill(102, 500))
    code, out, _ = history("2")
    assert code == 0 and out.startswith("2. ") and "101 (leak) died" in out


def test_a_number_that_no_story_has_is_1_and_a_sentence(machine: Machine, history: Typed) -> None:
    machine.prints(kill())
    code, out, err = history("2")
    assert (code, out, err) == (1, "", "bustd: there is no story 2: there are 1, of which 1 is the last\n")


def test_nothing_to_tell_is_0_and_a_sentence(machine: Machine, history: Typed) -> None:
    machine.prints(b"", stamped(b"MESSAGE=x\n", 5, unit="cron.service"))
    code, out, err = history()
    assert (code, err) == (0, "") and out.startswith("Nothing was killed")


def test_a_journal_without_any_entry_can_tell_nothing(machine: Machine, history: Typed) -> None:
    machine.prints(b"", b"")
    code, out, err = history()
    assert (code, out) == (69, "") and err.startswith("bustd: the journal has no entry that can be read; ")


def test_a_journal_that_does_not_outlive_a_boot_says_so(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "ROOTS", (f"{machine.place}/none", f"{machine.place}/log"))
    machine.prints(kill())
    code, _, err = history()
    assert (code, err) == (0, f"bustd: {sources.NOT_KEPT}\n")


def test_more_entries_than_are_read_are_not_left_out_in_silence(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "MOST_ENTRIES", 5)
    machine.prints(kill())
    assert history()[2] == f"bustd: {journal.MORE}\n"


# --- journalctl that can't

BROKEN = {
    "hangs": ("exec sleep 60", "journalctl has not answered within 0.5 s"),
    "fails": ("echo 'no \x1b[2J' >&2; exit 1", r"journalctl has failed: no \x1b[2J"),
    "fails in silence": ("exit 3", "journalctl has failed: it does not say why"),
    "prints what is no entry": ("printf 'MESSAGE\\nxxxxxxxxxxxxxxxxxxxx'", "journalctl has printed what can't be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_journalctl_that_is_of_no_use_is_said_and_the_log_file_told(
    machine: Machine, history: Typed, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hangs":
        monkeypatch.setattr(journal, "PATIENCE_S", 0.5)
    script, words = BROKEN[name]
    machine.has_a_journal(script)
    machine.has_a_log()
    started_s = time.monotonic()
    code, out, err = history("--json")
    assert time.monotonic() - started_s < 10
    assert (code, stories_in(out)) == (0, [("log file", 1, "leak")])
    assert err.startswith(f"bustd: {words}")


@pytest.mark.parametrize("name", BROKEN)
def test_without_anything_else_it_is_69_and_a_sentence(
    machine: Machine, history: Typed, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "hangs":
        monkeypatch.setattr(journal, "PATIENCE_S", 0.5)
    script, words = BROKEN[name]
    machine.has_a_journal(script)
    code, out, err = history()
    assert (code, out) == (69, "") and err.startswith(f"bustd: {words}") and err.count("\n") == 1


def test_what_journalctl_printed_before_it_failed_is_told_with_what_went_wrong(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (machine.place / "some").write_bytes(kill() + b"MESSAGE\n\xff\xff\xff\xff\xff\xff\xff\xffx")
    machine.has_a_journal(f"cat {machine.place}/some; echo 'corrupted' >&2; exit 1")
    code, out, err = history("--json")
    assert (code, stories_in(out)) == (0, [("journal", 1, "leak")])
    assert err.splitlines() == [
        "bustd: journalctl has failed: corrupted",
    ]


def test_without_journalctl_the_log_file_is_told(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.has_a_journal("")
    monkeypatch.setattr(journal, "PATH", f"{machine.place}/none")
    machine.has_a_log()
    code, out, err = history("--json")
    assert (code, stories_in(out)) == (0, [("log file", 1, "leak")])
    assert err.startswith("bustd: there is no journalctl\n")


def test_the_journalctl_of_the_callers_path_is_not_taken(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.prints(kill())
    monkeypatch.setenv("PATH", f"{machine.place}/bin")
    monkeypatch.setattr(journal, "PATH", f"{machine.place}/none")
    assert history()[0] == 69 and not (machine.place / "asked").exists()


# --- who may not read the journal


def in_another_user(look: Callable[[], None]) -> None:
    """As a user to whom the journal's files are closed: root is not."""

    def dropped() -> None:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
        look()

    in_child(dropped)


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that every user may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize("mode", [0o000, 0o755])
def test_who_may_not_read_the_journal_is_known(open_place: Path, mode: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed file, or a closed folder."""
    monkeypatch.setattr(journal, "ROOTS", (f"{open_place}/log",))
    file = open_place / "log/machine/system.journal"
    file.parent.mkdir(parents=True)
    file.touch(0o600)
    file.chmod(0o000)
    (open_place / "log").chmod(mode)

    def look() -> None:
        assert journal.is_closed()

    in_another_user(look)
    (open_place / "log").chmod(0o755)
    file.chmod(0o644)

    def look_again() -> None:
        assert not journal.is_closed()

    in_another_user(look_again)


def test_where_there_is_no_journal_none_is_closed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "ROOTS", (f"{tmp_path}/log",))
    assert not journal.is_closed()


class Teller(threading.Thread):
    """A monitor at its events socket that sends these packets to one reader, again and again if it `floods`."""

    def __init__(self, path: Path, packets: list[bytes], *, floods: bool = False) -> None:
        super().__init__()
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(1)
        self.packets, self.floods = packets, floods

    def run(self) -> None:
        link, _ = self.listener.accept()
        with link:
            try:
                while True:
                    for packet in self.packets:
                        link.send(packet)
                    if not self.floods:
                        break
                link.recv(1)  # it is silent, and stays, until its reader goes
            except OSError:
                return

    def __enter__(self) -> Teller:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.join()
        self.listener.close()


def packets() -> list[bytes]:
    """Of a kill, as the monitor sends them: with its times, and without what journald adds."""
    sent = []
    for number, said in enumerate(told(event) for event in (chosen(), answered(), ended())):
        times = stamped(b"", 5 + number).partition(b"_BOOT_ID")[0]
        sent.append(times + entry("bustd-monitor", said.sentence, said))
    return sent


@pytest.mark.parametrize("floods", [False, True])
def test_who_may_not_read_the_journal_is_told_how_and_sees_what_the_monitor_still_knows(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch, floods: bool
) -> None:
    machine.prints(b"")
    monkeypatch.setattr(journal, "is_closed", lambda: True)
    with Teller(machine.socket, packets(), floods=floods):
        started_s = time.monotonic()
        code, out, err = history("--json")
        assert time.monotonic() - started_s < 5
    assert code == 0 and stories_in(out)[0][0] == "events socket" and stories_in(out)[-1][2] == "leak"
    assert err == f"bustd: {sources.CLOSED}\nbustd: {sources.SOCKET_ONLY}\n"
    assert not (machine.place / "asked").exists()


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ([], "the monitor at {} tells nothing"),
        ([b"MESSAGE\nxx"], "what answers at {} does not send events of bustd's"),
        ([b"\0" * 100], "what answers at {} does not send events of bustd's"),
    ],
)
def test_a_monitor_that_tells_nothing_or_nonsense_is_said(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch, sent: list[bytes], words: str
) -> None:
    monkeypatch.setattr(journal, "is_closed", lambda: True)
    with Teller(machine.socket, sent):
        code, out, err = history()
    assert (code, out) == (69, "")
    assert err == f"bustd: {sources.CLOSED}; {words.format(machine.socket)}\n"


# --- the log file


def test_without_a_journal_the_log_file_is_told_and_what_its_lines_do_not_say(machine: Machine, history: Typed) -> None:
    machine.has_a_log()
    code, out, err = history()
    assert code == 0 and "leak             300 MiB floor                   +300 MiB" in out
    assert err.splitlines()[1] == f"bustd: {sources.LINES_ONLY.format(path=machine.log)}"
    code, out, _ = history("1")
    assert code == 0 and "101 (leak) died" in out and "+1.000 s" in out


@pytest.mark.parametrize("content", [b"", b"\0" * 1000, b"2026-99-99 99:99:99 bustd-monitor: x\n", b"\xff\n" * 9])
def test_a_log_file_that_says_nothing_is_no_history(machine: Machine, history: Typed, content: bytes) -> None:
    machine.log.write_bytes(content)
    code, out, _ = history()
    assert code == 0 and out.startswith("Nothing was killed")


def test_of_a_long_log_file_the_end_is_read(machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.has_a_log()
    text = machine.log.read_text()
    last = text.replace("(leak)", "(last)")
    machine.log.write_text(text * 10 + last)
    monkeypatch.setattr(log_file, "MOST_BYTES", len(last) + 10)
    assert stories_in(history("--json")[1]) == [("log file", 1, "last")]


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_what_is_no_log_file_is_not_read_and_not_waited_for(machine: Machine, history: Typed, kind: str) -> None:
    if kind == "fifo":
        os.mkfifo(machine.log)
    elif kind == "link":
        machine.log.symlink_to(machine.place / "other")
    else:
        machine.log.mkdir()
    code, _, err = history()
    assert code == 69 and str(machine.log) in err


# --- a real journal


def test_a_directory_without_a_journal_is_65(machine: Machine, history: Typed) -> None:
    code, out, err = history("--directory", f"{machine.place}/no\nne")
    assert (code, out) == (65, "") and err == f"bustd: there is no journal in {machine.place}/no\\nne\n"


@pytest.mark.skipif(REMOTE is None, reason="systemd-journal-remote is not installed")
@pytest.mark.skipif(shutil.which("journalctl") is None, reason="journalctl is not installed")
def test_the_journal_of_another_machine_is_read_with_its_forged_entries_and_its_crash(
    machine: Machine, history: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PATH", os.defpath)

    def driver(at_s: float, boot: str, message_id: str, wall_s: int) -> bytes:
        real = f"{(EPOCH_S + wall_s) * 10**6}"
        return mark(at_s, boot, MESSAGE_ID=message_id, _TRANSPORT="driver", __REALTIME_TIMESTAMP=real)

    stream = [
        driver(1, BEFORE, JOURNAL_STARTED, 0),
        kill(101, 100, boot=BEFORE),
        stamped(entry("bustd-monitor", "m", told(chosen(666, b"forged"))), 200, boot=BEFORE, unit="user@1000.service"),
        stamped(b"MESSAGE=the last word\n", 300, boot=BEFORE, unit="cron.service"),
        mark(
            1, THIS, MESSAGE_ID=JOURNAL_STARTED, _TRANSPORT="driver", __REALTIME_TIMESTAMP=f"{(EPOCH_S + 400) * 10**6}"
        ),
        kill(7, 50, boot=THIS, wall_s=EPOCH_S + 450),
        driver(60, THIS, JOURNAL_STOPPED, 460),
    ]
    file = machine.place / "m/system.journal"
    file.parent.mkdir()
    assert REMOTE is not None
    subprocess.run([REMOTE, f"--output={file}", "-"], input=b"".join(stream), check=True, capture_output=True)
    code, out, err = history("--directory", str(machine.place / "m"), "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert [one["victim"]["pid"] for one in found["stories"]] == [101, 7]
    assert [one["end"] for one in found["stories"]] == ["died", "died"]
    assert found["boots_without_shutdown"] == [
        {"boot": BEFORE, "last_entry_us": (EPOCH_S + 300) * 10**6, "is_of_any_program": True}
    ]
    file.parent.rename(machine.place / ("e" * 32))
    code, out, _ = history("--directory", str(machine.place), "2")
    assert code == 0 and "without a shutdown" in out and "next one, uid 1000" in out
