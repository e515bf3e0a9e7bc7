"""What makes close(2) take an hour: a TCP socket with SO_LINGER whose peer does not read (socket(7))."""

import socket
import struct
import time
from collections.abc import Callable

LINGER_S = 3600
_LONG_S = 15
"""Much longer than a turn; an alarm can't end a test whose subject sets alarms of its own."""


def lingering(linger_s: int = LINGER_S) -> tuple[socket.socket, list[socket.socket]]:
    """A TCP socket whose last close(2) takes so many seconds, and what must stay open until then."""
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    peer, _ = server.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, linger_s))
    client.setblocking(False)
    try:
        while True:
            client.send(bytes(1 << 16))
    except BlockingIOError:
        return client, [server, peer]


def seconds_to_close(begin_turn: Callable[[], object]) -> float:
    """How long it takes to close one, in a turn that has just begun."""
    client, _kept = lingering(_LONG_S)
    begin_turn()
    began = time.monotonic()
    client.close()
    return time.monotonic() - began
