"""From entries to stories and to what they come to, with pieces missing, mixed up, and clocks that jump."""

from __future__ import annotations

from itertools import permutations

import pytest

from bustd_monitor.cli.history.facts import Facts, NextOne, StoryEnd, facts
from bustd_monitor.cli.history.log_file import parsed
from bustd_monitor.cli.history.stories import stories
from bustd_monitor.conditions.table import BY_NAME
from bustd_monitor.deciding import actions, events
from bustd_monitor.deciding.events import NotProtected, Warned
from bustd_monitor.event_log import entry
from bustd_monitor.reporting import connection
from bustd_monitor.reporting.events import Kind, Told, told
from bustd_protocol.messages import Fate, Reason
from tests.unit.cli.history.making import (
    AVAILABLE,
    BEFORE,
    EPOCH_S,
    KILLER_UNIT,
    MONITOR_UNIT,
    STARTED,
    THIS,
    TOTAL,
    answered,
    asked_next,
    chosen,
    ended,
    escalated,
    exported,
    kill,
    less_came_back,
    line,
    read,
    stamped,
)
from tests.unit.monitor.making import MIB, reading


def told_of(*stream: bytes) -> list[Facts]:
    return [facts(story) for story in stories(read(*stream))]


def ends(*stream: bytes) -> list[tuple[int | None, StoryEnd]]:
    return [(one.pid, one.end) for one in told_of(*stream)]


# --- one kill


def test_a_whole_kill_says_who_died_why_who_was_next_and_what_came_back() -> None:
    (story,) = stories(read(kill()))
    assert facts(story) == Facts(
        StoryEnd.DIED,
        *(101, "leak", 1001, "leak.service", 300 * MIB),
        *("floor", "TERM", ""),
        (NextOne(102, 1000, 200 * MIB, "next one"), NextOne(103, 1000, 100 * MIB, "third")),
        *(AVAILABLE, TOTAL, 40, 300 * MIB, None),
    )
    assert story.boot == THIS and story.began.entry.message.startswith("floor fires")
    after_us = [moment.at_us - story.began.at_us for moment in story.moments]
    assert after_us == [-1000, 0, 1000, 39_000, 40_000], "the killer was first with its line"


@pytest.mark.parametrize("missing", range(5))
def test_a_kill_of_which_one_entry_is_missing_is_still_one_that_died(missing: int) -> None:
    packets = kill().split(b"\n\n")[:5]
    left = b"".join(packet + b"\n\n" for number, packet in enumerate(packets) if number != missing)
    (one,) = told_of(left)
    assert (one.pid, one.comm, one.end, one.held_bytes) == (101, "leak", StoryEnd.DIED, 300 * MIB)


def test_the_order_in_which_the_journal_gives_the_entries_of_a_boot_changes_nothing() -> None:
    packets = [packet + b"\n\n" for packet in kill().split(b"\n\n")[:5]]
    whole = stories(read(kill()))
    for order in permutations(packets):
        assert stories(read(*order)) == whole


@pytest.mark.parametrize("wall_s", [0, EPOCH_S - 86400 * 365, EPOCH_S + 10**9])
def test_a_wall_clock_that_jumps_amid_a_kill_changes_no_time_and_joins_all(wall_s: float) -> None:
    stream = exported(chosen(), 100) + exported(answered(), 100.5) + exported(ended(), 101, wall_s=wall_s)
    (story,) = stories(read(stream))
    assert [moment.at_us - story.began.at_us for moment in story.moments] == [0, 500_000, 1_000_000]
    assert facts(story).end is StoryEnd.DIED


def test_what_the_monitor_counted_as_come_back_counts() -> None:
    (one,) = told_of(kill(), exported(less_came_back(), 102))
    assert (one.came_back, one.held_bytes) == (20 * MIB, 300 * MIB)


def test_what_was_available_at_the_decision_counts_and_not_what_a_warning_before_it_said() -> None:
    scarce = actions.Scarce(reading(3 * AVAILABLE, total=TOTAL), BY_NAME["floor"], AVAILABLE, None)
    (one,) = told_of(exported(scarce, 60), kill())
    assert (one.pid, one.available, one.total) == (101, AVAILABLE, TOTAL)


def test_less_available_than_before_is_nothing_that_came_back() -> None:
    (one,) = told_of(exported(chosen(), 1), exported(answered(), 1), exported(ended(available=MIB), 1.2))
    assert (one.end, one.came_back) == (StoryEnd.DIED, 0)


@pytest.mark.parametrize("fate", [Fate.SPARED, Fate.STUCK])
def test_a_victim_that_lives_is_one_that_lives(fate: Fate) -> None:
    (one,) = told_of(exported(chosen(), 1), exported(answered(), 1.1), exported(ended(fate=fate), 30))
    assert (one.end, one.came_back, one.elapsed_ms) == (StoryEnd.LIVES, None, 40)


def test_an_escalation_belongs_to_its_kill_and_its_signal_is_the_last() -> None:
    stream = [exported(chosen(), 1), exported(answered(), 1.1), exported(escalated(), 2), exported(answered(), 2.1)]
    (one,) = told_of(*stream, exported(ended(), 2.2))
    assert (one.end, one.signal) == (StoryEnd.DIED, "KILL")


def test_an_escalation_after_a_long_grace_still_belongs_to_its_kill() -> None:
    assert ends(
        exported(chosen(), 1), exported(answered(), 1.1), exported(escalated(), 300), exported(ended(), 301)
    ) == [(101, StoryEnd.DIED)]


def test_a_wall_clock_that_is_set_back_amid_a_log_file_makes_no_time_go_back() -> None:
    said = [told(event).sentence for event in (chosen(), answered(), ended())]
    times = ("2026-09-21 14:00:00", "2026-09-21 12:00:00", "2026-09-21 12:00:02")
    lines = [f"{at} bustd-monitor: {sentence}" for at, sentence in zip(times, said, strict=True)]
    (story,) = stories(parsed("\n".join(lines).encode()))
    assert [moment.at_us - story.began.at_us for moment in story.moments] == [0, 0, 2_000_000]
    assert facts(story).end is StoryEnd.DIED


def test_after_a_refusal_the_one_that_died_is_the_next() -> None:
    stream = [exported(chosen(), 1), exported(answered(reason=Reason.PROTECTED), 1.1), exported(asked_next(), 1.2)]
    (one,) = told_of(*stream, exported(answered(102, comm=b"next one"), 1.3), exported(ended(102), 1.4))
    assert (one.pid, one.comm, one.end, one.held_bytes) == (102, "next one", StoryEnd.DIED, 300 * MIB)
    assert one.reason == ""


@pytest.mark.parametrize(
    ("reason", "end"),
    [(Reason.PROTECTED, StoryEnd.REFUSED), (Reason.GONE, StoryEnd.WAS_GONE), (Reason.KERNEL, StoryEnd.FAILED)],
)
def test_a_request_that_signalled_nothing_is_told_as_such(reason: Reason, end: StoryEnd) -> None:
    (one,) = told_of(exported(chosen(), 1), exported(answered(reason=reason), 1.1))
    assert (one.pid, one.end) == (101, end)
    assert one.reason == ("" if end is StoryEnd.WAS_GONE else reason.name.lower())


def test_a_dry_run_is_one_and_the_same_choice_again_is_the_same_story() -> None:
    packets = [
        exported(events.Noted(connection.DRY_RUN), at_s) + exported(chosen(), at_s + 0.001) for at_s in (1, 11, 21)
    ]
    assert ends(*packets) == [(101, StoryEnd.DRY_RUN)]


def test_a_choice_that_could_not_be_asked_for_is_told_with_the_one_that_was() -> None:
    assert ends(exported(chosen(), 1), exported(chosen(), 1.02), exported(answered(), 1.03)) == [
        (101, StoryEnd.SIGNALLED)
    ]


def test_the_same_choice_after_a_refusal_is_another_story() -> None:
    one = [exported(chosen(), 1), exported(answered(reason=Reason.NOT_SHORT), 1.1)]
    other = [exported(chosen(), 2), exported(answered(), 2.1)]
    assert ends(*one, *other) == [(101, StoryEnd.REFUSED), (101, StoryEnd.SIGNALLED)]


def test_an_answer_to_no_known_request_belongs_to_the_kill_that_is_open() -> None:
    unknown = events.Answered(answered().verdict, None)
    assert ends(exported(chosen(), 1), exported(unknown, 1.1)) == [(101, StoryEnd.SIGNALLED)]


# --- several


def test_kills_in_turn_are_stories_in_turn_also_of_one_pid() -> None:
    found = ends(kill(101, 1), kill(102, 3), kill(101, 100_000))
    assert found == [(101, StoryEnd.DIED), (102, StoryEnd.DIED), (101, StoryEnd.DIED)]


def test_entries_of_two_kills_that_are_mixed_go_to_their_own() -> None:
    stream = [exported(chosen(101), 1), exported(answered(101), 1.1), exported(chosen(201), 1.2)]
    stream += [exported(ended(101), 1.3), exported(answered(201), 1.4), line("101 is gone after 40 ms", 1.41)]
    found = stories(read(*stream, exported(ended(201, Fate.STUCK), 9)))
    assert [(facts(one).pid, facts(one).end) for one in found] == [(101, StoryEnd.DIED), (201, StoryEnd.LIVES)]
    assert [len(one.moments) for one in found] == [4, 3]


def test_boots_keep_their_order_and_never_share_a_story() -> None:
    first = exported(chosen(), 100, boot=BEFORE) + exported(answered(), 100.1, boot=BEFORE)
    found = stories(read(first, exported(ended(), 100.2, boot=THIS)))
    assert [(one.boot, facts(one).end) for one in found] == [(BEFORE, StoryEnd.SIGNALLED), (THIS, StoryEnd.DIED)]


def test_a_monitor_that_was_restarted_amid_a_kill_leaves_its_end_to_the_killer() -> None:
    stream = exported(chosen(), 1) + exported(answered(), 1.1) + exported(STARTED, 1.5)
    assert ends(stream) == [(101, StoryEnd.SIGNALLED)]
    assert ends(stream, line("101 is gone after 900 ms", 2)) == [(101, StoryEnd.DIED)]
    (story,) = stories(read(stream, exported(NotProtected("no connection"), 2)))
    assert [moment.entry.kind.name for moment in story.moments] == ["decision", "verdict", "started"]


def test_an_end_long_after_the_last_of_a_kill_is_of_another_kill_with_that_pid() -> None:
    stream = exported(chosen(), 1) + exported(answered(), 1.1)
    assert ends(stream, exported(ended(), 800)) == [(101, StoryEnd.DIED)]
    assert ends(stream, exported(ended(), 90_000)) == [(101, StoryEnd.SIGNALLED), (101, StoryEnd.DIED)]


def test_a_signal_of_the_killer_that_no_monitor_has_told_of_is_a_story() -> None:
    seen = "(leak, unit leak.service, holding 300 MiB, uid 1001) for floor"
    (one,) = told_of(line(f"signalled SIGKILL to 77 {seen}", 5), line("77 is gone after 8 ms", 5.1))
    assert (one.pid, one.comm, one.uid, one.end, one.elapsed_ms) == (77, "leak", 1001, StoryEnd.DIED, 8)


def test_a_refusal_of_the_killer_alone_is_none_and_neither_is_anything_else_that_it_says() -> None:
    assert ends(line('refused SIGKILL to 77 (called "x" by the monitor) for floor: rate', 5), line("stopping", 6)) == []


def test_a_line_of_the_monitor_that_found_no_room_as_an_entry_tells_the_kill_as_well() -> None:
    sentences = [told(event).sentence for event in (chosen(), answered(), ended())]
    (one,) = told_of(*(line(said, 1 + number, MONITOR_UNIT) for number, said in enumerate(sentences)))
    assert (one.pid, one.comm, one.condition, one.end) == (101, "leak", "floor", StoryEnd.DIED)
    assert (one.came_back, one.next_ones) == (300 * MIB, ())


# --- crises without a kill


def test_a_shortage_without_a_victim_is_a_story_and_what_is_said_again_within_a_minute_is_the_same() -> None:
    nobody = actions.NoVictim(reading(AVAILABLE), None)
    found = ends(*(exported(nobody, at_s) for at_s in (1, 31, 61, 200)))
    assert found == [(None, StoryEnd.NOBODY)] * 2


def test_what_the_kernel_has_killed_is_a_story_and_counted() -> None:
    (one,) = told_of(exported(actions.KernelKilled(2), 1), exported(actions.KernelKilled(1), 2))
    assert (one.pid, one.end, one.killed_by_kernel) == (None, StoryEnd.KERNEL, 3)


def test_what_the_kernel_kills_after_the_end_of_a_kill_is_a_story_of_its_own() -> None:
    assert ends(kill(at_s=1), exported(actions.KernelKilled(1), 10)) == [(101, StoryEnd.DIED), (None, StoryEnd.KERNEL)]


def test_a_kernel_that_was_first_amid_a_kill_is_told_with_it() -> None:
    stream = [exported(chosen(), 1), exported(answered(), 1.1), exported(actions.KernelKilled(1), 1.2)]
    (one,) = told_of(*stream, exported(ended(), 1.3))
    assert (one.end, one.killed_by_kernel) == (StoryEnd.DIED, 1)


def test_what_was_said_in_the_minute_before_a_kill_is_told_with_it_of_whatever_kind_it_is() -> None:
    newer = stamped(entry("bustd-monitor", "memory is scarce", Told(Kind("memory scarce", "c" * 32, 5), "")), 50)
    old = exported(NotProtected("old"), 10)
    (story,) = stories(read(old, newer, exported(Warned("a setting"), 60), kill(at_s=100)))
    said = [moment.entry.message.split()[0] for moment in story.moments]
    assert said == ["memory", "signalled", "floor", "the", "101", "the"]


def test_a_life_without_a_crisis_is_no_story() -> None:
    assert stories(read(exported(STARTED, 1), exported(NotProtected("x"), 2), exported(events.Stopping(), 3))) == []
    assert stories([]) == []


# --- what may not count


@pytest.mark.parametrize("unit", ["user@1000.service", "evil.service", "bustd-monitor.service.evil", ""])
def test_an_entry_of_another_unit_with_our_message_id_is_nothing(unit: str) -> None:
    assert read(kill().replace(MONITOR_UNIT.encode(), unit.encode()).replace(KILLER_UNIT.encode(), unit.encode())) == []


def test_an_entry_without_a_unit_or_with_two_is_nothing() -> None:
    (first, *_) = exported(chosen(), 1).split(b"\n\n")
    without = b"\n".join(field for field in first.split(b"\n") if not field.startswith(b"_SYSTEMD_UNIT"))
    assert read(first + b"\n\n") and not read(without + b"\n\n")
    assert not read(b"_SYSTEMD_UNIT=evil.service\n" + first + b"\n\n")
    assert not read(first + b"\n_SYSTEMD_UNIT=evil.service\n\n")


def test_a_field_that_is_no_number_is_not_known() -> None:
    said = told(chosen())
    forged = said._replace(fields=(("VICTIM_PID", "x"), ("CANDIDATE", "1 2 3"), ("CANDIDATE", "1 2 x 4 a")))
    (one,) = told_of(stamped(entry("bustd-monitor", "m", forged), 1))
    assert (one.pid, one.next_ones, one.end) == (None, (), StoryEnd.UNKNOWN)
