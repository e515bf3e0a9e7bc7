"""SPEC.md and the code say the same: every table of the page is read and compared."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import pytest

from bustd_protocol import limits
from bustd_protocol.codec import decode, farewell_to
from bustd_protocol.connection import Connection
from bustd_protocol.errors import OtherVersion, RemoteProtocolError
from bustd_protocol.messages import (
    LAYOUT,
    Bye,
    EnumField,
    Farewell,
    Fate,
    FieldKind,
    IntField,
    KillRequest,
    Message,
    Outcome,
    Reason,
    Scope,
    Signal,
    outcome_of,
)
from bustd_protocol.reactions import REACTIONS
from bustd_protocol.session import TRANSITIONS, Cue, Phase, Role
from bustd_shared.daemon.record import IntEnum
from bustd_shared.kernel import cgroup_paths
from bustd_shared.rules.killer_toml import config_of

SPEC = (Path(__file__).parents[3] / "protocol" / "SPEC.md").read_text(encoding="utf-8")
PROSE = " ".join(SPEC.split())
"""The same, wherever its lines end."""
NAMED = {kind.__name__: kind for kind in LAYOUT}
Row = dict[str, str]


def tables_of(text: str) -> dict[tuple[str, ...], list[list[Row]]]:
    """The tables of a Markdown text by their column names; each a list of rows."""
    found: dict[tuple[str, ...], list[list[Row]]] = {}
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    for line in [*text.splitlines(), ""]:
        if not line.startswith("|"):
            if columns:
                found.setdefault(columns, []).append(rows)
            columns, rows = (), []
            continue
        cells = tuple(cell.strip() for cell in line.strip().strip("|").split("|"))
        if not columns:
            columns = cells
        elif set("".join(cells)) <= {"-", " "} and "-" in line:
            continue
        else:
            rows.append(dict(zip(columns, cells, strict=True)))
    return found


TABLES = tables_of(SPEC)


def table(*columns: str) -> list[Row]:
    """The one table of the page with these columns."""
    (rows,) = TABLES[columns]
    return rows


def field_table(message: str) -> list[Row]:
    """The table of a message's fields, below the heading that names it."""
    (section,) = re.findall(rf"^### {message}$(.*?)(?=^##|\Z)", SPEC, flags=re.MULTILINE | re.DOTALL)
    (rows,) = tables_of(section)["field", "kind", "range", "unit", "meaning"]
    return rows


def kind_and_range(kind: FieldKind) -> tuple[str, str]:
    """A field's kind as the page writes it."""
    if isinstance(kind, IntField):
        return "int", f"{kind.low} to {kind.high}" if kind.low < kind.high else str(kind.low)
    if isinstance(kind, EnumField):
        if kind.members is Reason:
            return "Reason", f"{min(Reason)} to {max(Reason)}"
        return kind.members.__name__, ", ".join(str(int(member)) for member in kind.members)
    return "bin", f"up to {kind.longest} bytes" + (f", a multiple of {kind.step}" if kind.step > 1 else "")


def shown(name: str, value: Any) -> str:
    """A field's value as the example writes it."""
    if isinstance(value, IntEnum):
        return value.name
    if name == "members":
        records = struct.Struct("<IQ").iter_unpack(value)
        return ", ".join(f"{pid}/{start_ticks}" for pid, start_ticks in records) or "none"
    if isinstance(value, bytes):
        return '"' + "".join(chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in value) + '"'
    return str(value)


def test_the_page_has_no_table_that_these_tests_do_not_know() -> None:
    fields = ("field", "kind", "range", "unit", "meaning")
    assert {columns: len(tables) for columns, tables in TABLES.items()} == {
        ("limit", "value", "meaning"): 1,
        ("number", "message", "sender", "purpose"): 1,
        fields: len(LAYOUT),
        ("enumeration", "number", "member", "meaning"): 1,
        ("number", "reason", "outcome", "meaning", "reaction", "what the monitor does"): 1,
        ("check", "asked of", "reasons", "what must be true", "whom it distrusts"): 1,
        ("phase", "meaning"): 1,
        ("message", "sender", "when", "cue"): 1,
        ("phase", "cue", "next phase"): 1,
        ("from", "message", "packet", "phase"): 1,
        ("packet", "why"): 1,
    }


def test_no_cell_is_empty_but_that_of_a_unit() -> None:
    for tables in TABLES.values():
        for row in (row for rows in tables for row in rows):
            assert all(cell or column == "unit" for column, cell in row.items()), row


def test_every_limit_is_named_with_its_value() -> None:
    told = {row["limit"].strip("`"): int(row["value"]) for row in table("limit", "value", "meaning")}
    widths = {"UINT32_MAX", "UINT63_MAX"}  # they are ranges of fields, not limits of their own
    assert told == {name: value for name, value in vars(limits).items() if name.isupper() and name not in widths}


def test_the_rules_of_transport_give_the_same_numbers() -> None:
    assert f"A packet must have 1 to {limits.PACKET_BYTES} bytes." in PROSE
    assert f"must not send more than {limits.MESSAGES_PER_SECOND} packets in any second" in PROSE
    assert f"MonitorHello within {limits.HELLO_DEADLINE_MS // 1000} seconds" in PROSE
    assert f"A Verdict that has not come within {limits.VERDICT_DEADLINE_MS // 1000} s" in PROSE
    assert f"`version` is {limits.VERSION} in every message" in PROSE
    assert f"accepts at most {limits.CONNECTIONS_PER_SECOND} connections in a second" in PROSE
    assert SPEC.startswith(f"# The bustd protocol, version {limits.VERSION}\n")


def test_the_rules_on_members_give_the_same_numbers() -> None:
    assert f"Each member is a record of {limits.MEMBER_BYTES} bytes" in PROSE
    assert f"A group may have more than {limits.MEMBERS} members" in PROSE
    assert f"a kill that ended at most {limits.CONTINUATION_MS // 1000} s ago" in PROSE
    assert f"At most {limits.CONTINUATIONS} continuations of one kill are accepted" in PROSE
    assert f"more than {cgroup_paths.DEEPEST} components" in PROSE


def test_the_limits_are_told_with_the_same_numbers() -> None:
    at_once, policy = limits.PROCESSES_AT_ONCE, config_of({})
    assert f"There are {at_once} tokens at most, and {limits.PROCESSES_PER_SECOND} come back in a second." in PROSE
    assert f"In any 60 s, at most {at_once} processes are signalled." in PROSE
    assert f"In any 60 s, at most {policy.per_minute} requests are signalled." in PROSE
    assert f"counts half of the {policy.per_minute} as used" in PROSE
    assert f"Every {policy.interval_ms} ms there is room for one more" in PROSE
    assert f"`stuck_ms` ({policy.stuck_ms // 1000} s) have passed since SIGKILL" in PROSE
    assert f"{policy.term_ms // 1000} s (`term_grace_ms`) later" in PROSE


def test_the_form_of_bye_that_never_changes_is_that_of_this_version() -> None:
    number, fields = LAYOUT[Bye]
    assert f"`[{number}, version, 0, n]`" in PROSE
    assert fields == (IntField(0, 0), EnumField(Farewell))
    assert f"Bye, `farewell` VERSION (n is {int(Farewell.VERSION)})" in PROSE


def test_every_message_is_named_with_its_number() -> None:
    told = [(row["message"], int(row["number"])) for row in table("number", "message", "sender", "purpose")]
    assert told == [(kind.__name__, number) for kind, (number, _) in LAYOUT.items()]


@pytest.mark.parametrize("name", NAMED)
def test_every_field_is_told_with_its_kind_and_range_in_its_order(name: str) -> None:
    told = [(row["field"], row["kind"], row["range"]) for row in field_table(name)]
    fields = LAYOUT[NAMED[name]][1]
    assert told == [(field, *kind_and_range(kind)) for field, kind in zip(NAMED[name]._fields, fields, strict=True)]


@pytest.mark.parametrize("name", NAMED)
def test_every_quantity_is_told_with_the_unit_that_its_name_has(name: str) -> None:
    units = {"ms": "ms", "us": "µs", "bytes": "bytes", "percent": "percent", "ticks": "clock ticks"}
    for row in field_table(name):
        if row["kind"] == "int":
            assert row["unit"] == units.get(row["field"].rpartition("_")[2], row["unit"]), row


def test_every_member_of_every_enumeration_is_told_with_its_number() -> None:
    told = [
        (row["enumeration"], row["member"], int(row["number"]))
        for row in table("enumeration", "number", "member", "meaning")
    ]
    enums: list[type[IntEnum]] = [Signal, Scope, Outcome, Fate, Farewell]
    assert told == [(enum.__name__, member.name, int(member)) for enum in enums for member in enum]
    assert {field.members for _, fields in LAYOUT.values() for field in fields if isinstance(field, EnumField)} == {
        Reason,
        *enums,
    }


def test_every_reason_is_told_with_its_number_outcome_and_reaction() -> None:
    rows = table("number", "reason", "outcome", "meaning", "reaction", "what the monitor does")
    told = [(row["reason"], int(row["number"]), row["outcome"], row["reaction"]) for row in rows]
    assert told == [(reason.name, int(reason), outcome_of(reason).name, REACTIONS[reason].name) for reason in Reason]


def test_every_reason_has_one_sentence_on_what_the_monitor_does() -> None:
    for row in table("number", "reason", "outcome", "meaning", "reaction", "what the monitor does"):
        sentence = row["what the monitor does"]
        assert sentence[0].isupper() and sentence.endswith(".") and ". " not in sentence, sentence


def test_every_phase_is_told() -> None:
    assert [row["phase"] for row in table("phase", "meaning")] == [phase.value for phase in Phase]


def test_every_cue_is_told_with_the_message_that_gives_it_and_its_sender() -> None:
    rows = table("message", "sender", "when", "cue")
    assert list(dict.fromkeys(row["cue"] for row in rows)) == [cue.value for cue in Cue]
    senders = {row["message"]: row["sender"] for row in table("number", "message", "sender", "purpose")}
    assert {row["message"]: row["sender"] for row in rows} == senders


def test_every_transition_is_told_and_no_other() -> None:
    told = [(row["phase"], row["cue"], row["next phase"]) for row in table("phase", "cue", "next phase")]
    assert told == [
        (phase.value, cue.value, after.value) for phase, row in TRANSITIONS.items() for cue, after in row.items()
    ]


def example() -> list[tuple[Role, Row, bytes]]:
    rows = table("from", "message", "packet", "phase")
    return [(Role(row["from"]), row, bytes.fromhex(row["packet"].strip("`"))) for row in rows]


def test_the_example_has_every_type_of_message() -> None:
    assert {type(decode(packet)) for _, _, packet in example()} == set(LAYOUT)


def test_the_packets_of_the_example_are_those_of_its_messages() -> None:
    for _, row, packet in example():
        message: Message = decode(packet)
        fields = [f"{name}={shown(name, value)}" for name, value in zip(message._fields, message, strict=True)]
        assert row["message"] == " ".join([type(message).__name__, *fields])


def test_the_example_is_a_connection_that_both_ends_permit() -> None:
    ends = {role: Connection(role) for role in Role}
    monitor, killer = ends[Role.MONITOR], ends[Role.KILLER]
    for role, row, packet in example():
        message = decode(packet)
        receiver = killer if role is Role.MONITOR else monitor
        assert ends[role].send(message) == packet
        assert receiver.receive(packet, False, False) == message
        assert monitor.session == killer.session
        assert monitor.session.phase.value == row["phase"]
    assert monitor.session.phase is Phase.CLOSED


def test_the_packet_that_is_explained_byte_by_byte_is_the_first_of_the_example() -> None:
    assert explained("The first packet") == example()[0][2]


def test_the_members_that_are_explained_byte_by_byte_are_those_of_a_request_of_the_example() -> None:
    requests = {packet: decode(packet) for _, _, packet in example() if isinstance(decode(packet), KillRequest)}
    field = explained("The members of the continuation")
    (request,) = [request for packet, request in requests.items() if packet.endswith(field)]
    assert field == bytes([0xC4, len(request.members)]) + request.members
    assert request.id == 5


def explained(what: str) -> bytes:
    """The bytes that the page explains one after the other."""
    (block,) = re.findall(rf"^{what}, byte by byte:\n\n((?:    .+\n)+)", SPEC, flags=re.MULTILINE)
    return bytes.fromhex(" ".join(line.strip().split("  ")[0] for line in block.splitlines()))


def test_the_packet_of_another_version_is_shown_with_its_answer() -> None:
    (answered,) = re.findall(
        r"^\| `(.+)` \| version \d+; the killer answers it with `(.+)` \|$", SPEC, flags=re.MULTILINE
    )
    packet, answer = (bytes.fromhex(text) for text in answered)
    with pytest.raises(OtherVersion) as caught:
        decode(packet)
    assert farewell_to(caught.value.version) == answer


@pytest.mark.parametrize("row", table("packet", "why"), ids=lambda row: row["why"])
def test_what_the_page_calls_a_violation_is_one(row: Row) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(bytes.fromhex(row["packet"].strip("`")))
