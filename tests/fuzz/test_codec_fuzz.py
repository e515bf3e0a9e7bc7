"""The promise of the codec: decode returns a message or raises RemoteProtocolError, and nothing else.

Of another version it is Bye or OtherVersion, which is a RemoteProtocolError.
"""

from __future__ import annotations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_protocol import limits
from bustd_protocol.codec import decode, encode, farewell_to
from bustd_protocol.errors import LocalProtocolError, OtherVersion, RemoteProtocolError
from bustd_protocol.messages import LAYOUT, Bye, Farewell, KillRequest, Message, Verdict, outcome_of, unpacked_members
from tests.fuzz.promises import check_acceptance, decoded, wire_list
from tests.fuzz.strategies import (
    FUZZ,
    LONGEST_INPUT,
    RECORD,
    boastful_packets,
    damaged_packets,
    elements,
    marked_packets,
    member_bytes,
    messages,
    messages_of,
    rebuilt_packets,
    unfit_member_bytes,
    unfit_values,
)


@FUZZ
@given(message=messages())
def test_every_message_survives_the_round_trip_with_its_type_and_the_types_of_its_fields(message: Message) -> None:
    packet = encode(message)
    assert 0 < len(packet) <= limits.PACKET_BYTES
    back = decode(packet)
    assert type(back) is type(message)  # a Ping equals a Pong with the same id: both are tuples
    assert back == message
    assert [type(value) for value in back] == [type(value) for value in message]


@FUZZ
@given(message=messages())
def test_a_packet_is_the_plain_msgpack_array_of_type_version_and_fields(message: Message) -> None:
    assert msgpack.unpackb(encode(message)) == wire_list(message)


@FUZZ
@given(packet=st.binary(max_size=LONGEST_INPUT))
def test_noise_is_a_message_or_a_remote_error(packet: bytes) -> None:
    check_acceptance(packet)


@FUZZ
@given(packet=rebuilt_packets())
def test_sound_msgpack_with_foreign_elements_is_a_message_or_a_remote_error(packet: bytes) -> None:
    check_acceptance(packet)


@FUZZ
@given(packet=damaged_packets())
def test_a_damaged_packet_is_a_message_or_a_remote_error(packet: bytes) -> None:
    check_acceptance(packet)


@FUZZ
@given(packet=boastful_packets())
def test_a_header_that_promises_more_than_follows_is_a_message_or_a_remote_error(packet: bytes) -> None:
    check_acceptance(packet)


@FUZZ
@given(packet=marked_packets())
def test_any_sequence_of_msgpack_markers_is_a_message_or_a_remote_error(packet: bytes) -> None:
    check_acceptance(packet)


@FUZZ
@given(message=messages(), data=st.data())
def test_every_proper_prefix_and_every_continuation_of_a_packet_is_refused(
    message: Message, data: st.DataObject
) -> None:
    packet = encode(message)
    cut = data.draw(st.integers(0, len(packet) - 1))
    more = data.draw(st.binary(min_size=1, max_size=32))
    assert decoded(packet[:cut]) is None
    assert decoded(packet + more) is None


@FUZZ
@given(data=st.data())
def test_one_unfit_field_is_refused_by_both_directions(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(LAYOUT)))
    message = data.draw(messages_of(kind))
    at = data.draw(st.integers(0, len(message) - 1))
    value = data.draw(unfit_values(LAYOUT[kind][1][at]))
    array: list[object] = list(wire_list(message))
    array[2 + at] = value
    assert decoded(msgpack.packb(array)) is None
    with pytest.raises(LocalProtocolError):
        encode(message._replace(**{message._fields[at]: value}))


@FUZZ
@given(request=messages_of(KillRequest), fit=member_bytes(), unfit=unfit_member_bytes())
def test_members_are_whole_records_to_the_last_or_the_request_is_refused(
    request: KillRequest, fit: bytes, unfit: bytes
) -> None:
    heard = decoded(msgpack.packb([*wire_list(request)[:-1], fit]))
    assert isinstance(heard, KillRequest)
    assert unpacked_members(heard.members) == list(RECORD.iter_unpack(fit))
    assert decoded(msgpack.packb([*wire_list(request)[:-1], unfit])) is None


@FUZZ
@given(version=st.integers(0, 255), rest=st.lists(elements(), max_size=15), number=st.integers(0, 12))
def test_a_packet_of_another_version_is_its_bye_or_an_other_version_or_no_packet_at_all(
    version: int, rest: list[object], number: int
) -> None:
    packet = msgpack.packb([number, version, *rest])[:LONGEST_INPUT]
    check_acceptance(packet)
    try:
        decode(msgpack.packb([number, version, *(one for one in rest if type(one) is int), 1]))
    except OtherVersion as error:
        assert error.version == version
    except RemoteProtocolError:
        assert version == limits.VERSION
    else:
        assert version == limits.VERSION or number == 8


@FUZZ
@given(version=st.integers(0, 255).filter(lambda version: version != limits.VERSION), reason=st.integers(0, 2**64 - 1))
def test_the_form_of_a_bye_never_changes(version: int, reason: int) -> None:
    assert decode(msgpack.packb([8, version, 0, reason])) == Bye(0, Farewell.VERSION)
    assert msgpack.unpackb(farewell_to(version)) == [8, version, 0, 2]


@FUZZ
@given(verdict=messages_of(Verdict), data=st.data())
def test_a_verdict_is_accepted_with_the_outcome_of_its_reason_and_no_other(
    verdict: Verdict, data: st.DataObject
) -> None:
    array = wire_list(verdict)
    array[3] = data.draw(st.integers(0, 3))
    message = decoded(msgpack.packb(array))
    assert (message is not None) == (array[3] == outcome_of(verdict.reason))


@FUZZ
@given(message=messages(), number=st.integers(-(2**63), 2**64 - 1), version=st.integers(-(2**63), 2**64 - 1))
def test_another_type_number_or_version_is_never_taken_for_the_message(
    message: Message, number: int, version: int
) -> None:
    array = wire_list(message)
    if version != limits.VERSION:
        theirs = decoded(msgpack.packb([array[0], version, *array[2:]]))
        is_heard = isinstance(message, Bye) and version in range(256)
        assert theirs == (Bye(0, Farewell.VERSION) if is_heard else None)
    other = decoded(msgpack.packb([number, *array[1:]]))
    assert other is None or LAYOUT[type(other)][0] == number
