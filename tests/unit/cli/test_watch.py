"""`bustd watch`: what becomes of an event on a terminal and in JSON, and what of a monitor that comes and goes."""

import json
import os
import time
from io import BytesIO

import pytest

from bustd_monitor.cli import watch as module
from bustd_monitor.cli.entries import Entry, entries
from bustd_monitor.cli.parser import parsed
from bustd_monitor.cli.watch import as_json, as_line, watch
from bustd_monitor.reporting.events import DECIDED, NOT_PROTECTED, READY, VERBOSE, Kind, Told
from tests.support.speaking import packet, speaking

HOSTILE = b"a\x1b[2J\n\xe2\x80\xae\xff"
AT_US = 1_700_000_000_000_123


def entry_of(kind: Kind, message: str, *fields: tuple[str, int | str | bytes], at_us: int = AT_US) -> Entry:
    (read,) = entries(BytesIO(packet(Told(kind, "", fields), message, at_us)))
    return read


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


# --- one event


def test_a_line_has_time_priority_and_message():
    assert as_line(entry_of(DECIDED, "floor fires")) == "2023-11-14 22:13:20 warning  floor fires"
    assert as_line(entry_of(NOT_PROTECTED, "why")) == "2023-11-14 22:13:20 critical why"


def test_colours_are_for_the_priority_alone():
    assert as_line(entry_of(DECIDED, "x"), is_coloured=True) == "2023-11-14 22:13:20 \x1b[33mwarning \x1b[0m x"
    assert as_line(entry_of(READY, "x"), is_coloured=True) == as_line(entry_of(READY, "x"))


def test_nothing_in_a_line_disturbs_a_terminal():
    line = as_line(entry_of(DECIDED, HOSTILE.decode("utf-8", "backslashreplace")))
    assert line.isprintable()
    assert line.endswith("a\\x1b[2J\\n\\u202e\\xff")


def test_json_has_the_fields_without_their_prefix_and_numbers_as_numbers():
    entry = entry_of(
        DECIDED,
        "floor fires",
        ("CONDITION", "floor"),
        ("VICTIM_PID", 12),
        ("VICTIM_COMM", "13"),
        ("DECIDED_US", 14),
        ("CANDIDATE", "1 2 3"),
        ("CANDIDATE", "4 5 6"),
    )
    assert json.loads(as_json(entry)) == {
        "time": "2023-11-14T22:13:20.000123+00:00",
        "kind": "decision",
        "level": 4,
        "message": "floor fires",
        "fields": {
            "condition": "floor",
            "victim_pid": 12,
            "victim_comm": "13",
            "decided_us": 14,
            "candidate": ["1 2 3", "4 5 6"],
        },
    }


def test_hostile_bytes_are_one_line_of_ascii_in_json_and_come_back_whole():
    line = as_json(entry_of(DECIDED, "m\n", ("VICTIM_COMM", HOSTILE)))
    assert line.isascii() and line.isprintable()
    assert json.loads(line)["fields"]["victim_comm"] == "a\x1b[2J\n\u202e\\xff"


def test_an_event_of_a_newer_monitor_and_a_clock_out_of_range_are_shown():
    (entry,) = entries(BytesIO(b"__REALTIME_TIMESTAMP=9999999999999999999\nMESSAGE=x\nBUSTD_PID=y\n"))
    assert as_line(entry) == "9999-12-31 23:59:59 info     x"
    read = json.loads(as_json(entry))
    assert (read["kind"], read["level"], read["fields"]) == (None, None, {"pid": None})
    assert read["time"].startswith("9999-12-31")


# --- all of them


def said(kind: Kind, message: str, at_us: int) -> bytes:
    return packet(Told(kind, ""), message, at_us)


@pytest.fixture
def pauses(monkeypatch):
    """How long it waited each time; it does not wait here. The time in which no monitor comes back is cut short."""
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) > 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(module.time, "sleep", sleep)
    return slept


def watched(path, *words: str) -> None:
    with pytest.raises(KeyboardInterrupt):
        watch(parsed(["watch", *words]), str(path))


def test_it_connects_again_after_growing_pauses_and_shows_no_event_twice(tmp_path, capfd, pauses):
    first = [said(READY, "one", 1), said(DECIDED, "two", 2)]
    with speaking(tmp_path / "events", first, [], [*first, said(DECIDED, "three", 3)]):
        watched(tmp_path / "events")
    out, err = capfd.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["one", "two", "three"]
    assert pauses == [1, 2, 1, 2, 4, 8, 16, 32, 60, 60]
    lines = err.splitlines()
    assert len(lines) == 10 and lines[0].startswith("bustd: the monitor has hung up: ")
    assert lines[0].endswith("; connecting again in 1 s")
    assert "bustd does not run" in lines[-1] or "nothing answers" in lines[-1]


def test_json_is_one_object_on_each_line(tmp_path, capfd, pauses):
    with speaking(tmp_path / "events", [said(READY, "one\n", 1), said(VERBOSE, "two", 2)]):
        watched(tmp_path / "events", "--json")
    assert [json.loads(line)["message"] for line in capfd.readouterr().out.splitlines()] == ["one\n", "two"]


def test_new_leaves_out_what_happened_before(tmp_path, capfd, pauses):
    later_us = time.monotonic_ns() // 1000 + 60_000_000
    with speaking(tmp_path / "events", [said(READY, "before", 1), said(DECIDED, "now", later_us)]):
        watched(tmp_path / "events", "--new")
    assert [line.split()[-1] for line in capfd.readouterr().out.splitlines()] == ["now"]


def test_without_a_monitor_it_ends_with_69_and_says_why(tmp_path, capfd):
    assert watch(parsed(["watch"]), str(tmp_path / "events")) == os.EX_UNAVAILABLE
    assert "bustd does not run" in capfd.readouterr().err


def test_it_ends_when_its_reader_does_although_nothing_happens(tmp_path, monkeypatch):
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as out, speaking(tmp_path / "events", [said(READY, "one", 1)]):
        monkeypatch.setattr("sys.stdout", out)
        os.close(reader)
        monkeypatch.setattr(module, "next_event", lambda _: pytest.fail("nobody would read it"))
        assert watch(parsed(["watch"]), str(tmp_path / "events")) == 0
