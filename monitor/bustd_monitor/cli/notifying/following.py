"""Reads the monitor's events in a thread of its own, and connects again, with growing pauses, for ever and quietly."""

from __future__ import annotations

import os
import queue
import stat
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum

from ..entries import Entry
from ..events_socket import NoEvents, read_events

SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 1, 60
MOST_WAITING = 1024
"""Events that the agent has not looked at yet. With more the thread waits, and the monitor drops a slow reader."""
_ROOT = 0


class Following(Enum):
    """What the thread tells beside events."""

    CONNECTION_ENDED = "from now on the monitor tells from its beginning again"


class Follower:
    """A thread that reads events; `take` returns what has come."""

    def __init__(
        self,
        path: str,
        wake: Callable[[], object],
        read: Callable[[str], Iterator[Entry]] = read_events,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """`wake` is called, in the thread, after something has come."""
        self._path = path
        self._wake = wake
        self._read = read
        self._clock_s = clock_s
        self._waiting: queue.Queue[Entry | Following] = queue.Queue(MOST_WAITING)
        self._is_over = threading.Event()

    def start(self) -> None:
        """Begin to read. The thread ends with the program."""
        threading.Thread(target=self.follow, name="events", daemon=True).start()

    def take(self) -> list[Entry | Following]:
        """What has come since the last call."""
        found: list[Entry | Following] = []
        while not self._waiting.empty():
            found.append(self._waiting.get_nowait())
        return found

    def stop(self) -> None:
        """Connect no more."""
        self._is_over.set()

    def follow(self) -> None:
        """Read, until `stop`."""
        pause_s = 0
        while not self._is_over.wait(pause_s):
            began_s = self._clock_s()
            self._follow_once()
            pause_s = next_pause_s(pause_s, self._clock_s() - began_s)

    def _follow_once(self) -> None:
        """Read one connection to its end."""
        was_told = False
        try:
            if is_trusted(self._path):
                for entry in self._read(self._path):
                    was_told = True
                    self._tell(entry)
        except (OSError, NoEvents):
            pass  # no monitor, one that stops, or one that is newer than this agent: it may be another one soon
        if was_told:
            self._tell(Following.CONNECTION_ENDED)

    def _tell(self, what: Entry | Following) -> None:
        self._waiting.put(what)
        self._wake()


def next_pause_s(pause_s: int, lasted_s: float) -> int:
    """How long to wait before the next connection, after a pause of `pause_s` and a connection that lasted so long.

    Where the monitor drops this reader again and again, the pauses grow as where there is none: each connection begins
    with all that it remembers.
    """
    return SHORTEST_PAUSE_S if not pause_s or lasted_s >= LONGEST_PAUSE_S else min(2 * pause_s, LONGEST_PAUSE_S)


def is_trusted(path: str) -> bool:
    """Whether nobody but root (or this user) can have put the socket there: what it tells is shown as bustd's."""
    try:
        found = os.stat(os.path.dirname(path) or ".")
    except OSError:
        return False
    return found.st_uid in (_ROOT, os.getuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
