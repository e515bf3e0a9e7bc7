"""SPEC.md and the code say the same: every table of the page is read and compared."""

from __future__ import annotations

import re
from enum import IntEnum
from pathlib import Path

import pytest

from bustd_protocol import limits
from bustd_protocol.codec import decode
from bustd_protocol.connection import Connection
from bustd_protocol.errors import RemoteProtocolError
from bustd_protocol.messages import (
    LAYOUT,
    EnumField,
    Farewell,
    Fate,
    FieldKind,
    IntField,
    Message,
    Outcome,
    Reason,
    Scope,
    Signal,
    outcome_of,
)
from bustd_protocol.reactions import REACTIONS
from bustd_protocol.session import TRANSITIONS, Cue, Phase, Role

SPEC = (Path(__file__).parents[3] / "protocol" / "SPEC.md").read_text(encoding="utf-8")
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
    return "bin", f"up to {kind.longest} bytes"


def shown(value: object) -> str:
    """A field's value as the example writes it."""
    if isinstance(value, IntEnum):
        return value.name
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
    assert f"A packet must have 1 to {limits.PACKET_BYTES} bytes." in SPEC
    assert f"must not send more than {limits.MESSAGES_PER_SECOND} packets in any second" in SPEC
    assert f"MonitorHello within {limits.HELLO_DEADLINE_MS // 1000} seconds" in SPEC
    assert f"A Verdict that has not come within {limits.VERDICT_DEADLINE_MS // 1000} s" in SPEC
    assert f"`version` is {limits.VERSION} in every message" in SPEC
    assert SPEC.startswith(f"# The bustd protocol, version {limits.VERSION}\n")


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
        fields = [f"{name}={shown(value)}" for name, value in zip(message._fields, message, strict=True)]
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
    (block,) = re.findall(r"byte by byte:\n\n((?:    .+\n)+)", SPEC)
    pieces = [line.strip().split("  ")[0] for line in block.splitlines()]
    assert bytes.fromhex(" ".join(pieces)) == example()[0][2]


@pytest.mark.parametrize("row", table("packet", "why"), ids=lambda row: row["why"])
def test_what_the_page_calls_a_violation_is_one(row: Row) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(bytes.fromhex(row["packet"].strip("`")))
