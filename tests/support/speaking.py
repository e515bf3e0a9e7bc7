"""A monitor that a test plays for `bustd watch` and the like: it listens, and says what it is told to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import Told

_PATIENCE_S = 10


def packet(said: Told, message: str, at_us: int) -> bytes:
    """An event as the monitor sends it. `at_us`: microseconds of both clocks."""
    return b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (at_us, at_us) + entry("bustd-test", message, said)


@contextmanager
def speaking(path: Path, *connections: Sequence[bytes]) -> Iterator[None]:
    """Accepts one connection after the other, says what is for it, and hangs up. At the end the socket is gone."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(path))
        listener.listen(9)

        listener.settimeout(_PATIENCE_S)

        def speak() -> None:
            with suppress(TimeoutError):  # the test has failed
                for packets in connections:
                    link, _ = listener.accept()
                    with link, suppress(BrokenPipeError):  # the reader may be what ends first
                        for one in packets:
                            link.send(one)
            listener.close()
            path.unlink()

        thread = threading.Thread(target=speak)
        thread.start()
        try:
            yield
        finally:
            thread.join()
