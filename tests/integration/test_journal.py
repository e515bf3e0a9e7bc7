"""The daemons with a journal that the test makes up: each event is told once, natively or as a line, and none waits."""

import contextlib
import os
import select
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import prctl
import pytest

from bustd_killer.stage1 import landlock, seccomp
from bustd_monitor.deciding.events import Event, NotProtected, Warned
from bustd_monitor.event_log import EventLog
from bustd_shared.daemon.lines import PLAIN
from bustd_shared.daemon.log import Log
from tests.support import pair, victims
from tests.support.pair import NEVER
from tests.unit.monitor.test_events import fields_of
from tests.unit.shared.forked import in_child

HOSTILE = b"a) R 1\n\xff\x1b"
ANOTHER = "1:2"
PATIENCE_S = 20
Entry = dict[str, bytes]


class FakeJournal:
    """Both ways to the journal: the socket of its native protocol at `path`, and the stream of a standard error."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.stream, self.stderr = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.stream.setblocking(False)
        self.native: socket.socket | None = None

    @property
    def variable(self) -> str:
        """JOURNAL_STREAM, as systemd sets it for what has this standard error."""
        status = os.fstat(self.stderr.fileno())
        return f"{status.st_dev}:{status.st_ino}"

    def listen(self) -> None:
        self.path.unlink(missing_ok=True)
        self.native = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.native.setblocking(False)
        self.native.bind(str(self.path))
        self.path.chmod(0o666)

    def go_away(self) -> None:
        """As a journal that is restarted, or one that has crashed: its socket stays behind."""
        if self.native is not None:
            self.native.close()
            self.native = None

    def entries(self) -> list[Entry]:
        """What has come in the meantime."""
        found = []
        with contextlib.suppress(BlockingIOError):
            while self.native is not None:
                packet = self.native.recv(65536)
                assert len(packet) <= 8192
                found.append(dict(fields_of(packet)))
        return found

    def lines(self) -> list[bytes]:
        """The lines that have come in the meantime."""
        read = b""
        with contextlib.suppress(BlockingIOError):
            while chunk := self.stream.recv(65536):
                read += chunk
        return read.splitlines()

    def close(self) -> None:
        self.go_away()
        self.stream.close()
        self.stderr.close()


def awaited(look: Callable[[], list], ready: socket.socket, is_last: Callable[[object], bool]) -> list:
    """What `look` finds, up to one of which `is_last` is true."""
    found: list = []
    deadline = time.monotonic() + PATIENCE_S
    while not any(is_last(one) for one in found):
        assert time.monotonic() < deadline, found
        select.select([ready], [], [], 0.1)
        found += look()
    return found


@pytest.fixture
def journal(tmp_path) -> Iterator[FakeJournal]:
    made = FakeJournal(tmp_path / "socket")
    yield made
    made.close()


# --- the log of events alone


@contextmanager
def log_to(journal: FakeJournal, variable: str) -> Iterator[Log]:
    made = Log("bustd-test", journal.stderr.fileno(), journal_stream=variable)
    yield made
    assert made.link is not None
    made.link.close()


@pytest.fixture
def log(journal) -> Iterator[Log]:
    with log_to(journal, journal.variable) as made:
        yield made


@pytest.fixture
def tell(journal, log) -> Iterator[EventLog]:
    made = EventLog(log, str(journal.path))
    yield made
    made.close()


def test_an_event_is_an_entry_and_no_line(journal, tell):
    journal.listen()
    tell(NotProtected("no \n killer"))
    (entry,) = journal.entries()
    assert entry == {
        "MESSAGE": rb"no \n killer",
        "MESSAGE_ID": b"89cb0eecabe94a12ac788ff01adad6e3",
        "PRIORITY": b"2",
        "SYSLOG_IDENTIFIER": b"bustd-test",
    }
    assert journal.lines() == []


def test_without_a_journal_an_event_is_one_line_with_its_level_and_a_new_journal_is_found(journal, tell):
    tell(NotProtected("one"))
    journal.listen()
    tell(NotProtected("two"))
    journal.go_away()
    tell(Warned("three"))
    journal.listen()
    tell(Warned("four"))
    assert [entry["MESSAGE"] for entry in journal.entries()] == [b"four"], "two went with the journal that had it"
    assert journal.lines() == [b"<2>bustd-test: one", b"<5>bustd-test: three"]


def test_an_event_that_is_too_long_for_an_entry_is_a_line(journal, tell):
    journal.listen()
    tell(Warned("x" * 8192))
    tell(Warned("short"))
    assert [entry["MESSAGE"] for entry in journal.entries()] == [b"short"]
    assert journal.lines() == [b"<5>bustd-test: " + b"x" * 8192]


def until(tell: EventLog, event: Event, is_so: Callable[[], bool]) -> int:
    """Tell it until that is so; how often that was."""
    for count in range(1, 100_000):
        tell(event)
        if is_so():
            return count
    raise AssertionError("nothing is ever full")


def test_what_finds_no_room_anywhere_is_counted_and_told_with_the_next_entry(journal, log, tell):
    journal.listen()
    told = until(tell, Warned("x" * 500), lambda: log.dropped > 0)
    tell(Warned("y" * 500))
    assert log.dropped == 2
    entries, lines = journal.entries(), journal.lines()
    # the last line may be a part of the one that was dropped
    assert len(entries) > 1 and len(entries) + sum(len(line) > 500 for line in lines) == told - 1
    tell(Warned("here again"))
    tell(Warned("and on"))
    first, second = journal.entries()
    assert first["MESSAGE"] == b"here again (2 lines before this one were dropped)"
    assert (first["BUSTD_DROPPED"], second["MESSAGE"]) == (b"2", b"and on")
    assert "BUSTD_DROPPED" not in second and journal.lines() == []


@pytest.mark.parametrize("variable", ["", ANOTHER, "nonsense", "1:2:3"])
def test_a_standard_error_that_is_not_the_journals_gets_plain_lines(journal, variable):
    with log_to(journal, variable) as log:
        assert log.form == PLAIN
        log("one", 2)
    assert journal.lines() == [b"bustd-test: one"]


def test_an_entry_goes_out_through_the_monitors_filter_and_landlock_also_after_a_restart_of_the_journal(journal, tell):
    """Of the calls that the filter permits: the socket is made before, and sendto(2) looks the address up."""
    journal.listen()

    def confined() -> None:
        prctl.set_no_new_privs(1)
        landlock.confine_monitor()
        seccomp.filter_monitor()
        tell(Warned("from inside"))

    in_child(confined)
    (entry,) = journal.entries()
    journal.go_away()
    journal.listen()
    in_child(confined)
    assert [entry, *journal.entries()] == [entry, entry] and entry["MESSAGE"] == b"from inside"
    assert journal.lines() == []


# --- the daemons


@contextmanager
def place_of(crew: pair.Crew) -> Iterator[tuple[Path, str, FakeJournal]]:
    """A place, an interpreter whose monitor finds the journal there, and that journal."""
    with pair.place_for(crew) as place:
        made = FakeJournal(place / "journal")
        try:
            with pair.planted({"bustd_monitor/event_log.py": f'\nJOURNAL_SOCKET = "{made.path}"\n'}) as python:
                yield place, python, made
        finally:
            made.close()


@contextmanager
def monitor(
    crew: pair.Crew, place: Path, python: str, journal: FakeJournal, policy: pair.Policy, variable: str = ""
) -> Iterator[pair.Running]:
    """A monitor for `lone_killer`, as systemd starts it."""
    words = [
        "--config",
        str(pair.write_policy(place / "bustd.toml", {"killer.socket": f"{place}/killer.sock", **policy})),
    ]
    words += ["--killer-config", str(pair.write_policy(place / "advice.toml", {})), *pair.scope()]
    if not crew.is_root:
        words += ["--only-uid", str(crew.monitor_uid)]
    (program,) = Path(python).parents[1].glob("lib/python*/site-packages/bustd_monitor/__main__.py")
    environment = {"PATH": os.defpath, "JOURNAL_STREAM": variable or journal.variable}
    command = [python, "-I", "-S", str(program), *words]
    stderr = journal.stderr.fileno()
    with pair.started(command, crew.monitor_identity, place / "m.log", stderr=stderr, env=environment) as running:
        yield running


def test_a_kill_is_told_in_entries_alone_with_the_name_as_it_is(crew):
    with place_of(crew) as (place, python, journal), crew.victim(name=HOSTILE) as leak, pair.lone_killer(crew, place):
        journal.listen()
        assert journal.native is not None
        with monitor(crew, place, python, journal, pair.ALWAYS):
            found = awaited(journal.entries, journal.native, lambda entry: b"the victim is gone" in entry["MESSAGE"])
            assert victims.exits_within(leak, 15)
        found += journal.entries()
        assert journal.lines() == []
    kinds = [(entry["PRIORITY"], entry["MESSAGE"].split()[0]) for entry in found]
    assert kinds[0] == (b"5", b"bustd") and (b"5", b"connected") in kinds and kinds[-1] == (b"5", b"stopping")
    decision = next(entry for entry in found if entry["MESSAGE"].startswith(b"floor fires"))
    answer = next(entry for entry in found if entry["MESSAGE"].startswith(b"the killer: signalled"))
    end = next(entry for entry in found if entry.get("BUSTD_OUTCOME") == b"gone")
    for entry in (decision, answer, end):
        assert (entry["BUSTD_VICTIM_PID"], entry["BUSTD_VICTIM_COMM"]) == (b"%d" % leak.pid, HOSTILE)
        assert entry["BUSTD_CONDITION"] == b"floor" and entry["SYSLOG_IDENTIFIER"] == b"bustd-monitor"
    assert (decision["PRIORITY"], answer["PRIORITY"], end["PRIORITY"]) == (b"4", b"4", b"6")


def test_a_start_and_a_change_of_settings_say_whether_anything_is_killed(crew):
    with place_of(crew) as (place, python, journal):
        journal.listen()
        assert journal.native is not None
        policy = {"killer.socket": f"{place}/killer.sock", **NEVER}
        with monitor(crew, place, python, journal, NEVER | {"dry_run": True}) as running:
            found = awaited(journal.entries, journal.native, lambda entry: b"no connection" in entry["MESSAGE"])
            pair.write_policy(place / "bustd.toml", policy)
            running.process.send_signal(signal.SIGHUP)
            found += awaited(journal.entries, journal.native, lambda entry: b"read again" in entry["MESSAGE"])
            pair.write_policy(place / "bustd.toml", policy | {"dry_run": True})
            running.process.send_signal(signal.SIGHUP)
            found += awaited(journal.entries, journal.native, lambda entry: b"read again" in entry["MESSAGE"])
        assert [entry["BUSTD_DRY_RUN"] for entry in found if "BUSTD_DRY_RUN" in entry] == [b"1", b"0", b"1"]


def test_a_journal_that_stops_reading_costs_no_event_while_lines_go_and_never_a_wait(crew):
    """Its queue is full after a few datagrams. `verbose` tells of each turn."""
    with place_of(crew) as (place, python, journal):
        journal.listen()
        assert journal.native is not None
        policy = NEVER | {"verbose": True, "sleep.longest_ms": 20, "sleep.shortest_ms": 20}
        with monitor(crew, place, python, journal, policy) as running:
            lines = awaited(journal.lines, journal.stream, lambda line: b"[adaptive-sleep]" in line)
            assert all(line.startswith((b"<2>", b"<5>", b"<6>", b"<7>")) for line in lines)
            assert journal.entries()[0]["MESSAGE"].startswith(b"bustd ")
            awaited(journal.entries, journal.native, lambda entry: entry["PRIORITY"] == b"7")
            running.process.send_signal(signal.SIGTERM)  # while both fill up again
            assert running.ends() == 0


def test_where_standard_error_is_something_else_the_monitor_writes_plain_lines(crew):
    with place_of(crew) as (place, python, journal):
        journal.listen()
        with monitor(crew, place, python, journal, NEVER, ANOTHER):
            lines = awaited(journal.lines, journal.stream, lambda line: b"no connection" in line)
            assert all(line.startswith(b"bustd-monitor: ") for line in lines)
            assert journal.entries() == []


@pytest.mark.parametrize("is_journal", [True, False])
def test_the_killers_lines_begin_with_their_level_in_the_journal_only(crew, place, journal, is_journal):
    config = pair.write_policy(place / "killer.toml", {"peer.user": crew.monitor_uid, **pair.PERMISSIVE})
    words = ["--config", str(config), *pair.scope(), "--socket", f"{place}/killer.sock"]
    environment = {"PATH": os.defpath, "JOURNAL_STREAM": journal.variable if is_journal else ANOTHER}
    command, stderr = [*pair.daemon("bustd_killer"), *words], journal.stderr.fileno()
    with (
        pair.started(command, crew.identity, place / "k.log", stderr=stderr, env=environment),
        crew.victim(name=HOSTILE) as leak,
    ):
        lines = awaited(journal.lines, journal.stream, lambda line: b"memory is " in line)  # stage 2 says that
        with pair.lone_monitor(crew, place):
            assert victims.exits_within(leak, 15)
            lines += awaited(journal.lines, journal.stream, lambda line: b"signalled" in line)
    mark = b"<5>" if is_journal else b""
    assert lines[0].startswith(mark + b"bustd-killer: bustd ")
    assert next(line for line in lines if b"memory is " in line).startswith(mark + b"bustd-killer: ")
    (kill,) = [line for line in lines if b"signalled" in line]
    assert kill.startswith((b"<4>" if is_journal else b"") + b"bustd-killer: signalled SIGTERM")
