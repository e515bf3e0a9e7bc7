"""The monitor's socket for readers of its events: the last ones that it has kept, then each as it comes."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from io import BytesIO

from .entries import BrokenEntry, Entry, entries

EVENTS_SOCKET = "/run/bustd/events"

_LONGEST_PACKET_BYTES = 1 << 16
_CONNECT_S = 5
_WHY = {
    errno.ENOENT: "{path} does not exist: bustd does not run (systemctl status bustd-monitor), or has no readers, "
    "as in a dry run and for an ordinary user",
    errno.ECONNREFUSED: "nothing answers at {path}: bustd has ended (systemctl status bustd-monitor)",
    errno.EACCES: "this user may not connect to {path}, although everybody may as it is shipped (ls -l {path})",
    errno.EPROTOTYPE: "what answers at {path} is another program",
    errno.EAGAIN: "too many programs want to connect to {path} at once",
}


class NoEvents(Exception):
    """There are no events to read; the text is a sentence that says why."""


def read_events(path: str = EVENTS_SOCKET, timeout_s: float | None = None) -> Iterator[Entry]:
    """Each event, oldest first, until the monitor hangs up, or for so long none has come. Raises NoEvents.

    It hangs up when it ends, and on a reader that does not keep up.
    """
    with connected(path) as link:
        link.settimeout(timeout_s)
        try:
            while (entry := next_event(link)) is not None:
                yield entry
        except TimeoutError:
            return


def connected(path: str = EVENTS_SOCKET) -> socket.socket:
    """A connection to the monitor. Raises NoEvents."""
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # It holds for connect(2), where the queue is full (unix(7)).
    link.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _CONNECT_S, 0))
    try:
        link.connect(path)
    except OSError as error:
        link.close()
        why = _WHY.get(error.errno or 0, f"{{path}}: {error.strerror or error}")
        raise NoEvents(why.format(path=path)) from None
    return link


def next_event(link: socket.socket) -> Entry | None:
    """The next event; None: the monitor has hung up. Raises NoEvents, and TimeoutError if the link has a timeout."""
    try:
        packet = link.recv(_LONGEST_PACKET_BYTES)
    except ConnectionResetError:
        return None
    if not packet:
        return None
    try:
        (entry,) = entries(BytesIO(packet))
    except (BrokenEntry, ValueError):
        raise NoEvents(f"what answers at {os.fsdecode(link.getpeername())} does not send events of bustd's") from None
    return entry
