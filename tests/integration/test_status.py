"""`bustd status` against a real socket: one that answers, hangs, floods, speaks garbage, or is not there."""

from __future__ import annotations

import json
import re
import socket
import time
from argparse import Namespace
from functools import partial

import pytest

from bustd_monitor.cli import status as module
from bustd_monitor.cli.daemons_running import Running
from bustd_monitor.cli.events_now import MOST_ENTRIES, heard_now
from bustd_monitor.cli.monitor_unit import MonitorUnit
from bustd_monitor.reporting.events import ANSWERED, DECIDED, ENDED, NOT_PROTECTED, NOTED, READY, STARTED
from tests.support.told import packet, speaker, telling

NAME = b"a|b\n\x1b[2J\xe2\x80\xaegpj.exe\xff"
KILL = (("CONDITION", "floor"), ("SIGNAL", "KILL"), ("VICTIM_PID", 71), ("VICTIM_COMM", NAME), ("VICTIM_UID", 1000))
STANDING = (packet(STARTED, (("DRY_RUN", 0),), at_s=1), packet(READY, (("KILLER_PID", 812),), at_s=2))
STORY = (
    packet(DECIDED, (*KILL, ("VICTIM_BYTES", 2**30), ("VICTIM_UNIT", "x\n.scope")), at_s=3),
    packet(ANSWERED, (*KILL, ("OUTCOME", "signalled"), ("REASON", "none")), at_s=3.1),
    packet(ENDED, (*KILL, ("OUTCOME", "gone"), ("ELAPSED_MS", 26)), at_s=3.2),
)
RUNS = MonitorUnit("loaded", "active")
LONGEST_S = 12
"""For a socket on which nobody accepts (5 s), with a second's look at memory, on a busy machine."""


@pytest.fixture
def status(monkeypatch, capsys):
    """Runs the command: the exit code, what it printed, and how long it took."""

    def run(path: str, *, unit: MonitorUnit = RUNS, as_json: bool = False):
        monkeypatch.setattr(module, "monitor_unit", lambda: unit)
        monkeypatch.setattr(module, "daemons_running", lambda: Running((600,)))
        monkeypatch.setattr(module, "heard_now", partial(heard_now, str(path)))
        began_s = time.monotonic()
        code = module.status(Namespace(json=as_json))
        took_s = time.monotonic() - began_s
        assert took_s < LONGEST_S
        return code, capsys.readouterr().out

    return run


def test_a_monitor_that_answers_is_shown_with_its_last_kills(status, tmp_path):
    with speaker(tmp_path / "events", telling((*STANDING, *STORY))) as path:
        code, said = status(path)
    first = said.splitlines()[0]
    assert code == 0 and first.startswith("BUSTD OK: watching; the killer 812 answers, since ")
    assert "71), unit x\\n.scope, holding 1024 MiB: SIGKILL for floor; gone after 26 ms" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "a|b\\n\\x1b[2J\\u202egpj.exe\\xff" in said


def test_what_happened_last_counts_whatever_is_told_first(status, tmp_path):
    lost, found = packet(NOT_PROTECTED, at_s=5), packet(READY, (("KILLER_PID", 900),), at_s=9)
    with speaker(tmp_path / "events", telling((STANDING[0], found, STANDING[1], lost))) as path:
        code, said = status(path)
    assert code == 0 and said.startswith("BUSTD OK: watching; the killer 900 answers")


def test_a_monitor_that_hangs_up_after_its_events_is_heard_as_well(status, tmp_path):
    with speaker(tmp_path / "events", telling(STANDING, stays=False)) as path:
        assert status(path)[0] == 0


def test_a_monitor_without_a_killer_is_critical(status, tmp_path):
    lost = packet(NOT_PROTECTED, message="lost the killer | gone", at_s=4)
    with speaker(tmp_path / "events", telling((*STANDING, lost))) as path:
        code, said = status(path)
    assert code == 2 and said.startswith("BUSTD CRITICAL: NOT PROTECTED: lost the killer / gone, since ")


def test_a_monitor_that_has_told_everything_is_not_waited_for(tmp_path):
    with speaker(tmp_path / "events", telling(STANDING)) as path:
        began_s = time.monotonic()
        assert len(heard_now(path).entries) == len(STANDING)
        assert time.monotonic() - began_s < 1.5


def test_a_monitor_that_is_slow_in_a_crisis_is_waited_for(status, tmp_path):
    def slow(client: socket.socket) -> None:
        time.sleep(0.8)
        telling(STANDING)(client)

    with speaker(tmp_path / "events", slow) as path:
        assert status(path)[0] == 0


def test_a_dry_run_is_a_warning(status, tmp_path):
    dry = (packet(STARTED, (("DRY_RUN", 1),), at_s=1), STANDING[1])
    with speaker(tmp_path / "events", telling(dry)) as path:
        code, said = status(path)
    assert code == 1 and said.startswith("BUSTD WARNING: dry run: no process is killed; the killer 812 answers")


def test_json_is_one_object_in_ascii_whatever_a_name_holds(status, tmp_path):
    with speaker(tmp_path / "events", telling((*STANDING, *STORY))) as path:
        code, said = status(path, as_json=True)
    assert said.isascii()
    values = json.loads(said)
    assert (code, values["exit_code"], values["protected"]) == (0, 0, True)
    assert values["kills"][0]["comm"] == "a|b\n\x1b[2J\u202egpj.exe\\xff"


def hanging(client: socket.socket) -> None:
    client.recv(1)


def flooding(client: socket.socket) -> None:
    for one in STANDING:
        client.send(one)
    noise = packet(NOTED, message="x" * 100, at_s=5)
    while True:
        client.send(noise)


def dripping(client: socket.socket) -> None:
    """Never silent for long enough to seem to have ended."""
    for one in STANDING:
        client.send(one)
    while True:
        client.send(packet(NOTED, message="x", at_s=5))
        time.sleep(0.05)


@pytest.mark.parametrize("speak", [flooding, dripping])
def test_a_socket_that_never_ends_is_left_after_a_while(status, tmp_path, speak):
    with speaker(tmp_path / "events", speak) as path:
        assert len(heard_now(path).entries) <= MOST_ENTRIES
        assert status(path)[0] == 0


def test_a_socket_that_hangs_is_unknown(status, tmp_path):
    with speaker(tmp_path / "events", hanging) as path:
        code, said = status(path)
    assert code == 3
    assert re.match(
        r"BUSTD UNKNOWN: the monitor 600 runs and can't be asked \(no event has come from \S+ for 2 s\)", said
    )
    assert "\nWhat to do: " in said


def test_a_socket_that_hangs_is_no_trouble_where_systemd_knows(status, tmp_path):
    unit = MonitorUnit("loaded", "active", "watching; the killer 812 answers", 0, 1_700_000_000_000_000)
    with speaker(tmp_path / "events", hanging) as path:
        code, said = status(path, unit=unit)
    assert code == 0 and said.startswith("BUSTD OK: watching; the killer 812 answers, since 20")


def test_a_monitor_that_hangs_up_without_a_word_has_readers_enough(status, tmp_path):
    with speaker(tmp_path / "events", telling((), stays=False)) as path:
        code, said = status(path)
    assert code == 3 and "it has readers enough" in said


def test_a_queue_that_is_full_is_unknown(status, tmp_path):
    """Nobody accepts: connect(2) itself would wait."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "events"))
        listener.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as first:
            first.connect(str(tmp_path / "events"))
            assert status(tmp_path / "events")[0] == 3


@pytest.mark.parametrize(
    "garbage",
    [b"\x00\xff" * 9, b"MESSAGE=x", b"BUSTD_X\n" + b"\xff" * 8 + b"\n", b"\n\n\n", "MESSAGE_ID=\u202e\n".encode()],
)
def test_garbage_is_unknown(status, tmp_path, garbage):
    with speaker(tmp_path / "events", telling((garbage,))) as path:
        code, said = status(path)
    assert code == 3 and said.startswith("BUSTD UNKNOWN: the monitor 600 runs and can't be asked (")
    assert all(line.isprintable() for line in said.splitlines())


def test_a_socket_that_is_not_there_is_unknown_and_says_so(status, tmp_path):
    code, said = status(tmp_path / "events")
    assert code == 3 and "events does not exist: bustd does not run" in said


def test_a_packet_that_is_too_long_is_no_event(status, tmp_path):
    with speaker(tmp_path / "events", telling((b"MESSAGE=" + b"x" * 100_000 + b"\n", *STANDING))) as path:
        assert status(path)[0] == 3
