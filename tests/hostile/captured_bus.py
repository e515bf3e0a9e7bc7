"""Calls of systemd's manager over the bus, as bytes: a captured monitor brings no library. The D-Bus specification."""

import os
import socket
import struct

_MANAGER = "org.freedesktop.systemd1"
_BUS = "org.freedesktop.DBus"
_CALL, _RETURN, _ERROR = 1, 2, 3
_FIXED = "<cBBBIII"
_HELLO, _ASKED = 1, 2


def is_permitted(bus, member, signature, words):
    """Whether the manager does it; False where it answers with an error. Raises OSError.

    `words`: one argument for each letter of `signature`, "s" or "i".
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.connect(bus)
        link.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        os.read(link.fileno(), 4096)  # the monitor may not call recvfrom(2)
        hello = _message(_HELLO, "/org/freedesktop/DBus", _BUS, _BUS, "Hello", "", b"")
        asked = _message(
            _ASKED, "/org/freedesktop/systemd1", f"{_MANAGER}.Manager", _MANAGER, member, signature, _body(words)
        )
        link.sendall(b"BEGIN\r\n" + hello + asked)
        with open(link.fileno(), "rb", closefd=False) as answers:
            while True:
                kind, answered = _answer(answers)
                if answered == _ASKED:
                    return kind == _RETURN


def _padded(data, to):
    return data + bytes(-len(data) % to)


def _text(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def _body(words):
    body = b""
    for word in words:
        body = _padded(body, 4) + (_text(word) if isinstance(word, str) else struct.pack("<i", word))
    return body


def _message(serial, path, interface, destination, member, signature, body):
    head = b""
    for code, kind, value in ((1, b"o", path), (2, b"s", interface), (3, b"s", member), (6, b"s", destination)):
        head = _padded(head, 8) + bytes([code, 1]) + kind + b"\0" + _text(value)
    if signature:
        head = _padded(head, 8) + b"\x08\x01g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    fixed = struct.pack(_FIXED, b"l", _CALL, 0, 1, len(body), serial, len(head))
    return _padded(fixed + head, 8) + body


def _answer(answers):
    """What the next message is, and the serial number of what it answers; 0 for a signal."""
    _, kind, _, _, length, _, fields = struct.unpack(_FIXED, answers.read(struct.calcsize(_FIXED)))
    head = answers.read(fields + -fields % 8)[:fields]
    answers.read(length)
    _, has_serial, after = head.partition(b"\x05\x01u\0")
    return kind, struct.unpack("<I", after[:4])[0] if has_serial else 0
