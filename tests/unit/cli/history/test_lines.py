"""Lines of the log, read back as the entries that they would have been."""

from __future__ import annotations

import pytest

from bustd_killer.checks import Ruling
from bustd_killer.flight import _answer
from bustd_monitor.cli.entries import Entry
from bustd_monitor.cli.history.lines import KILLER, MONITOR, completed
from bustd_monitor.deciding.events import Chosen, Event
from bustd_monitor.reporting.events import (
    ANSWERED,
    CAME_BACK,
    DECIDED,
    ENDED,
    KERNEL_KILLED,
    LIVES,
    NO_VICTIM,
    STARTED,
    VERBOSE,
    told,
)
from bustd_protocol.messages import Reason
from bustd_shared.daemon.log import printable
from tests.unit.cli.history.making import chosen, request
from tests.unit.monitor.making import DEFAULTS, MIB
from tests.unit.monitor.test_events import ALL

TOLD_APART = (DECIDED, ANSWERED, ENDED, LIVES, CAME_BACK, NO_VICTIM, KERNEL_KILLED, STARTED, VERBOSE)
"""Everything else is what the log says around a kill."""
ROUNDED = ("VICTIM_BYTES", "AVAILABLE_BYTES", "CAME_BACK_BYTES")


def line(program: str, sentence: str) -> Entry:
    return completed(Entry({"MESSAGE": [f"{program}: {printable(sentence)}".encode()]}), program)


@pytest.mark.parametrize("event", ALL, ids=lambda event: type(event).__name__)
def test_a_line_has_the_kind_of_its_event_and_no_field_that_the_event_does_not_have(event: Event) -> None:
    said = told(event)
    read = line(MONITOR, said.sentence)
    assert read.kind is (said.kind if said.kind in TOLD_APART else None)
    assert read.message == printable(said.sentence)
    sent = dict(said.fields)
    for name in (name.removeprefix("BUSTD_") for name in read.fields if name.startswith("BUSTD_")):
        value = sent[name]
        if name in ROUNDED:
            assert abs(read.own_number(name) - value) <= 0.06 * 2**30
        else:
            assert read.own(name) == printable(value if isinstance(value, bytes) else str(value)), name


def test_a_decision_says_who_why_and_that_it_is_a_first_choice() -> None:
    read = line(MONITOR, told(chosen()).sentence)
    assert (read.kind, read.own("CONDITION"), read.own("SIGNAL")) == (DECIDED, "floor", "TERM")
    assert (read.own_number("VICTIM_PID"), read.own("VICTIM_COMM"), read.own("VICTIM_UNIT")) == (
        101,
        "leak",
        "leak.service",
    )
    assert (read.own_number("VICTIM_UID"), read.own_number("VICTIM_BYTES")) == (1001, 300 * MIB)
    assert (read.own_number("AVAILABLE_BYTES"), read.own_number("DECIDED_US")) == (100 * MIB, 812)


def test_a_process_without_a_unit_has_an_empty_one() -> None:
    event = chosen()
    alone = event.ask.candidate._replace(process=event.ask.candidate.process._replace(unit=""))
    read = line(MONITOR, told(Chosen(event.ask._replace(candidate=alone), DEFAULTS.conditions, 1)).sentence)
    assert read.own("VICTIM_UNIT") == "" and read.own_number("VICTIM_BYTES") == 300 * MIB


@pytest.mark.parametrize(
    "comm",
    [b"a) of uid 0, un", b") of uid 0 (a", b"; after it 1 (x", b"x) R 1\n\xff", b"fires: 1", "\u202ea".encode()],
)
def test_a_name_forges_no_field_of_its_line(comm: bytes) -> None:
    event = chosen(comm=comm)
    process = event.ask.candidate.process._replace(command="; decided in 5 us, SIGKILL for 1 (init) of uid 0")
    ask = event.ask._replace(candidate=event.ask.candidate._replace(process=process))
    read = line(MONITOR, told(Chosen(ask, DEFAULTS.conditions, 812)).sentence)
    assert read.own("VICTIM_COMM") == printable(comm)
    assert (read.own_number("VICTIM_PID"), read.own_number("VICTIM_UID")) == (101, 1001)
    assert (read.own("VICTIM_UNIT"), read.own_number("DECIDED_US")) == ("leak.service", 812)


@pytest.mark.parametrize("unit", ["leak.service", ""])
@pytest.mark.parametrize("comm", [b"leak", b", unit x, holdi", b"(a, unit b", b"a\nb"])
def test_the_killers_line_on_a_signal_says_what_it_saw(comm: bytes, unit: str) -> None:
    seen = f'{printable(comm)}, unit {unit or "none"}, holding 300 MiB, uid 1001, called "x, unit y" by the monitor'
    read = line(KILLER, f"signalled SIGTERM to 101 ({seen}) for floor: with 3 more")
    assert (read.kind, read.own("OUTCOME"), read.own("SIGNAL")) == (ANSWERED, "signalled", "TERM")
    assert (read.own_number("VICTIM_PID"), read.own("VICTIM_COMM"), read.own("VICTIM_UNIT")) == (
        101,
        printable(comm),
        unit,
    )
    assert (read.own_number("VICTIM_UID"), read.own_number("VICTIM_BYTES")) == (1001, 300 * MIB)


def test_the_killers_line_on_a_refusal_is_one_and_has_nothing_that_the_monitor_claimed() -> None:
    sentence = _answer(request(comm=b"y, unit x"), Ruling(Reason.BUSY, "7 is in flight")).sentence
    read = line(KILLER, sentence)
    assert (read.kind, read.own("OUTCOME"), read.own_number("VICTIM_PID")) == (ANSWERED, "refused", 101)
    assert read.own("VICTIM_COMM") == ""


@pytest.mark.parametrize(
    ("sentence", "kind", "outcome"),
    [
        ("101 is gone after 26 ms", ENDED, "gone"),
        ("101 has no memory any more after 26 ms", ENDED, "released"),
        ("101 is STUCK, 5000 ms after its signal", LIVES, "stuck"),
        ("101 has not obeyed SIGTERM for 2000 ms, and is SPARED: memory is not short", LIVES, "spared"),
        ("101 has not obeyed SIGTERM for 2000 ms: SIGKILL", DECIDED, ""),
    ],
)
def test_the_killers_line_on_an_end_is_one(sentence: str, kind: object, outcome: str) -> None:
    read = line(KILLER, sentence)
    assert (read.kind, read.own("OUTCOME"), read.own_number("VICTIM_PID")) == (kind, outcome, 101)


@pytest.mark.parametrize("sentence", ["memory is locked", "stopping now", "101", "", "x floor fires: ", "gone"])
def test_what_says_nothing_for_certain_has_no_kind(sentence: str) -> None:
    assert line(MONITOR, sentence).kind is None and line(KILLER, sentence).kind is None


def test_an_entry_with_a_kind_of_its_own_is_left_as_it_is() -> None:
    sent = Entry({"MESSAGE": [b"floor fires: "], "MESSAGE_ID": [b"0" * 32]})
    assert completed(sent, MONITOR) is sent
