"""Bytes to messages and back: the one module that knows msgpack.

A message is a msgpack array `[type, version, id, ...fields]` of fixed length. Its elements are integers and byte
strings and nothing else (SPEC.md, section 2).
"""

from __future__ import annotations

import msgpack

from . import limits
from .errors import LocalProtocolError, OtherVersion, RemoteProtocolError
from .messages import LAYOUT, Bye, EnumField, Farewell, FieldKind, IntField, Message, Verdict, outcome_of

_BY_NUMBER = {number: (kind, fields) for kind, (number, fields) in LAYOUT.items()}
_LONGEST_ARRAY = 2 + max(len(fields) for _, fields in LAYOUT.values())
_LONGEST_BIN = limits.MEMBERS * limits.MEMBER_BYTES


class _UnfitField(Exception):
    """A value that its field can't hold. It becomes a LocalProtocolError or a RemoteProtocolError."""


def encode(message: Message) -> bytes:
    """The packet for `message`. Raises LocalProtocolError if a field holds what the protocol does not allow."""
    number, fields = LAYOUT[type(message)]
    try:
        values = [_checked(kind, value) for kind, value in zip(fields, message, strict=True)]
        _check_whole(message)
    except _UnfitField as unfit:
        raise LocalProtocolError(f"{type(message).__name__}: {unfit}") from None
    packed: bytes = msgpack.packb([number, limits.VERSION, *values])
    return packed


def decode(packet: bytes) -> Message:
    """The message in `packet`. Raises RemoteProtocolError, and nothing else, for anything that is not one message."""
    if not 0 < len(packet) <= limits.PACKET_BYTES:
        raise RemoteProtocolError(f"a packet of {len(packet)} bytes")
    try:
        array = msgpack.unpackb(packet, raw=False, strict_map_key=True, ext_hook=_no_extension, max_ext_len=0,
                                max_str_len=0, max_map_len=0, max_array_len=_LONGEST_ARRAY,
                                max_bin_len=_LONGEST_BIN)  # fmt: skip
    except ValueError as error:
        raise RemoteProtocolError(f"not a message: {type(error).__name__}") from None
    if type(array) is not list or len(array) < 3 or type(array[0]) is not int or type(array[1]) is not int:
        raise RemoteProtocolError("not an array that starts with type, version and id")
    if array[1] != limits.VERSION:
        return _of_another_version(array)
    if array[0] not in _BY_NUMBER:
        raise RemoteProtocolError(f"unknown message type {array[0]}")
    kind, fields = _BY_NUMBER[array[0]]
    if len(array) != 2 + len(fields):
        raise RemoteProtocolError(f"{kind.__name__} with {len(array)} elements instead of {2 + len(fields)}")
    try:
        message = kind._make(_restored(field, value) for field, value in zip(fields, array[2:], strict=True))
        _check_whole(message)
    except _UnfitField as unfit:
        raise RemoteProtocolError(f"{kind.__name__}: {unfit}") from None
    return message


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


def _no_extension(_code: int, _data: bytes) -> None:
    raise ValueError("extension types are not part of the protocol")


def _checked(kind: FieldKind, value: object) -> int | bytes:
    """The value as it goes on the wire. It asks `type(x) is`, because True is an int to isinstance."""
    if isinstance(kind, EnumField):
        if type(value) is not kind.members:
            raise _UnfitField(f"{value!r} is no {kind.members.__name__}")
        return int(value)
    if isinstance(kind, IntField):
        if type(value) is not int:
            raise _UnfitField(f"{type(value).__name__} where an int belongs")
        if not kind.low <= value <= kind.high:
            raise _UnfitField(f"{value} is not within {kind.low} to {kind.high}")
        return value
    if type(value) is not bytes:
        raise _UnfitField(f"{type(value).__name__} where bytes belong")
    if len(value) > kind.longest:
        raise _UnfitField(f"{len(value)} bytes where {kind.longest} are the most")
    if len(value) % kind.step:
        raise _UnfitField(f"{len(value)} bytes where a multiple of {kind.step} belongs")
    return value


def _restored(kind: FieldKind, value: object) -> object:
    """The value as the message holds it, from the value on the wire."""
    if not isinstance(kind, EnumField):
        return _checked(kind, value)
    if type(value) is not int:
        raise _UnfitField(f"{type(value).__name__} where an int belongs")
    try:
        return kind.members(value)
    except ValueError:
        raise _UnfitField(f"{value} is no {kind.members.__name__}") from None


def _check_whole(message: Message) -> None:
    """Check what no field says alone: the reason of a verdict fixes its outcome."""
    if isinstance(message, Verdict) and message.outcome is not outcome_of(message.reason):
        raise _UnfitField(f"outcome {message.outcome.name} with reason {message.reason.name}")
