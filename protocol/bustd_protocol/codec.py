"""Bytes to messages and back: the one module that knows msgpack.

A message is a msgpack array `[type, version, id, ...fields]` of fixed length. Its elements are integers and byte
strings and nothing else (SPEC.md, section 2).
"""

from __future__ import annotations

import msgpack

from bustd_shared.daemon.record import IntEnum

from . import limits
from .errors import LocalProtocolError, OtherVersion, ProtocolError, RemoteProtocolError
from .messages import LAYOUT, Bye, Farewell, Message, Verdict, outcome_of

_BY_NUMBER = {number: kind for kind, (number, _) in LAYOUT.items()}
_LONGEST_ARRAY = 2 + max(len(fields) for _, fields in LAYOUT.values())
_LONGEST_BIN = limits.MEMBERS * limits.MEMBER_BYTES


def encode(message: Message) -> bytes:
    """The packet for `message`. Raises LocalProtocolError if a field holds what the protocol does not allow."""
    kind = type(message)
    values: list[object] = [int(value) if isinstance(value, IntEnum) else value for value in message]
    _checked(kind, values, LocalProtocolError)
    packed: bytes = msgpack.packb([LAYOUT[kind][0], limits.VERSION, *values])
    return packed


def decode(packet: bytes) -> Message:
    """The message in `packet`. Raises RemoteProtocolError, and nothing else, for anything that is not one message."""
    if not 0 < len(packet) <= limits.PACKET_BYTES:
        raise RemoteProtocolError(f"a packet of {len(packet)} bytes")
    try:
        # Ints and bytes alone matter: an empty string, map or extension, which these bounds permit, fits no field.
        array = msgpack.unpackb(packet, strict_map_key=True, max_ext_len=0, max_str_len=0, max_map_len=0,
                                max_array_len=_LONGEST_ARRAY, max_bin_len=_LONGEST_BIN)  # fmt: skip
    except ValueError as error:
        raise RemoteProtocolError(f"not a message: {type(error).__name__}") from None
    if type(array) is not list or len(array) < 3 or type(array[0]) is not int or type(array[1]) is not int:
        raise RemoteProtocolError("not an array that starts with type, version and id")
    if array[1] != limits.VERSION:
        return _of_another_version(array)
    if array[0] not in _BY_NUMBER:
        raise RemoteProtocolError(f"unknown message type {array[0]}")
    return _checked(_BY_NUMBER[array[0]], array[2:], RemoteProtocolError)


def farewell_to(version: int) -> bytes:
    """Bye in the form that every version has, for a peer that speaks `version`, 0 to 255."""
    packed: bytes = msgpack.packb([LAYOUT[Bye][0], version, 0, int(Farewell.VERSION)])
    return packed


def _of_another_version(array: list[int]) -> Bye:
    """Of a packet of another version only `[8, version, 0, n]` can be understood: Bye. Raises OtherVersion."""
    number, version = array[:2]
    if not 0 <= version <= 255:
        raise RemoteProtocolError(f"version {version}")
    if number == LAYOUT[Bye][0] and [type(value) for value in array] == [int] * 4 and array[2] == 0:
        return Bye(0, Farewell.VERSION)
    raise OtherVersion(version)


def _checked(kind: type[Message], values: list[object], error: type[ProtocolError]) -> Message:
    """The message of this kind with these values, as they are on the wire. Raises `error` if the protocol has none."""
    fields = LAYOUT[kind][1]
    if len(values) != len(fields):
        raise error(f"{kind.__name__} with {len(values)} fields instead of {len(fields)}")
    restored = [field.restored(value) for field, value in zip(fields, values, strict=True)]
    if None in restored:
        raise error(f"{kind.__name__}: {kind._fields[restored.index(None)]} is of another type or out of range")
    message = kind._make(restored)
    if isinstance(message, Verdict) and message.outcome is not outcome_of(message.reason):
        raise error(f"{kind.__name__}: outcome {message.outcome.name} with reason {message.reason.name}")
    return message
