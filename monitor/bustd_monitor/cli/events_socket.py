"""Events as the monitor tells them to whoever listens: the standing ones and the last ones at once, then what comes."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO

from .entries import BrokenEntry, Entry, entries

EVENTS_SOCKET = "/run/bustd/events"
LONGEST_PACKET_BYTES = 8192


def read_events(path: str = EVENTS_SOCKET, timeout_s: float | None = None) -> Iterator[Entry]:
    """Each event of a packet. Ends with the monitor, or when none has come for `timeout_s`. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(timeout_s)
        link.connect(path)
        while True:
            try:
                packet = link.recv(LONGEST_PACKET_BYTES)
            except TimeoutError:
                return
            if not packet:
                return
            try:
                yield from entries(BytesIO(packet))
            except BrokenEntry:
                continue
