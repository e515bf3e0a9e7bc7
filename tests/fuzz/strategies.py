"""What hypothesis draws from: valid messages by LAYOUT, and packets that are wrong in as many ways as possible."""

from __future__ import annotations

import struct

import msgpack
from hypothesis import settings
from hypothesis import strategies as st

from bustd_protocol import limits
from bustd_protocol.codec import encode
from bustd_protocol.messages import (
    LAYOUT,
    Bye,
    EnumField,
    FieldKind,
    IntField,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Ping,
    Reason,
    Scope,
    Signal,
    Verdict,
    outcome_of,
)
from bustd_protocol.session import Role
from tests.fuzz.promises import wire_list

RECORD = struct.Struct("<IQ")
"""A member as SPEC.md has it: PID and start time, little endian."""

LONGEST_INPUT = 8192
"""Twice the largest packet, which decode must survive."""

# Without a database every failure prints the seed that repeats it (`pytest --hypothesis-seed=N`).
FUZZ = settings(max_examples=300, deadline=None, database=None, print_blob=True)
DEEP = settings(FUZZ, max_examples=800)


def values_of(kind: FieldKind) -> st.SearchStrategy[int | bytes]:
    """The values that a field of this kind may hold; the ends of its range are drawn often."""
    if isinstance(kind, EnumField):
        return st.sampled_from(list(kind.members))
    if isinstance(kind, IntField):
        return st.sampled_from([kind.low, kind.high]) | st.integers(kind.low, kind.high)
    if kind.step == limits.MEMBER_BYTES:
        return member_bytes()
    return st.sampled_from([b"", b"\xff" * kind.longest]) | st.binary(max_size=kind.longest)


def member_bytes() -> st.SearchStrategy[bytes]:
    """Any members that a request may name, packed here and not by the code under test; none and the most often.

    Whether there can be such a process is no matter of the codec: one that can't be is gone.
    """
    pids = st.sampled_from([0, 1, limits.PID_MAX, 2**31, 2**32 - 1]) | st.integers(1, limits.PID_MAX)
    ticks = st.sampled_from([0, limits.UINT63_MAX, 2**64 - 1]) | st.integers(0, limits.UINT63_MAX)
    few = st.lists(st.builds(RECORD.pack, pids, ticks), max_size=12).map(b"".join)
    return few | st.sampled_from([b"", RECORD.pack(limits.PID_MAX, limits.UINT63_MAX) * limits.MEMBERS])


def unfit_member_bytes() -> st.SearchStrategy[bytes]:
    """Members of which the last is cut off, or of which there are too many."""
    cut_off = st.builds(lambda fit, rest: fit + rest, member_bytes(), st.binary(min_size=1, max_size=11))
    return cut_off | st.just(RECORD.pack(1, 1) * (limits.MEMBERS + 1))


def messages_of(kind: type[Message]) -> st.SearchStrategy[Message]:
    """Any message of one type that the protocol allows."""
    drawn = st.tuples(*(values_of(field) for field in LAYOUT[kind][1])).map(kind._make)
    if kind is Verdict:
        return drawn.map(lambda verdict: verdict._replace(outcome=outcome_of(verdict.reason)))
    return drawn


def messages() -> st.SearchStrategy[Message]:
    """Any message that the protocol allows."""
    return st.one_of([messages_of(kind) for kind in LAYOUT])


def unfit_values(kind: FieldKind) -> st.SearchStrategy[object]:
    """Values that a field of this kind must never hold, on either side of the codec."""
    wrong_type = st.sampled_from([None, True, False, 0.0, 1.0, float("nan"), "", "x", [], [0], {}, (1,)])
    if isinstance(kind, EnumField):
        known = {int(member) for member in kind.members}
        return wrong_type | st.binary(max_size=3) | st.integers(-(2**63), 2**64 - 1).filter(lambda n: n not in known)
    if isinstance(kind, IntField):
        near = st.sampled_from([kind.low - 1, kind.high + 1, -(2**63), 2**64 - 1])
        below = st.integers(-(2**63), kind.low - 1)
        return wrong_type | st.binary(max_size=3) | near | below | st.integers(kind.high + 1, 2**64 - 1)
    if kind.step == limits.MEMBER_BYTES:
        return wrong_type | st.integers(-(2**63), 2**64 - 1) | unfit_member_bytes()
    too_long = st.binary(min_size=kind.longest + 1, max_size=kind.longest + 300)
    return wrong_type | st.integers(-(2**63), 2**64 - 1) | too_long


def elements() -> st.SearchStrategy[object]:
    """Anything that msgpack can carry: nested arrays, maps, extension types, timestamps, bools, floats, strings."""
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**64 - 1),
        st.sampled_from([-1, 0, 1, 2**31, 2**32, 2**63, 2**64 - 1]),
        st.floats(),
        st.text(max_size=8),
        st.binary(max_size=100),
        st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=20)),
        st.builds(msgpack.Timestamp, st.integers(-(2**40), 2**40), st.integers(0, 999_999_999)),
    )
    keys = st.integers(-5, 5) | st.text(max_size=3) | st.binary(max_size=3)
    shallow = leaves | st.lists(leaves, max_size=18) | st.dictionaries(keys, leaves, max_size=2)
    return leaves | shallow | st.lists(shallow, max_size=3) | st.dictionaries(keys, shallow, max_size=2)


@st.composite
def rebuilt_packets(draw: st.DrawFn) -> bytes:
    """A valid message's array with some elements replaced, added or removed; all of it is valid msgpack.

    One in three is of another version from the start.
    """
    array: list[object] = list(wire_list(draw(messages())))
    array[1] = draw(st.sampled_from([limits.VERSION, limits.VERSION, draw(st.integers(0, 255))]))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(0, len(array) - 1)))
        action = draw(st.sampled_from(["replace", "insert", "drop"]))
        if action == "insert":
            array.insert(at, draw(elements()))
        elif action == "replace" and array:
            array[at] = draw(elements())
        elif array:
            del array[at]
    packet: bytes = msgpack.packb(array)
    return packet[:LONGEST_INPUT]


@st.composite
def damaged_packets(draw: st.DrawFn) -> bytes:
    """A valid packet with bytes flipped, cut off, inserted, doubled, or followed by more."""
    packet = bytearray(encode(draw(messages())))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(packet) - 1)))
        action = draw(st.sampled_from(["flip", "cut", "insert", "trail", "double"]))
        if action == "flip" and packet:
            packet[at] ^= draw(st.integers(1, 255))
        elif action == "cut":
            del packet[at:]
        elif action == "insert":
            packet[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif action == "trail":
            packet += draw(st.binary(min_size=1, max_size=16))
        elif action == "double":
            packet += packet[:200]
    return bytes(packet[:LONGEST_INPUT])


@st.composite
def boastful_packets(draw: st.DrawFn) -> bytes:
    """Headers that announce far more than follows: strings, arrays, maps and extensions of up to 4 GiB, and nesting."""
    headers = {8: [0xC4, 0xC7, 0xD9], 16: [0xC5, 0xC8, 0xDA, 0xDC, 0xDE], 32: [0xC6, 0xC9, 0xDB, 0xDD, 0xDF]}
    width = draw(st.sampled_from([8, 16, 32]))
    length = draw(st.sampled_from([0, 1, 65, 2 ** (width - 1), 2**width - 1]) | st.integers(0, 2**width - 1))
    promise = bytes([draw(st.sampled_from(headers[width]))]) + length.to_bytes(width // 8, "big")
    prefix = draw(st.sampled_from([b"", b"\x93\x03\x02", b"\x91", b"\x81\x00", b"\x9d\x05\x02\x01"]))
    nesting = draw(st.sampled_from([1, 2, 17, 500, 1500, 4096]))
    return (prefix + promise * nesting + draw(st.binary(max_size=64)))[:LONGEST_INPUT]


@st.composite
def marked_packets(draw: st.DrawFn) -> bytes:
    """A short array of raw pieces, each beginning with a byte that has a meaning in msgpack (fixext, floats, 0xc1)."""
    pieces = draw(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=17)), min_size=1, max_size=16))
    body = b"".join(bytes([mark]) + rest for mark, rest in pieces)
    start = draw(
        st.sampled_from([b"", bytes([0x90 | min(15, len(pieces))]), b"\x93\x03\x02", b"\x94\x08\x02", b"\x94\x08\x01"])
    )
    return (start + body)[:LONGEST_INPUT]


def plainest(kind: type[Message]) -> Message:
    """The message of this type with the lowest value of each field."""
    return kind._make(
        next(iter(field.members)) if isinstance(field, EnumField) else field.low if isinstance(field, IntField) else b""
        for field in LAYOUT[kind][1]
    )


def small_id_messages() -> dict[type[Message], list[Message]]:
    """Messages of every type as the session sees them. They differ in the id (few, so that answers often meet their
    questions), the kill in flight, the outcome and the versions."""
    few, few_or_none = range(1, 4), range(4)
    hello, answer, verdict = plainest(MonitorHello), plainest(KillerHello), plainest(Verdict)
    reasons = [Reason.NONE] * 10 + list(Reason)
    variants: dict[type[Message], list[Message]] = {kind: [plainest(kind)] for kind in LAYOUT}
    variants[MonitorHello] = [
        hello._replace(lowest_version=low, highest_version=high)
        for low, high in [(2, 2), (0, 2), (1, 3), (0, 1), (3, 4)]
    ]
    variants[KillerHello] = [
        answer._replace(spoken_version=version, flight_id=flight) for version in [2, 2, 1] for flight in few_or_none
    ]
    request = plainest(KillRequest)
    variants[KillRequest] = [
        request._replace(signal=signal, scope=scope, members=members)
        for signal in Signal
        for scope, members in [(Scope.PROCESS, b""), (Scope.GROUP, RECORD.pack(2, 1)), (Scope.CGROUP, b"")]
    ]
    variants[Verdict] = [verdict._replace(outcome=outcome_of(reason), reason=reason) for reason in reasons]
    return {
        kind: [message if kind is Bye else message._replace(id=new_id) for message in messages for new_id in few]
        for kind, messages in variants.items()
    }


SMALL = small_id_messages()
# one_of gives each alternative the same weight, however often it is named; a list does not.
_FREQUENCIES = [MonitorHello] * 4 + [Bye] + [kind for kind in LAYOUT if kind not in (MonitorHello, Bye)] * 10


def exchanges() -> st.SearchStrategy[list[tuple[Role, Message]]]:
    """Messages in any order from either end, most of them not permitted where they stand; often after a greeting."""
    hello, answer = plainest(MonitorHello), plainest(KillerHello)
    greeting: list[tuple[Role, Message]] = [
        (Role.MONITOR, hello._replace(highest_version=limits.VERSION)),
        (Role.KILLER, answer._replace(id=hello.id, spoken_version=limits.VERSION)),
    ]

    def said(kind: type[Message], which: int, chance: int) -> tuple[Role, Message]:
        usual = Role.MONITOR if kind in (MonitorHello, Ping, KillRequest) else Role.KILLER
        other = Role.KILLER if usual is Role.MONITOR else Role.MONITOR
        return (other if chance == 0 else usual), SMALL[kind][which % len(SMALL[kind])]

    turn = st.builds(said, st.sampled_from(_FREQUENCIES), st.integers(0, 999), st.integers(0, 7))
    rest = st.lists(turn, min_size=10, max_size=40)
    return rest | rest.map(lambda turns: greeting + turns)
