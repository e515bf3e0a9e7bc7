"""The monitor's events as they come: the client's end of its socket, which only speaks."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from io import BytesIO

from .entries import Entry, entries

PATH = "/run/bustd/events"
_LONGEST_BYTES = 16_384
"""Twice what an event may take: a packet that is cut is no entry."""


def read_events(path: str = PATH, silence_s: float | None = None) -> Iterator[Entry]:
    """The standing events, the last ones, and what comes; until the monitor hangs up, or is silent for so long.

    Raises OSError where there is no connection, BrokenEntry for what is no event. Nothing is ever sent.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(silence_s)
        link.connect(path)
        while True:
            try:
                packet = link.recv(_LONGEST_BYTES)
            except TimeoutError:
                return
            if not packet:
                return
            yield from entries(BytesIO(packet))
