"""Connections of readers that are over, and how they are closed: by a child, because closing one can take an hour.

What a reader has sent is never read, and may be a descriptor (SCM_RIGHTS, unix(7)) whose last copy goes with the
connection. The process that closes it waits as long as its owner likes, if it is a TCP socket with SO_LINGER whose
peer does not read. A process that ends does not linger.
"""

from __future__ import annotations

import os

from bustd_shared.daemon.packets import SHUT_RDWR, Socket

ENOUGH, MOST = 8, 64
"""So many are worth a child. With so many no further connection is taken."""
PAUSE_MS = 2000
"""From one child to the next at least."""


class Leaving:
    """Connections on which nothing is said any more. Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self._links: list[Socket] = []
        self._child = 0
        self._next_ms: int | None = None

    def __len__(self) -> int:
        return len(self._links)

    def add(self, link: Socket) -> None:
        """It is over: the reader is told at once, and its descriptor stays open until `let_go`."""
        try:
            link.shutdown(SHUT_RDWR)
        except OSError:
            pass  # the reader has left
        self._links.append(link)

    def add_listener(self, listener: Socket) -> None:
        """Those that nobody has accepted go with it. systemd may go on with its own copy, so it is not shut down."""
        self._links.append(listener)

    def let_go(self, now_ms: int | None = None) -> None:
        """Close them all, if they are worth it and the last child has ended. Without a time: now, whatever there is."""
        is_due = self._next_ms is None or (now_ms is not None and now_ms >= self._next_ms)
        if now_ms is not None and (len(self) < ENOUGH or not is_due or not self.is_alone()):
            return
        if self._links and self._closed_by_a_child() and now_ms is not None:
            self._next_ms = now_ms + PAUSE_MS

    def is_alone(self) -> bool:
        """Whether the last child has ended; then nothing is left of it."""
        if self._child:
            try:
                ended, _ = os.waitpid(self._child, os.WNOHANG)
            except ChildProcessError:  # it is reaped elsewhere
                ended = self._child
            if ended:
                self._child = 0
        return not self._child

    def _closed_by_a_child(self) -> bool:
        """The child has copies of them until they are closed here, so its end is what ends them. False without one."""
        try:
            waits, tells = os.pipe()
        except OSError:
            return False
        try:
            child = os.fork()
        except OSError:
            child = -1
        if child == 0:
            _wait_and_end({waits, *(link.fileno() for link in self._links)}, waits)
        if child > 0:
            self._child = child
            for link in self._links:
                link.close()
            self._links = []
        os.close(waits)
        os.close(tells)
        return child > 0


def _wait_and_end(kept: set[int], waits: int) -> None:
    """In the child. It keeps nothing else open: it may hang, and the killer must see the end of the monitor."""
    try:
        for name in os.listdir("/proc/self/fd"):
            if int(name) not in kept:
                try:
                    os.close(int(name))
                except OSError:
                    pass  # it was the list's own
        os.read(waits, 1)
    finally:
        os._exit(0)
