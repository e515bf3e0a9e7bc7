"""What people and programs see of the history: a table that fits, names that can't disturb it, and JSON."""

from __future__ import annotations

import json
import time
import unicodedata
from collections.abc import Iterator

import pytest

from bustd_monitor.cli.history import document, text
from bustd_monitor.cli.history.boots import BootEnd
from bustd_monitor.cli.history.facts import StoryEnd
from bustd_monitor.cli.history.sources import Known
from bustd_monitor.cli.history.stories import Story, by_boot, stories
from bustd_monitor.deciding import actions
from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import told
from bustd_protocol.messages import Fate, Reason
from tests.unit.cli.history.making import (
    AVAILABLE,
    BEFORE,
    EPOCH_S,
    THIS,
    answered,
    chosen,
    ended,
    exported,
    kill,
    read,
    stamped,
)
from tests.unit.monitor.making import reading

HOSTILE = (b"a\n1 2026", b"\x1b[2J\x1b[31m", "\u202egnp.exe".encode(), b"\xff\xfe", "猫猫猫猫猫".encode(), b"<b>&amp;")


@pytest.fixture(autouse=True)
def in_utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def table(*stream: bytes, unclean: dict[str, BootEnd] | None = None) -> list[str]:
    entries = read(*stream)
    return list(text.table(stories(entries), unclean or {}, list(by_boot(entries))))


def columns(line: str) -> int:
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in line)


def only(*stream: bytes) -> Story:
    (story,) = stories(read(*stream))
    return story


# --- the table


def test_the_last_is_number_1_and_stands_last() -> None:
    head, first, last, _, *_ = table(kill(101, 100), kill(102, 100_000, boot=THIS))
    assert head.split() == ["when", "who", "held", "why", "next", "end"]
    assert first == "  2 2026-09-21 14:15 leak             300 MiB floor     next one      +300 MiB"
    assert last.startswith("  1 2026-09-22 18:")


@pytest.mark.parametrize(
    ("stream", "row"),
    [
        (exported(chosen(), 1) + exported(answered(reason=Reason.PROTECTED), 2), "leak 300 MiB floor next one refused"),
        (
            exported(chosen(), 1) + exported(answered(), 2) + exported(ended(fate=Fate.STUCK), 3),
            "leak 300 MiB floor next one lives",
        ),
        (exported(chosen(), 1) + exported(answered(), 2), "leak 300 MiB floor next one signalled"),
        (exported(chosen(), 1), "leak 300 MiB floor next one ?"),
        (exported(actions.NoVictim(reading(AVAILABLE), None), 1), "(nobody) nobody"),
        (exported(actions.KernelKilled(2), 1), "(kernel: 2) kernel"),
        (exported(ended(), 1), "leak floor died"),
    ],
)
def test_a_row_says_how_it_ended_and_leaves_out_what_is_not_known(stream: bytes, row: str) -> None:
    assert " ".join(table(stream)[1].split()[3:]) == row


def test_every_end_has_a_short_word() -> None:
    assert set(text._SHORT) == set(StoryEnd)


def test_nothing_to_tell_is_said_in_words() -> None:
    assert " ".join(table()) == text._NOTHING


def test_a_boot_without_a_shutdown_is_told_where_it_ended_also_if_nothing_died_in_it() -> None:
    quiet = exported(ended(), 5, boot="c" * 32).replace(b"bf22d1c2ac254ae89e0bc57164b465a1", b"0" * 32)
    unclean = {BEFORE: BootEnd((EPOCH_S + 900) * 10**6, True), "c" * 32: BootEnd((EPOCH_S + 990) * 10**6)}
    lines = table(kill(boot=BEFORE), quiet, kill(boot=THIS), unclean=unclean)
    assert lines[1].startswith("  2 ") and lines[6].startswith("  1 ")
    assert lines[2:4] == [
        "    2026-09-21 14:28 or soon after: the boot ended without a shutdown: the last",
        "    minutes of its journal may be missing",
    ]
    assert lines[4].startswith("    2026-09-21 14:29 or later: ")


def test_more_rows_than_a_screen_can_use_are_counted() -> None:
    lines = table(*(exported(chosen(number), number * 100) for number in range(1, text.MOST_ROWS + 3)))
    assert lines[1].startswith("(2 older ones are left out") and lines[2].startswith("999 ")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("repeated", [1, 3])
def test_no_name_breaks_a_row_or_reaches_the_terminal_as_it_is(name: bytes, repeated: int) -> None:
    comm = (name * repeated)[:60]
    lines = table(exported(chosen(comm=comm), 1))
    assert len(lines) == 5 and all(line.isprintable() and columns(line) <= 80 for line in lines)
    assert lines[1].endswith("?") and " 300 MiB floor" in lines[1]
    story = list(text.whole(1, only(exported(chosen(comm=comm), 1)), None))
    assert all(line.isprintable() for line in story)


def test_a_message_that_is_not_escaped_does_not_reach_the_terminal_as_it_is() -> None:
    said = told(chosen())
    story = only(stamped(entry("bustd-monitor", "floor\x1b[2J\u202e", said), 1))
    assert all(line.isprintable() for line in text.whole(1, story, None))


# --- one story


def test_a_story_has_what_it_comes_to_and_each_entry_with_its_time_after_the_decision() -> None:
    lines = list(text.whole(3, only(kill()), None))
    assert lines[0] == "3. 2026-09-21 14:15:00 UTC: 101 (leak) died"
    assert lines[2:7] == [
        "  who       PID 101, leak, uid 1001, unit leak.service, holding 300 MiB",
        "  why       floor, 100 MiB available of 1024 MiB; SIGTERM",
        "  next      102 (next one, uid 1000, 200 MiB); 103 (third, uid 1000, 100 MiB)",
        "  end       gone after 40 ms",
        "  came back 300 MiB",
    ]
    begins = [line.strip() for line in lines[8:] if " s  bustd-" in line]
    assert [line.split()[0] for line in begins] == ["-0.001", "0", "+0.001", "+0.039", "+0.040"]
    assert begins[1].startswith("0 s  bustd-monitor: floor fires: ")
    assert all(columns(line) <= 80 for line in lines)


def test_a_story_of_a_boot_without_a_shutdown_says_so() -> None:
    lines = list(text.whole(1, only(kill()), BootEnd((EPOCH_S + 900) * 10**6)))
    assert "without a shutdown" in " ".join(lines[-2:])


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (exported(chosen(), 1), "101 (leak) was to die; what came of it is not in"),
        (exported(actions.KernelKilled(1), 1), "the kernel was first, and killed 1 process"),
        (exported(actions.NothingGrows(), 1), "memory was short, and no death would have helped"),
        (exported(chosen(), 1) + exported(answered(reason=Reason.RATE), 2), "was to die, and the killer refused"),
    ],
)
def test_the_first_line_says_what_happened(stream: bytes, words: str) -> None:
    assert words in next(iter(text.whole(1, only(stream), None)))


def test_the_reason_of_a_refusal_is_told() -> None:
    story = only(exported(chosen(), 1) + exported(answered(reason=Reason.PROTECTED), 2))
    assert "  refused   protected" in list(text.whole(1, story, None))


# --- JSON


def test_json_has_every_story_and_the_boots_without_a_shutdown() -> None:
    entries = read(kill(boot=BEFORE), kill(boot=THIS))
    known = Known("journal", entries, ("a note",), {BEFORE: BootEnd(5, True)})
    found = json.loads(json.dumps(document.all_of(known, stories(entries))))
    assert (found["source"], found["notes"]) == ("journal", ["a note"])
    assert [one["number"] for one in found["stories"]] == [2, 1]
    assert found["boots_without_shutdown"] == [{"boot": BEFORE, "last_entry_us": 5, "is_of_any_program": True}]
    last = found["stories"][-1]
    assert (last["end"], last["time"], last["came_back_bytes"]) == ("died", "2026-09-21T14:15:00Z", 300 * 2**20)
    assert last["victim"] == {
        "pid": 101,
        "comm": "leak",
        "uid": 1001,
        "unit": "leak.service",
        "held_bytes": 300 * 2**20,
    }
    assert last["next"][0] == {"pid": 102, "uid": 1000, "held_bytes": 200 * 2**20, "comm": "next one"}


@pytest.mark.parametrize("comm", HOSTILE)
def test_json_of_one_story_has_its_entries_in_ascii(comm: bytes) -> None:
    story = only(exported(chosen(comm=comm), 1), exported(answered(comm=comm), 1.5))
    said = json.dumps(document.one_of(1, story, None))
    assert said.isascii() and said.isprintable()
    found = json.loads(said)
    assert [(one["after_decision_us"], one["from"], one["kind"]) for one in found["events"]] == [
        (0, "bustd-monitor", "decision"),
        (500_000, "bustd-monitor", "verdict"),
    ]
    assert found["victim"]["comm"] == comm.decode("utf-8", "backslashreplace")
    assert found["boot_ended_without_shutdown"] is False


def test_the_largest_time_that_an_entry_can_have_is_one() -> None:
    stream = exported(chosen(), 1).replace(b"%d000000" % (EPOCH_S + 1), b"9" * 19)
    assert str(document.one_of(1, only(stream), None)["time"]).startswith("318857-")
    assert len(table(stream)) == 5
