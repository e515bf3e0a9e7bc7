"""Events as a reader of the monitor's socket gets them, encoded by the monitor's code; and a socket that tells them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from bustd_monitor.cli.entries import Entry, entries
from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import Fields, Kind, Told

SECOND_US = 1_000_000
BEGAN_US = 1_700_000_000 * SECOND_US
"""When the first event of a test was, microseconds since 1970."""


def packet(kind: Kind, fields: Fields = (), *, message: str = "", at_s: float = 0) -> bytes:
    """One packet of the socket. `at_s`: seconds since BEGAN_US, and since boot."""
    times = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (
        BEGAN_US + int(at_s * SECOND_US),
        int(at_s * SECOND_US),
    )
    return times + entry("bustd-monitor", message or kind.name, Told(kind, "", fields))


def told(*packets: bytes) -> tuple[Entry, ...]:
    """What they say."""
    return tuple(one for each in packets for one in entries(BytesIO(each)))


@contextmanager
def speaker(path: Path, speak: Callable[[socket.socket], None]) -> Iterator[str]:
    """A socket whose every client is spoken to so, one after the other."""
    ends = threading.Event()

    def serve() -> None:
        while True:
            client, _ = listener.accept()
            with client:
                if ends.is_set():
                    return
                try:
                    speak(client)
                except (BrokenPipeError, ConnectionResetError):
                    continue

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield str(path)
        finally:
            ends.set()
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as last:
                last.connect(str(path))
            thread.join()


def telling(packets: Sequence[bytes], *, stays: bool = True) -> Callable[[socket.socket], None]:
    """Sends these, and then nothing more until the client hangs up; or hangs up itself."""

    def speak(client: socket.socket) -> None:
        for one in packets:
            client.send(one)
        if stays:
            client.recv(1)

    return speak
