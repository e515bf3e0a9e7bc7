"""What decode promises of any packet, for hypothesis and for atheris alike."""

from __future__ import annotations

import msgpack

from bustd_protocol import limits
from bustd_protocol.codec import decode, encode
from bustd_protocol.errors import OtherVersion, RemoteProtocolError
from bustd_protocol.messages import LAYOUT, Bye, Farewell, Message
from bustd_shared.daemon.record import IntEnum


def wire_list(message: Message) -> list[int | bytes]:
    """The elements of the message's array, made here and not by the codec under test."""
    number, _ = LAYOUT[type(message)]
    plain = [int(value) if isinstance(value, IntEnum) else value for value in message]
    return [number, limits.VERSION, *plain]


def decoded(packet: bytes) -> Message | None:
    """The message, or None for a violation. Another exception fails the test; so does an error unfit for a log."""
    try:
        return decode(packet)
    except RemoteProtocolError as error:
        assert str(error).isascii() and str(error).isprintable() and len(str(error)) < 200
        if isinstance(error, OtherVersion):
            assert error.version in range(256) and error.version != limits.VERSION
            assert error.version == msgpack.unpackb(packet)[1]
        return None


def check_acceptance(packet: bytes) -> None:
    """If decode accepts the packet, the packet said exactly that, and encode could have made it."""
    message = decoded(packet)
    if message is None:
        return
    assert len(packet) <= limits.PACKET_BYTES
    said = msgpack.unpackb(packet)
    if said[1] != limits.VERSION:
        assert said[0] == 8 and said[2] == 0 and [type(element) for element in said] == [int] * 4
        assert message == Bye(0, Farewell.VERSION)
        return
    ours = wire_list(message)
    assert said == ours
    assert [type(element) for element in said] == [type(element) for element in ours]
    assert decode(encode(message)) == message
