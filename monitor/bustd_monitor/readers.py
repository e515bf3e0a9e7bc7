"""The readers of events: to them the monitor only speaks, and it never waits for one.

What a reader sends is never read, and wakes the monitor up as little as a reader that leaves. One that does not keep up
is dropped. Connections are looked for twice a second at most, however many there are.
"""

from __future__ import annotations

import select
import struct
from collections import deque

from bustd_shared.daemon.lines import DEBUG
from bustd_shared.daemon.packets import SO_PEERCRED, SOL_SOCKET, Socket

from .leaving import MOST as MOST_LEAVING
from .leaving import Leaving
from .reporting.events import NOT_PROTECTED, READ_AGAIN, READY, STARTED, Kind

MOST_READERS = 16
MOST_KEPT, MOST_KEPT_BYTES = 64, 32_768
"""Of the last events, which a new reader gets first."""
PAUSE_MS = 500
"""From one look for connections to the next: neither a flood of them nor a lack of descriptors keeps the loop busy."""

_STANDING = {STARTED: "in force", READ_AGAIN: "in force", READY: "protected", NOT_PROTECTED: "protected"}
"""The last event of each of these holds until the next, so it is kept for new readers, however old it is."""
_UCRED = struct.Struct("iII")


class Readers:
    """Whoever has connected to `listener`, a listening SOCK_SEQPACKET socket; None: there are no readers.

    Times are monotonic milliseconds.
    """

    def __init__(self, listener: Socket | None) -> None:
        self._listener = listener
        if listener is not None:
            listener.setblocking(False)
        self._deaf_until_ms: int | None = None
        self._readers: list[tuple[Socket, int]] = []
        self._leaving = Leaving()
        self._last: deque[bytes] = deque()
        self._last_bytes = 0
        self._standing: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        """Whether there may ever be one."""
        return self._listener is not None

    def tell(self, kind: Kind, packet: bytes) -> None:
        """Send an event to every reader, and keep it for later ones unless it is verbose."""
        if kind.level < DEBUG:
            self._keep(kind, packet)
        for reader in self._readers[:]:
            if not _has_taken(reader[0], packet):
                self._drop(reader)

    def fileno(self, now_ms: int) -> int:
        """The descriptor to wait for until `due_ms`; -1: no connection is looked for until then."""
        self._leaving.is_alone()  # else its last child stays a zombie
        if self._listener is None or (self._deaf_until_ms is not None and now_ms < self._deaf_until_ms):
            return -1
        self._deaf_until_ms = None
        return self._listener.fileno()

    def due_ms(self) -> int | None:
        """When `fileno` must be asked again."""
        return self._deaf_until_ms

    def welcome(self, now_ms: int) -> None:
        """There are connections: take them, as far as there is room, and tell each what it has missed."""
        assert self._listener is not None, "it has no descriptor to wait for"
        self._deaf_until_ms = now_ms + PAUSE_MS
        self._leaving.let_go(now_ms)
        if len(self._leaving) >= MOST_LEAVING:
            return
        for _ in range(MOST_READERS):
            try:
                reader = self._listener.accept()
            except OSError:
                return  # there are no more, or there is no descriptor for one
            self._admit(reader)

    def dismiss(self) -> None:
        """Let go of all readers."""
        for reader in self._readers[:]:
            self._drop(reader)
        self._leaving.let_go()

    def close(self) -> None:
        """Let go of the listener and of all readers."""
        if self._listener is not None:
            self._leaving.add_listener(self._listener)
        self._listener = None
        self.dismiss()

    # --- events that are kept

    def _keep(self, kind: Kind, packet: bytes) -> None:
        self._last.append(packet)
        self._last_bytes += len(packet)
        while len(self._last) > MOST_KEPT or self._last_bytes > MOST_KEPT_BYTES:
            self._last_bytes -= len(self._last.popleft())
        if kind in _STANDING:
            self._standing.pop(_STANDING[kind], None)  # so that the older one comes first
            self._standing[_STANDING[kind]] = packet

    def _kept(self) -> list[bytes]:
        """The standing events that are not among the last ones, then those."""
        return [one for one in self._standing.values() if not any(one is other for other in self._last)] + [*self._last]

    # --- who is here

    def _admit(self, link: Socket) -> None:
        reader = link, _uid_of(link)
        if self._has_room_for(reader[1]) and all(_has_taken(link, packet) for packet in self._kept()):
            self._readers.append(reader)
        else:
            self._leaving.add(link)

    def _has_room_for(self, uid: int) -> bool:
        """Whether there is room now: if need be, a reader is dropped of the user who has most.

        Else any user could keep all others out. Root gets one of any user's; others must not take turns in dropping
        each other, so they get one only of a user who has two more than they have.
        """
        if len(self._readers) >= MOST_READERS:
            self._drop_those_that_left()
        if len(self._readers) < MOST_READERS:
            return True
        counts: dict[int, int] = {}
        for _, owner in self._readers:
            counts[owner] = counts.get(owner, 0) + 1
        most = max(counts, key=lambda owner: counts[owner])
        if counts[most] <= counts.get(uid, 0) + (uid != 0):
            return False
        self._drop([reader for reader in self._readers if reader[1] == most][-1])
        return True

    def _drop_those_that_left(self) -> None:
        poll = select.poll()
        by_descriptor = {reader[0].fileno(): reader for reader in self._readers}
        for descriptor in by_descriptor:
            poll.register(descriptor, 0)  # nothing but that it has hung up
        for descriptor, _ in poll.poll(0):
            self._drop(by_descriptor[descriptor])

    def _drop(self, reader: tuple[Socket, int]) -> None:
        self._readers.remove(reader)
        self._leaving.add(reader[0])


def _uid_of(link: Socket) -> int:
    """Who connected (SO_PEERCRED, unix(7))."""
    _, uid, _ = _UCRED.unpack(link.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size))
    return int(uid)


def _has_taken(link: Socket, packet: bytes) -> bool:
    """Whether it went: it does not where the reader is gone, or has not read what came before."""
    try:
        return link.send_now(packet) == len(packet)
    except OSError:
        return False
