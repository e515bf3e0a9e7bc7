"""The messages themselves: what they are made of, and that their tables are whole."""

from __future__ import annotations

import signal
from typing import get_args

import pytest

from bustd_protocol import limits
from bustd_protocol.codec import encode
from bustd_protocol.messages import (
    DIFFERS_COMM,
    DIFFERS_UID,
    LAYOUT,
    Bye,
    BytesField,
    EnumField,
    IntField,
    KillRequest,
    Message,
    Outcome,
    Ping,
    Reason,
    Signal,
    Verdict,
    outcome_of,
)
from bustd_shared.daemon.record import NamedTuple

KINDS = list(LAYOUT)


def test_every_message_has_a_layout_and_every_layout_a_message() -> None:
    assert set(LAYOUT) == set(get_args(Message))


def test_type_numbers_count_from_one_without_a_gap() -> None:
    assert sorted(number for number, _ in LAYOUT.values()) == list(range(1, len(LAYOUT) + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_the_layout_has_one_kind_for_each_field(kind: type[Message]) -> None:
    assert len(LAYOUT[kind][1]) == len(kind._fields)


@pytest.mark.parametrize("kind", KINDS)
def test_every_message_begins_with_an_id_that_is_not_0_except_bye_that_nothing_answers(kind: type[Message]) -> None:
    assert kind._fields[0] == "id"
    assert LAYOUT[kind][1][0] == (IntField(0, 0) if kind is Bye else IntField(1, limits.ID_MAX))


@pytest.mark.parametrize("kind", KINDS)
def test_the_longest_message_of_each_type_fits_in_a_packet(kind: type[Message]) -> None:
    longest = [
        field.high if isinstance(field, IntField) else b"x" * field.longest if isinstance(field, BytesField) else None
        for field in LAYOUT[kind][1]
    ]
    members = [max(field.members) if isinstance(field, EnumField) else None for field in LAYOUT[kind][1]]
    message = kind._make(member if value is None else value for value, member in zip(longest, members, strict=True))
    if isinstance(message, Verdict):
        message = message._replace(outcome=outcome_of(message.reason))
    assert len(encode(message)) <= limits.PACKET_BYTES


def test_ranges_of_ints_are_never_empty_and_never_negative() -> None:
    for _, fields in LAYOUT.values():
        for field in fields:
            if isinstance(field, IntField):
                assert 0 <= field.low <= field.high <= limits.UINT63_MAX


def test_a_field_of_a_message_cannot_be_changed() -> None:
    ping = Ping(1)
    with pytest.raises(AttributeError):
        ping.id = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del ping.id


def test_a_message_lacking_a_field_cannot_be_made() -> None:
    with pytest.raises(TypeError):
        KillRequest(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Verdict(1)  # type: ignore[call-arg]


def test_a_verdict_needs_only_its_outcome_and_reason() -> None:
    verdict = Verdict(1, Outcome.GONE, Reason.GONE)
    assert verdict[3:] == (0, 0, 0, 0, 0, 0)


def test_a_message_names_its_fields_in_its_repr() -> None:
    assert repr(Ping(id=7)) == "Ping(id=7)"


def test_signals_are_those_of_the_system_and_only_these_two() -> None:
    assert {member.name: int(member) for member in Signal} == {
        "KILL": int(signal.SIGKILL),
        "TERM": int(signal.SIGTERM),
    }


def test_the_bits_of_differs_do_not_overlap_and_fill_its_range() -> None:
    assert DIFFERS_UID & DIFFERS_COMM == 0
    assert LAYOUT[Verdict][1][Verdict._fields.index("differs")] == IntField(0, DIFFERS_UID | DIFFERS_COMM)


def test_every_reason_is_a_refusal_but_the_four_that_say_what_else_happened() -> None:
    others = {
        Reason.NONE: Outcome.SIGNALLED,
        Reason.GONE: Outcome.GONE,
        Reason.EPERM: Outcome.FAILED,
        Reason.KERNEL: Outcome.FAILED,
    }
    assert {reason: outcome_of(reason) for reason in Reason} == dict.fromkeys(Reason, Outcome.REFUSED) | others


def test_reasons_are_numbered_without_a_gap() -> None:
    assert sorted(Reason) == list(range(len(list(Reason))))


class Example(NamedTuple):
    """An example."""

    first: int
    second: bytes = b"default"

    def doubled(self) -> int:
        return 2 * self.first


def test_a_record_is_a_tuple_with_names_defaults_methods_and_its_own_docstring() -> None:
    example = Example(4)
    assert example == (4, b"default")
    assert example.second == b"default"
    assert example.doubled() == 8
    assert example._replace(second=b"") == Example(first=4, second=b"")
    assert Example.__doc__ == "An example."
    assert Example.__module__ == __name__
    assert Example._fields == ("first", "second")
