"""Bytes to messages and back. One list of cases drives both directions; tests/fuzz has the general promises."""

from __future__ import annotations

import tracemalloc

import msgpack
import pytest

from bustd_protocol import limits
from bustd_protocol.codec import decode, encode, farewell_to
from bustd_protocol.errors import LocalProtocolError, OtherVersion, ProtocolError, RemoteProtocolError
from bustd_protocol.members import packed_members
from bustd_protocol.messages import (
    LAYOUT,
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Outcome,
    Ping,
    Pong,
    Reason,
    Scope,
    Signal,
    Verdict,
    unpacked_members,
)

FULL_32 = "ce ff ff ff ff"
FULL_63 = "cf 7f ff ff ff ff ff ff ff"
ONE_MEMBER = "67 12 00 00  0d 60 01 00 00 00 00 00 "
"""PID 4711 (0x1267), start time 90125 (0x1600d)."""
HIGHEST_MEMBER = "ff ff ff ff  ff ff ff ff ff ff ff ff "
"""The highest that a record can hold: no process has such a PID."""
REQUEST = KillRequest(5, 4711, 90125, 1000, b"leak", 6 << 30, Signal.TERM, Scope.PROCESS, b"floor", 9)

CASES: list[tuple[Message, str]] = [
    (MonitorHello(1, 2, 2, 812), "96 01 02 01 02 02 cd 03 2c"),
    (MonitorHello(2**32 - 1, 0, 255, 2**22), f"96 01 02 {FULL_32} 00 cc ff ce 00 40 00 00"),
    (
        KillerHello(1, 2, 640, 50, 16 << 20, 25, 2000, 5000, 0, 0, 0, 0, 0),
        "9f 02 02 01 02 cd 02 80 32 ce 01 00 00 00 19 cd 07 d0 cd 13 88 00 00 00 00 00",
    ),
    (
        KillerHello(1, 2, 640, 100, 2**63 - 1, 100, 0, 2**32 - 1, 4, 2**22, 2**63 - 1, 9, 500),
        f"9f 02 02 01 02 cd 02 80 64 {FULL_63} 64 00 {FULL_32} 04 ce 00 40 00 00 {FULL_63} 09 cd 01 f4",
    ),
    (Ping(2), "93 03 02 02"),
    (Ping(128), "93 03 02 cc 80"),
    (Pong(2), "93 04 02 02"),
    (Pong(2**32 - 1), f"93 04 02 {FULL_32}"),
    (
        REQUEST,
        "9d 05 02 05 cd 12 67 ce 00 01 60 0d cd 03 e8 c4 04 6c 65 61 6b cf 00 00 00 01 80 00 00 00 0f 00"
        " c4 05 66 6c 6f 6f 72 09 c4 00",
    ),
    (
        KillRequest(5, 1, 0, 2**32 - 1, b"\xff\n) Z\x00", 0, Signal.KILL, Scope.CGROUP, b"", 2**63 - 1),
        f"9d 05 02 05 01 00 {FULL_32} c4 06 ff 0a 29 20 5a 00 00 09 02 c4 00 {FULL_63} c4 00",
    ),
    (
        KillRequest(5, 1, 0, 0, b"c" * 64, 0, Signal.KILL, Scope.GROUP, b"d" * 16, 0),
        f"9d 05 02 05 01 00 00 c4 40 {'63 ' * 64} 00 09 01 c4 10 {'64 ' * 16} 00 c4 00",
    ),
    (
        KillRequest(5, 1, 0, 0, b"", 0, Signal.KILL, Scope.GROUP, b"", 0, bytes.fromhex(ONE_MEMBER)),
        f"9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 c4 0c {ONE_MEMBER}",
    ),
    (
        KillRequest(5, 1, 0, 0, b"", 0, Signal.KILL, Scope.CGROUP, b"", 0, bytes.fromhex(HIGHEST_MEMBER * 330)),
        f"9d 05 02 05 01 00 00 c4 00 00 09 02 c4 00 00 c5 0f 78 {HIGHEST_MEMBER * 330}",
    ),
    (Verdict(5, Outcome.SIGNALLED, Reason.NONE, 3, 1, 1, 0, 0, 412), "9b 06 02 05 00 00 03 01 01 00 00 cd 01 9c"),
    (Verdict(5, Outcome.GONE, Reason.GONE), "9b 06 02 05 01 01 00 00 00 00 00 00"),
    (Verdict(5, Outcome.REFUSED, Reason.RATE, retry_after_ms=500), "9b 06 02 05 02 03 00 00 00 cd 01 f4 00 00"),
    (Verdict(5, Outcome.FAILED, Reason.EPERM, errno=1), "9b 06 02 05 03 12 00 00 00 00 01 00"),
    (Exited(5, Fate.GONE, 43), "95 07 02 05 00 2b"),
    (Exited(5, Fate.STUCK, 5000), "95 07 02 05 01 cd 13 88"),
    (Exited(5, Fate.RELEASED, 9), "95 07 02 05 02 09"),
    (Exited(5, Fate.SPARED, 2000), "95 07 02 05 03 cd 07 d0"),
    (Bye(0, Farewell.SHUTDOWN), "94 08 02 00 00"),
    (Bye(0, Farewell.UNABLE), "94 08 02 00 01"),
    (Bye(0, Farewell.VERSION), "94 08 02 00 02"),
]
NAMES = [f"{type(message).__name__}-{at}" for at, (message, _) in enumerate(CASES)]

# Where an honest Ping has its id: `93 03 02 ..`. Each of these stands there or is the whole packet.
VIOLATIONS: dict[str, str] = {
    "nothing": "",
    "a lower version": "93 03 01 01",
    "a higher version": "93 03 03 01",
    "version 0": "93 03 00 01",
    "a negative version": "93 03 ff 01",
    "version 256": "93 03 cd 01 00 01",
    "a bool as version": "93 03 c3 02",
    "a float as version": "93 03 ca 40 00 00 00 01",
    "an unknown type": "93 09 02 01",
    "type 0": "93 00 02 01",
    "a negative type": "93 ff 02 01",
    "a bool as type": "93 c3 02 01",
    "a float as type": "93 ca 40 40 00 00 02 01",
    "an array as type": "93 91 03 02 01",
    "true as id": "93 03 02 c3",
    "false as id": "93 03 02 c2",
    "nil as id": "93 03 02 c0",
    "a 32-bit float as id": "93 03 02 ca 3f 80 00 00",
    "a 64-bit float as id": "93 03 02 cb 3f f0 00 00 00 00 00 00",
    "minus one as id": "93 03 02 ff",
    "the least int as id": "93 03 02 d3 80 00 00 00 00 00 00 00",
    "a hello with id 0, which no answer could carry": "96 01 02 00 01 01 01",
    "an answered hello with id 0": f"dc 00 11 02 02 00 01 01 {'00 ' * 12}",
    "a ping with id 0, which no pong could carry": "93 03 02 00",
    "a pong with id 0": "93 04 02 00",
    "a request with id 0, which no verdict could carry": "9d 05 02 00 01 00 00 c4 00 00 09 00 c4 00 00 c4 00",
    "a verdict with id 0": "9b 06 02 00 00 00 00 00 00 00 00 00",
    "an exit with id 0": "95 07 02 00 00 00",
    "a farewell with an id other than 0": "94 08 02 01 00",
    "an id of 2**32": "93 03 02 cf 00 00 00 01 00 00 00 00",
    "an id of 2**64 - 1": "93 03 02 cf ff ff ff ff ff ff ff ff",
    "a string as id": "93 03 02 a1 31",
    "an empty string as id": "93 03 02 a0",
    "bytes as id": "93 03 02 c4 01 31",
    "an array as id": "93 03 02 91 01",
    "an empty array as id": "93 03 02 90",
    "a map as id": "93 03 02 81 01 01",
    "an empty map as id": "93 03 02 80",
    "an extension of one byte as id": "93 03 02 d4 05 01",
    "an extension of 16 bytes as id": f"93 03 02 d8 05 {'01 ' * 16}",
    "an empty extension as id": "93 03 02 c7 00 05",
    "an empty extension where a 0 would do": "95 07 02 05 00 c7 00 05",
    "a 32-bit timestamp as id": "93 03 02 d6 ff 00 00 00 01",
    "a 64-bit timestamp as id": "93 03 02 d7 ff 00 00 00 00 00 00 00 01",
    "a 64-bit timestamp of too many nanoseconds as id": f"93 03 02 d7 ff {'ff ' * 8}",
    "a 96-bit timestamp as id": f"93 03 02 c7 0c ff {'00 ' * 12}",
    "the marker that msgpack never uses": "93 03 02 c1",
    "an element too few": "92 03 02",
    "an element too many": "94 03 02 01 00",
    "an exit without its time": "94 07 02 05 00",
    "a request without its members": "9c 05 02 05 01 00 00 c4 00 00 09 00 c4 00 00",
    "no element": "90",
    "a byte after the message": "93 03 02 01 00",
    "a second message": "93 03 02 01 93 03 02 02",
    "an end before the id": "93 03 02",
    "an end within the id": "93 03 02 cd 01",
    "a map in place of the array": "83 03 02 01 01 02 02",
    "an int in place of the array": "03",
    "bytes in place of the array": "c4 03 03 02 01",
    "a string in place of the array": "a3 03 02 01",
    "an array that promises 4 GiB": "dd ff ff ff ff 03 02 01",
    "bytes that promise 4 GiB": "9d 05 02 05 01 00 00 c6 ff ff ff ff",
    "a string that promises 4 GiB": "93 03 02 db ff ff ff ff",
    "a map that promises 4 GiB": "93 03 02 df ff ff ff ff",
    "an extension that promises 4 GiB": "93 03 02 c9 ff ff ff ff 05",
    "arrays nested without end": "91" * 4096,
    "maps nested without end": "81 00" * 2048,
    "a string as process name": "9d 05 02 05 01 00 00 a4 6c 65 61 6b 00 09 00 c4 00 00 c4 00",
    "an int as process name": "9d 05 02 05 01 00 00 00 00 09 00 c4 00 00 c4 00",
    "a process name of 65 bytes": f"9d 05 02 05 01 00 00 c4 41 {'63 ' * 65} 00 09 00 c4 00 00 c4 00",
    "a condition of 17 bytes": f"9d 05 02 05 01 00 00 c4 00 00 09 00 c4 11 {'64 ' * 17} 00 c4 00",
    "pid 0": "9d 05 02 05 00 00 00 c4 00 00 09 00 c4 00 00 c4 00",
    "a pid above the kernel's highest": "9d 05 02 05 ce 00 40 00 01 00 00 c4 00 00 09 00 c4 00 00 c4 00",
    "a start time of 2**63": f"9d 05 02 05 01 cf 80 {'00 ' * 7} 00 c4 00 00 09 00 c4 00 00 c4 00",
    "signal 1": "9d 05 02 05 01 00 00 c4 00 00 01 00 c4 00 00 c4 00",
    "a bool as signal": "9d 05 02 05 01 00 00 c4 00 00 c3 00 c4 00 00 c4 00",
    "scope 3": "9d 05 02 05 01 00 00 c4 00 00 09 03 c4 00 00 c4 00",
    "a bool as scope": "9d 05 02 05 01 00 00 c4 00 00 09 c3 c4 00 00 c4 00",
    "a float as scope": "9d 05 02 05 01 00 00 c4 00 00 09 ca 3f 80 00 00 c4 00 00 c4 00",
    "reason 20": "9b 06 02 05 02 14 00 00 00 00 00 00",
    "outcome 4": "9b 06 02 05 04 13 00 00 00 00 00 00",
    "refused without a reason": "9b 06 02 05 02 00 00 00 00 00 00 00",
    "signalled although protected": "9b 06 02 05 00 0d 00 00 00 00 00 00",
    "gone although protected": "9b 06 02 05 01 0d 00 00 00 00 00 00",
    "refused because of EPERM": "9b 06 02 05 02 12 00 00 00 00 00 00",
    "differs 4": "9b 06 02 05 00 00 04 00 00 00 00 00",
    "errno 4096": "9b 06 02 05 03 13 00 00 00 00 cd 10 00 00",
    "fate 4": "95 07 02 05 04 00",
    "farewell 3": "94 08 02 00 03",
    "a string as members": f"9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 ac {'01 00 00 00' * 3}",
    "an array as members": "9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 91 01",
    "no bytes as members": "9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 c0",
    "a member that is cut off": f"9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 c4 0b 01 {'00 ' * 10}",
    "a byte after a member": f"9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 c4 0d 01 {'00 ' * 12}",
    "331 members": f"9d 05 02 05 01 00 00 c4 00 00 09 01 c4 00 00 c5 0f 84 {ONE_MEMBER * 331}",
    "101 percent": "dc 00 11 02 02 01 01 01 65 00 00 00 00 00 00 00 00 00 00 00",
    "flight signal 65": "dc 00 11 02 02 01 01 01 00 00 00 00 00 00 00 00 00 00 41 00",
    "version 256 in a hello": "96 01 02 01 cd 01 00 01 01",
}

SPELLED = {0: "00", 1: "01", 3: "03", 127: "7f", 128: "cc 80", 255: "cc ff"}
"""A version as the second element of a packet."""


def refusal_of(packet: bytes) -> str:
    return str(refusal_error(packet))


def refusal_error(packet: bytes) -> RemoteProtocolError:
    with pytest.raises(RemoteProtocolError) as caught:
        decode(packet)
    return caught.value


def test_the_cases_have_every_type_of_message() -> None:
    assert {type(message) for message, _ in CASES} == set(LAYOUT)


@pytest.mark.parametrize(("message", "packet"), CASES, ids=NAMES)
def test_a_message_becomes_these_bytes(message: Message, packet: str) -> None:
    assert encode(message) == bytes.fromhex(packet)


@pytest.mark.parametrize(("message", "packet"), CASES, ids=NAMES)
def test_these_bytes_become_the_message_and_its_fields_have_their_types(message: Message, packet: str) -> None:
    decoded = decode(bytes.fromhex(packet))
    assert type(decoded) is type(message)
    assert decoded == message
    assert [type(value) for value in decoded] == [type(value) for value in message]


@pytest.mark.parametrize(("message", "packet"), CASES, ids=NAMES)
def test_a_packet_that_ends_anywhere_before_its_end_is_a_violation(message: Message, packet: str) -> None:
    whole = bytes.fromhex(packet)
    for end in range(len(whole)):
        refusal_of(whole[:end])


@pytest.mark.parametrize(("message", "packet"), CASES, ids=NAMES)
def test_a_packet_with_any_one_byte_more_is_a_violation(message: Message, packet: str) -> None:
    whole = bytes.fromhex(packet)
    for more in range(256):
        refusal_of(whole + bytes([more]))


@pytest.mark.parametrize(("message", "packet"), CASES, ids=NAMES)
def test_no_field_takes_a_bool_a_float_nothing_or_a_list(message: Message, packet: str) -> None:
    array = msgpack.unpackb(bytes.fromhex(packet))
    for at in range(len(array)):
        for foreign in (True, False, float(array[at]) if type(array[at]) is int else 0.0, None, [array[at]]):
            refusal_of(msgpack.packb([*array[:at], foreign, *array[at + 1 :]]))


@pytest.mark.parametrize("packet", VIOLATIONS.values(), ids=VIOLATIONS.keys())
def test_a_packet_is_a_violation_when_it_has(packet: str) -> None:
    refusal = refusal_of(bytes.fromhex(packet))
    assert refusal.isascii() and refusal.isprintable()


def test_a_violation_is_the_peers_fault_and_not_ours() -> None:
    assert not issubclass(RemoteProtocolError, LocalProtocolError)
    assert not issubclass(LocalProtocolError, RemoteProtocolError)
    assert issubclass(RemoteProtocolError, ProtocolError) and issubclass(LocalProtocolError, ProtocolError)


def test_a_violation_says_what_was_wrong() -> None:
    assert refusal_of(b"") == "a packet of 0 bytes"
    assert refusal_of(bytes.fromhex("93 03 01 01")) == "it speaks version 1 of the protocol"
    assert refusal_of(bytes.fromhex("93 09 02 01")) == "unknown message type 9"
    assert refusal_of(bytes.fromhex("93 03 02 c3")) == "Ping: id is of another type or out of range"
    assert refusal_of(bytes.fromhex("94 03 02 01 00")) == "Ping with 2 fields instead of 1"
    assert refusal_of(bytes.fromhex("94 08 02 00 03")) == "Bye: farewell is of another type or out of range"


def test_a_violation_never_repeats_bytes_of_the_peer() -> None:
    name = b"\x1b[2Jforged line"
    packet = msgpack.packb([5, 2, 5, 1, 0, 0, name, 0, name, 0, b"", 0, name])
    assert "forged" not in refusal_of(packet)


def test_a_packet_over_4096_bytes_is_a_violation_even_if_it_is_a_message_within() -> None:
    # no message is so long, unless it is spelled wastefully: what is refused is the length itself
    assert limits.PACKET_BYTES == 4096
    assert refusal_of(b"\x00" * 4097) == "a packet of 4097 bytes"
    assert refusal_of(encode(Ping(1)) + b"\x00" * 4093) == "a packet of 4097 bytes"
    assert refusal_of(b"\x00" * 4096) != "a packet of 4096 bytes"


@pytest.mark.parametrize("spelling", ["01", "cc 01", "cd 00 01", "ce 00 00 00 01", f"cf {'00 ' * 7} 01"])
def test_an_unsigned_int_may_be_spelled_in_any_width(spelling: str) -> None:
    assert decode(bytes.fromhex(f"93 03 02 {spelling}")) == Ping(1)


@pytest.mark.parametrize("spelling", ["d0 01", "d1 00 01", "d2 00 00 00 01", f"d3 {'00 ' * 7} 01"])
def test_a_signed_int_that_is_in_range_is_as_good_as_an_unsigned_one(spelling: str) -> None:
    assert decode(bytes.fromhex(f"93 03 02 {spelling}")) == Ping(1)


@pytest.mark.parametrize("header", ["93", "dc 00 03", "dd 00 00 00 03"])
def test_the_array_may_have_a_header_of_any_width(header: str) -> None:
    assert decode(bytes.fromhex(f"{header} 03 02 01")) == Ping(1)


@pytest.mark.parametrize("header", ["c4 04", "c5 00 04", "c6 00 00 00 04"])
def test_bytes_may_have_a_header_of_any_width(header: str) -> None:
    packet = f"9d 05 02 05 01 00 00 {header} 6c 65 61 6b 00 09 00 c4 00 00 c4 00"
    message = decode(bytes.fromhex(packet))
    assert isinstance(message, KillRequest) and message.comm == b"leak"


def test_the_longest_request_is_spelled_within_a_packet() -> None:
    longest = KillRequest(2**32 - 1, 2**22, 2**63 - 1, 2**32 - 1, b"c" * 64, 2**63 - 1, *REQUEST[6:8], b"d" * 16, 2**62)
    packet = encode(longest._replace(members=bytes.fromhex(HIGHEST_MEMBER) * limits.MEMBERS))
    assert len(packet) == limits.PACKET_BYTES - 2
    assert isinstance(decode(packet), KillRequest)


# Members


def test_members_are_packed_as_their_pid_and_their_start_time_little_endian() -> None:
    members = [(4711, 90125), (2**32 - 1, 2**64 - 1)]
    assert packed_members(members) == bytes.fromhex(ONE_MEMBER + HIGHEST_MEMBER)
    assert unpacked_members(bytes.fromhex(ONE_MEMBER + HIGHEST_MEMBER)) == members


def test_no_members_are_no_bytes() -> None:
    assert packed_members([]) == b""
    assert unpacked_members(b"") == []


@pytest.mark.parametrize("member", [(-1, 0), (2**32, 0), (1, -1), (1, 2**64)])
def test_what_does_not_fit_in_a_record_is_not_packed(member: tuple[int, int]) -> None:
    with pytest.raises(OverflowError):
        packed_members([member])


# Other versions


@pytest.mark.parametrize("version", [0, 1, 3, 127, 128, 255])
@pytest.mark.parametrize("packet", ["93 03 {} 01", "96 01 {} 01 01 01 cd 03 2c", "93 63 {} c4 00", "95 07 {} 00 00 00"])
def test_a_packet_of_another_version_is_told_from_other_violations(version: int, packet: str) -> None:
    error = refusal_error(bytes.fromhex(packet.format(SPELLED[version])))
    assert isinstance(error, OtherVersion)
    assert error.version == version


@pytest.mark.parametrize("packet", ["93 03 ff 01", "93 03 cd 01 00 01", "94 08 cd 01 00 00 00", "94 08 ff 00 00"])
def test_what_is_no_version_at_all_gets_no_answer(packet: str) -> None:
    assert not isinstance(refusal_error(bytes.fromhex(packet)), OtherVersion)


@pytest.mark.parametrize("version", [0, 1, 3, 127, 128, 255])
@pytest.mark.parametrize("reason", ["00", "01", "02", "03", "7f", "ff", "cd 03 e8"])
def test_a_bye_is_understood_whatever_its_version_and_its_reason_are(version: int, reason: str) -> None:
    assert decode(bytes.fromhex(f"94 08 {SPELLED[version]} 00 {reason}")) == Bye(0, Farewell.VERSION)


@pytest.mark.parametrize(
    "packet",
    ["94 08 01 01 00", "95 08 01 00 00 00", "93 08 01 00", "94 08 01 00 c2", "94 08 01 c2 00", "94 08 01 c4 00 00"],
)
def test_what_does_not_have_the_form_of_a_bye_is_none(packet: str) -> None:
    assert isinstance(refusal_error(bytes.fromhex(packet)), OtherVersion)


@pytest.mark.parametrize(
    ("version", "packet"),
    [(0, "94 08 00 00 02"), (1, "94 08 01 00 02"), (3, "94 08 03 00 02"), (255, "94 08 cc ff 00 02")],
)
def test_a_farewell_to_another_version_has_that_version_in_its_header(version: int, packet: str) -> None:
    assert farewell_to(version) == bytes.fromhex(packet)


def test_a_packet_of_nested_promises_costs_little_memory() -> None:
    # without a limit on arrays this allocates 32 MiB: 1,024 arrays of 4,095 promised elements each
    packet = b"\xdc\x0f\xff" * 1365
    tracemalloc.start()
    try:
        refusal_of(packet)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "message",
    [
        Ping(-1),
        Ping(2**32),
        Ping(2**64),
        Ping(True),
        Ping(1.0),  # type: ignore[arg-type]
        Ping(None),  # type: ignore[arg-type]
        Ping(b"1"),  # type: ignore[arg-type]
        Ping("1"),  # type: ignore[arg-type]
        REQUEST._replace(comm="leak"),  # type: ignore[arg-type]
        REQUEST._replace(comm=bytearray(b"leak")),
        REQUEST._replace(comm=b"c" * 65),
        REQUEST._replace(condition=b"d" * 17),
        REQUEST._replace(pid=0),
        REQUEST._replace(pid=2**22 + 1),
        REQUEST._replace(start_ticks=2**63),
        REQUEST._replace(signal=Scope.PROCESS),  # type: ignore[arg-type]
        REQUEST._replace(scope=True),  # type: ignore[arg-type]
        REQUEST._replace(members=b"\1"),
        REQUEST._replace(members=bytes.fromhex(ONE_MEMBER) * 331),
        Verdict(5, Outcome.REFUSED, Reason.NONE),
        Verdict(5, Outcome.SIGNALLED, Reason.PROTECTED),
        Verdict(5, Outcome.REFUSED, Reason.KERNEL),
        Verdict(5, Outcome.REFUSED, Reason.RATE, differs=4),
        Verdict(5, Outcome.FAILED, Reason.KERNEL, errno=4096),
    ],
    ids=repr,
)
def test_a_message_that_breaks_the_rules_is_not_sent(message: Message) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode(message)
    assert str(caught.value).startswith(type(message).__name__)
