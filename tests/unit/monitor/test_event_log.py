"""Where events go: what the log and what the readers are told of each."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bustd_monitor import event_log
from bustd_monitor.deciding.events import Chosen, Event, NextAsked, NotProtected, Warned
from bustd_monitor.event_log import LONGEST_ENTRY_BYTES, EventLog
from bustd_monitor.readers import Readers
from bustd_monitor.reporting.events import DECIDED, NOT_PROTECTED, WARNED, Kind
from bustd_monitor.sensing.processes import Process
from bustd_shared.daemon.lines import Lines
from tests.unit.monitor.making import candidate
from tests.unit.monitor.test_events import ALL, CHOICE, CONDITIONS, fields_of

SECRET = "mysql --password=hunter2 \\u202e"


class Heard(Readers):
    """In place of readers: what they would be told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.packets: list[tuple[Kind, bytes]] = []

    def __bool__(self) -> bool:
        return True

    def tell(self, kind: Kind, packet: bytes) -> None:
        self.packets.append((kind, packet))


class Written(Lines):
    """In place of the log: its lines."""

    def __init__(self) -> None:
        super().__init__("bustd-test")
        self.lines: list[str] = []

    def __call__(self, sentence: str, level: int = 5) -> None:
        self.lines.append(sentence)


@contextmanager
def told(event: Event) -> Iterator[tuple[list[str], list[tuple[str, bytes]]]]:
    """The lines of the log, and the fields that readers get."""
    log, readers = Written(), Heard()
    EventLog(log, readers=readers)(event)  # type: ignore[arg-type]
    ((_, packet),) = readers.packets
    yield log.lines, fields_of(packet.replace(b"__", b"X__", 2))


def with_secrets(value: Any) -> Any:
    """The same, and every process in it has a command line."""
    if isinstance(value, Process):
        return value._replace(command=SECRET)
    if not isinstance(value, tuple):
        return value
    parts = [with_secrets(part) for part in value]
    return value._make(parts) if hasattr(value, "_make") else tuple(parts)


@pytest.mark.parametrize("event", [with_secrets(event) for event in ALL], ids=lambda event: type(event).__name__)
def test_readers_are_told_what_the_log_is_told_without_any_command_line(event):
    with told(event) as (lines, fields):
        assert not [value for _, value in fields if b"hunter2" in value]
        assert ("hunter2" in lines[0]) == isinstance(event, Chosen | NextAsked)
        message = dict(fields)["MESSAGE"].decode()
        assert len(message) > 2 and lines[0].startswith(message[:20])


def test_a_decision_differs_for_readers_in_the_command_line_alone():
    process = CHOICE.candidate.process._replace(comm=b"python3", unit="a.service", command="eat --all")
    ask = CHOICE._replace(candidate=CHOICE.candidate._replace(process=process), runners_up=(candidate(102),))
    with told(Chosen(ask, CONDITIONS, 812)) as (lines, fields):
        assert lines[0].replace(", command eat --all", "") == dict(fields)["MESSAGE"].decode() != lines[0]


def test_what_readers_get_is_an_entry_with_its_times_and_the_fields_of_the_journal(monkeypatch):
    monkeypatch.setattr(event_log.time, "clock_gettime_ns", lambda _: 1_700_000_000_000_000_999)
    monkeypatch.setattr(event_log.time, "monotonic_ns", lambda: 5_000_999)
    readers = Heard()
    EventLog(Written(), readers=readers)(NotProtected("no \n killer"))  # type: ignore[arg-type]
    assert readers.packets == [
        (
            NOT_PROTECTED,
            b"__REALTIME_TIMESTAMP=1700000000000000\n__MONOTONIC_TIMESTAMP=5000\nMESSAGE=no \\n killer\n"
            b"MESSAGE_ID=89cb0eecabe94a12ac788ff01adad6e3\nPRIORITY=2\nSYSLOG_IDENTIFIER=bustd-test\n",
        )
    ]


def test_what_is_too_long_for_a_packet_is_cut():
    with told(Warned("\u20ac" * LONGEST_ENTRY_BYTES)) as (lines, fields):
        assert dict(fields)["MESSAGE"].decode() == "\u20ac" * 1000
        assert dict(fields)["MESSAGE_ID"] == WARNED.message_id.encode()
        assert lines == ["\u20ac" * LONGEST_ENTRY_BYTES]


def test_a_decision_that_is_too_long_goes_without_its_fields(monkeypatch):
    monkeypatch.setattr(event_log, "LONGEST_ENTRY_BYTES", 300)
    with told(NextAsked(CHOICE)) as (_, fields):
        assert {name for name, _ in fields} == {"X__REALTIME_TIMESTAMP", "X__MONOTONIC_TIMESTAMP", "MESSAGE"} | {
            "MESSAGE_ID",
            "PRIORITY",
            "SYSLOG_IDENTIFIER",
        }
        assert dict(fields)["MESSAGE_ID"] == DECIDED.message_id.encode()
