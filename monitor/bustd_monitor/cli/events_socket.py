"""The monitor's socket for readers: one packet is one event. It only speaks; nothing is sent to it."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator

from .entries import Entry, entries

EVENTS_SOCKET = "/run/bustd/events"
LONGEST_PACKET_BYTES = 8192


def read_events(path: str = EVENTS_SOCKET, timeout_s: float | None = None) -> Iterator[Entry]:
    """Every event that the monitor tells, first those that it remembers, until it hangs up.

    Raises OSError where nobody listens, TimeoutError where nothing comes for `timeout_s`, and BrokenEntry.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(timeout_s)
        link.connect(path)
        while packet := link.recv(LONGEST_PACKET_BYTES):
            yield from entries(io.BytesIO(packet))
