"""The table of events: nothing that can be told lacks words, a kind or a place in the catalog."""

import errno
import re
import types
import typing

import pytest

from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import BY_NAME
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding import actions, events
from bustd_monitor.deciding.actions import Ask, Basis, Escalate, Flight
from bustd_monitor.deciding.events import Answered, Chosen, Ended, Event, NotProtected
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.worth_killing import Relief
from bustd_monitor.event_log import LONGEST_ENTRY_BYTES, entry
from bustd_monitor.ranking.what_may_die import Shield, Spared
from bustd_monitor.reporting.events import KINDS, Told, told
from bustd_monitor.sensing.unread import Unread
from bustd_protocol.messages import Exited, Fate, KillRequest, Reason, Scope, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, finding, process, reading, verdict
from tests.unit.packaging.test_packages import PACKAGING

CONDITIONS = DEFAULTS.conditions
HOSTILE = b"a) R 1\n\xff\x1b=\x00"
REQUEST = KillRequest(7, 101, 9, 1000, HOSTILE, GIB, Signal.TERM, Scope.PROCESS, b"floor", 5)
CHOICE = Ask(
    candidate(101, comm=HOSTILE, unit="a\nb.service"),
    finding("floor"),
    (candidate(102, comm=b"next\n"), candidate(103)),
    Basis(Seen(reading(GIB), Trends()), Relief.WHOLE, 512 * MIB),
)
ALL: tuple[Event, ...] = (
    events.Started(reading(), CONDITIONS),
    events.Started(None, CONDITIONS),
    events.ReadAgain(reading(), CONDITIONS),
    events.Stopping(),
    events.Ready(640),
    NotProtected("no connection"),
    events.Warned("a warning"),
    events.Noted("memory is locked"),
    Chosen(CHOICE, CONDITIONS, 812),
    events.NextAsked(CHOICE._replace(basis=None)),
    Answered(verdict(), REQUEST),
    Answered(verdict(Reason.PROTECTED), None),
    *(Ended(Exited(7, fate, 40), REQUEST, reading()) for fate in Fate),
    Ended(Exited(7, Fate.GONE, 40), None, None),
    events.Unjudged((Spared(process(1), Shield.UNJUDGED, "is too long"),)),
    events.NotRead(Unread(((errno.ENFILE, 37),))),
    events.StageChanged(Stage.CALM, Stage.WATCH, reading()),
    events.FillRateMeasured(6 * GIB),
    events.Sleeping(250),
    Escalate(Flight(101, 9, Signal.TERM), finding("floor", signal=Signal.KILL)),
    actions.ShortageIsOver(),
    actions.NoVictim(reading(), None),
    actions.Scarce(reading(GIB), BY_NAME["floor"], 200 * MIB, None),
    actions.Scarce(reading(GIB), BY_NAME["floor"], 200 * MIB, 90_000, (candidate(comm=HOSTILE),)),
    actions.ShortSoon(reading(GIB), BY_NAME["floor"], 800 * MIB, 20_000, 40 * MIB, (candidate(comm=HOSTILE),)),
    actions.SwapWent(2 * GIB, GIB),
    actions.KernelKilled(2),
    actions.NodeIsFull(1, GIB),
    actions.NodeIsFull(1, GIB, (process(101, comm=HOSTILE),)),
    actions.NothingGrows(),
    actions.StillSmall(process(101, comm=HOSTILE), GIB),
    actions.LessCameBack(process(101, comm=HOSTILE), GIB, MIB),
    actions.CannotKill(Reason.PROTECTED),
)


def fields_of(packet: bytes) -> list[tuple[str, bytes]]:
    """The fields of an entry, read as journald does (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    fields = []
    while packet:
        line, _, rest = packet.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            length = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + length], rest[8 + length :]
            assert rest[:1] == b"\n", "no newline behind the value"
            rest = rest[1:]
        assert re.fullmatch(rb"[A-Z][A-Z0-9_]{0,63}", name), name
        fields.append((name.decode(), value))
        packet = rest
    return fields


def fields(event: Event) -> dict[str, bytes]:
    return dict(fields_of(entry("bustd-monitor", "the line", told(event))))


def test_every_event_has_words_a_kind_and_fields():
    hints = typing.get_args(events.Event)
    assert {type(event) for event in ALL} == set(hints)
    assert all(isinstance(hint, type) for hint in hints) and isinstance(events.Event, types.UnionType)
    for event in ALL:
        said = told(event)
        assert said.sentence and said.kind in KINDS
        assert fields(event)["MESSAGE"] == b"the line"
    assert {told(event).kind for event in ALL} == set(KINDS), "a kind that is never told"


def test_kinds_are_told_apart_and_have_the_levels_that_administrators_filter_by():
    assert len({kind.message_id for kind in KINDS}) == len({kind.name for kind in KINDS}) == len(KINDS)
    assert all(re.fullmatch(r"[0-9a-f]{32}", kind.message_id) for kind in KINDS)
    levels = {level: {kind.name for kind in KINDS if kind.level == level} for level in range(8)}
    assert levels[2] == {"not protected"}
    assert levels[4] == {
        *("decision", "verdict", "the victim lives", "nobody to kill", "the kernel was first"),
        "memory will be short",
    }
    assert {"started", "ready", "memory scarce"} < levels[5] and levels[7] == {"verbose"}
    assert not levels[0] | levels[1] | levels[3]


def catalog() -> dict[str, dict[str, str]]:
    """By MESSAGE_ID: the headers of an entry, and its text under ""."""
    text = (PACKAGING / "bustd.catalog").read_text()
    entries = {}
    for block in re.split(r"^-- ", text, flags=re.MULTILINE)[1:]:
        identity, _, rest = block.partition("\n")
        head, _, body = rest.partition("\n\n")
        entries[identity] = dict(line.split(": ", 1) for line in head.splitlines()) | {"": body.strip()}
    return entries


def test_the_catalog_explains_each_kind_and_no_other():
    explained = catalog()
    assert set(explained) == {kind.message_id for kind in KINDS}
    for headers in explained.values():
        assert headers["Defined-By"] == "bustd" and headers["Subject"] and headers[""]
        for page in re.findall(r"man:([\w.-]+)\((\d)\)", headers["Documentation"]):
            name = f"{page[0]}.{page[1]}"
            assert (PACKAGING / "man" / f"{name}.scd").exists() or name == "killer.toml.5", name


def test_what_the_catalog_fills_in_is_a_field_of_every_event_of_that_kind():
    explained = catalog()
    for event in ALL:
        asked = set(re.findall(r"@(\w+)@", "".join(explained[told(event).kind.message_id].values())))
        is_of_an_unknown_request = isinstance(event, Answered | Ended) and event.request is None
        assert asked <= set(fields(event)) or is_of_an_unknown_request, event


def test_a_decision_carries_its_condition_its_victim_its_numbers_and_the_next():
    found = fields_of(entry("bustd-monitor", "floor fires", told(Chosen(CHOICE, CONDITIONS, 812))))
    assert found[:4] == [
        ("MESSAGE", b"floor fires"),
        ("MESSAGE_ID", b"b85db34848ea49ada72c29427e7688e7"),
        ("PRIORITY", b"4"),
        ("SYSLOG_IDENTIFIER", b"bustd-monitor"),
    ]
    held = CHOICE.candidate.held_bytes
    assert [pair for pair in found[4:] if pair[0] != "BUSTD_CANDIDATE"] == [
        ("BUSTD_CONDITION", b"floor"),
        ("BUSTD_SIGNAL", b"TERM"),
        ("BUSTD_VICTIM_PID", b"101"),
        ("BUSTD_VICTIM_START_TICKS", b"%d" % CHOICE.candidate.process.start_ticks),
        ("BUSTD_VICTIM_COMM", HOSTILE),
        ("BUSTD_VICTIM_UNIT", b"a\nb.service"),
        ("BUSTD_VICTIM_UID", b"%d" % CHOICE.candidate.process.uid),
        ("BUSTD_VICTIM_BYTES", b"%d" % held),
        ("BUSTD_AVAILABLE_BYTES", b"%d" % GIB),
        ("BUSTD_TOTAL_BYTES", b"%d" % reading(GIB).total),
        ("BUSTD_DECIDED_US", b"812"),
    ]
    others = [value for name, value in found if name == "BUSTD_CANDIDATE"]
    assert others == [b"102 90125 1000 %d next\n" % GIB, b"103 90125 1000 %d leak" % GIB]


def test_a_warning_says_what_is_available_what_is_expected_and_when_and_who_would_be_first():
    others = (candidate(101, comm=b"a b"), candidate(102))
    soon = actions.ShortSoon(reading(GIB), BY_NAME["floor"], 800 * MIB, 19_500, 40 * MIB, others)
    found = fields_of(entry("bustd-monitor", "the line", told(soon)))
    assert found[4:] == [
        ("BUSTD_CONDITION", b"floor"),
        ("BUSTD_AVAILABLE_BYTES", b"%d" % GIB),
        ("BUSTD_TOTAL_BYTES", b"%d" % reading(GIB).total),
        ("BUSTD_SHORT_IN_MS", b"19500"),
        ("BUSTD_CANDIDATE", b"101 90125 1000 %d a b" % GIB),
        ("BUSTD_CANDIDATE", b"102 90125 1000 %d leak" % GIB),
    ]
    scarce = actions.Scarce(reading(GIB), BY_NAME["floor"], 800 * MIB, None, others)
    assert "BUSTD_SHORT_IN_MS" not in fields(scarce)
    assert fields(scarce._replace(short_ms=60_000))["BUSTD_SHORT_IN_MS"] == b"60000"
    assert fields(scarce)["BUSTD_CANDIDATE"] == b"102 90125 1000 %d leak" % GIB


LONGEST = candidate(
    2**31, start_ticks=2**63, uid=2**32 - 2, held_bytes=2**47, comm=b"\n" * 15, unit="\xff" * 255, command="x" * 4096
)


def test_ten_candidates_of_the_longest_names_fit_into_an_entry():
    """The longest line has a command of 4 KiB: the unit, the command and the names are escaped in it."""
    choice = CHOICE._replace(candidate=LONGEST, runners_up=(LONGEST,) * 10)
    said = told(Chosen(choice, CONDITIONS, 10**6))
    packet = entry("bustd-monitor", said.sentence, said)
    assert len(packet) <= LONGEST_ENTRY_BYTES
    assert [name for name, _ in fields_of(packet)].count("BUSTD_CANDIDATE") == 10


@pytest.mark.parametrize("room", range(0, 900, 50))
def test_an_entry_that_would_be_too_long_loses_its_last_candidates_and_no_other_field(room):
    others = tuple(candidate(pid, comm=b"n" * 15) for pid in range(101, 111))
    said = told(CHOICE_OF_TEN := Chosen(CHOICE._replace(runners_up=others), CONDITIONS, 812))
    needed = entry("bustd-monitor", "", told(CHOICE_OF_TEN._replace(ask=CHOICE._replace(runners_up=()))))
    message = "x" * (LONGEST_ENTRY_BYTES - len(needed) - room)
    packet = entry("bustd-monitor", message, said)
    assert len(packet) <= LONGEST_ENTRY_BYTES
    found = fields_of(packet)
    kept = [value for name, value in found if name == "BUSTD_CANDIDATE"]
    assert kept == [value for name, value in said.fields if name == "CANDIDATE"][: len(kept)], "the first are kept"
    one_more = len(packet) + len(b"BUSTD_CANDIDATE=101 90125 1000 1073741824 nnnnnnnnnnnnnnn\n")
    assert len(kept) == 10 or one_more > LONGEST_ENTRY_BYTES, "no more are left out than must be"
    assert {name for name, _ in found} >= {f"BUSTD_{name}" for name, _ in said.fields} - {"BUSTD_CANDIDATE"}


def test_a_start_says_whether_anything_is_killed_and_a_hello_which_killer_answers():
    assert fields(events.Started(reading(), CONDITIONS))["BUSTD_DRY_RUN"] == b"0"
    assert fields(events.Started(None, CONDITIONS, dry_run=True))["BUSTD_DRY_RUN"] == b"1"
    assert fields(events.ReadAgain(reading(), CONDITIONS, dry_run=True))["BUSTD_DRY_RUN"] == b"1"
    assert fields(events.Ready(640))["BUSTD_KILLER_PID"] == b"640"


def test_an_answer_and_an_end_name_the_process_that_was_asked_for():
    answer = fields(Answered(verdict(Reason.PROTECTED), REQUEST))
    assert (answer["BUSTD_OUTCOME"], answer["BUSTD_REASON"]) == (b"refused", b"protected")
    assert (answer["BUSTD_VICTIM_PID"], answer["BUSTD_VICTIM_COMM"]) == (b"101", HOSTILE)
    end = fields(Ended(Exited(7, Fate.SPARED, 2000), REQUEST, reading(GIB)))
    assert (end["BUSTD_OUTCOME"], end["BUSTD_ELAPSED_MS"]) == (b"spared", b"2000")
    assert (end["BUSTD_VICTIM_PID"], end["BUSTD_AVAILABLE_BYTES"]) == (b"101", b"%d" % GIB)


@pytest.mark.parametrize(
    "name",
    [b"", b"x", b"a=b", b"a\nPRIORITY=0\n", b"\n", b"\xff\xfe", b"\x1b[31m", "\u202edrow".encode(), b"\x00\n\x00"],
)
def test_a_name_forges_no_field_and_arrives_byte_by_byte(name):
    said = Told(KINDS[0], "", (("VICTIM_COMM", name), ("VICTIM_PID", 7)))
    found = fields_of(entry("bustd-monitor", "the line", said))
    assert found[4:] == [("BUSTD_VICTIM_COMM", name), ("BUSTD_VICTIM_PID", b"7")]


def test_text_that_is_no_unicode_costs_no_entry():
    said = Told(KINDS[0], "", (("VICTIM_UNIT", "a\ud800b"),))
    assert fields_of(entry("bustd-monitor", "the line", said))[4:] == [("BUSTD_VICTIM_UNIT", b"a\\ud800b")]
