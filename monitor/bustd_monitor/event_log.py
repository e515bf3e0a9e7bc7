"""Where events go: each once to the log, as an entry of the journal with fields or as a line, and to the readers.

It never waits. The journal is taken where standard error leads to it. An entry that can't be sent (the journal is
away, it is full, the entry is too long) becomes a line; a line that can't be written is counted, and told with the next
that goes out. The fields are encoded once, for the journal and for the readers.
"""

from __future__ import annotations

import time

from bustd_shared.daemon.log import Log, printable
from bustd_shared.daemon.packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, Socket
from bustd_shared.daemon.record import NamedTuple

from .deciding.events import Event
from .readers import Readers
from .reporting.events import CANDIDATE, Fields, Told, told

JOURNAL_SOCKET = "/run/systemd/journal/socket"
LONGEST_ENTRY_BYTES = 8192
"""What is longer becomes a line; to readers goes the beginning of that line, without fields."""
_BEGINNING = 1000


class Encoded(NamedTuple):
    """All of an entry but its message: what it needs, and each candidate, which can be left out."""

    needed: bytes
    candidates: tuple[bytes, ...] = ()


_NOTHING = Encoded(b"")


class EventLog:
    """Tells events. The socket to the journal is made here and kept: in a crisis no descriptor may be free."""

    def __init__(self, log: Log, journal_socket: str = "", readers: Readers | None = None) -> None:
        """`journal_socket`: where the journal listens, "" if `log` does not lead to it."""
        self._log = log
        self._address = journal_socket
        self._socket = Socket(AF_UNIX, SOCK_DGRAM) if journal_socket else None
        self._readers = readers or Readers(None)

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        said = told(event)
        fields = _fields(self._log.program, said) if self._socket is not None or self._readers else _NOTHING
        if self._socket is not None and self._sent(self._socket, said, fields):
            self._log.dropped = 0
        else:
            self._log(said.sentence, said.kind.level)
        if self._readers:
            self._readers.tell(said.kind, packet(self._log.program, said, fields))

    def close(self) -> None:
        """Let go of the socket: from now on there are lines only."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sent(self, link: Socket, said: Told, fields: Encoded) -> bool:
        """Whether the journal has it. The address is looked up each time: a journal that was restarted is found."""
        datagram = _entry(self._log.line(said.sentence), fields, self._log.dropped)
        if len(datagram) > LONGEST_ENTRY_BYTES:
            return False
        try:
            link.sendto(datagram, MSG_DONTWAIT | MSG_NOSIGNAL, self._address)
        except OSError:
            return False
        return True


def entry(program: str, message: str, said: Told, dropped: int = 0, longest: int = LONGEST_ENTRY_BYTES) -> bytes:
    """A datagram of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Where it would have more than `longest` bytes, the last candidates are left out; without any it may still be longer.
    """
    return _entry(message, _fields(program, said), dropped, longest)


def packet(program: str, said: Told, fields: Encoded) -> bytes:
    """An entry for readers, with its time (systemd.io/JOURNAL_EXPORT_FORMATS), and no command line in it."""
    times = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (
        time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000,
        time.monotonic_ns() // 1000,
    )
    message, longest = printable(said.public or said.sentence), LONGEST_ENTRY_BYTES - len(times)
    whole = _entry(message, fields, 0, longest)
    if len(whole) > longest:
        whole = _entry(message[:_BEGINNING], _fields(program, said._replace(fields=())))
    return times + whole


def _entry(message: str, fields: Encoded, dropped: int = 0, longest: int = LONGEST_ENTRY_BYTES) -> bytes:
    count = _field("BUSTD_DROPPED", dropped) if dropped else b""
    needed, candidates = _field("MESSAGE", message) + fields.needed + count, list(fields.candidates)
    left = longest - len(needed)
    while candidates and sum(map(len, candidates)) > left:
        candidates.pop()
    return needed + b"".join(candidates)


def _fields(program: str, said: Told) -> Encoded:
    """All of an entry but its message."""
    head: Fields = (("MESSAGE_ID", said.kind.message_id), ("PRIORITY", said.kind.level), ("SYSLOG_IDENTIFIER", program))
    own = [(f"BUSTD_{name}", value) for name, value in said.fields if name != CANDIDATE]
    candidates = [_field(f"BUSTD_{CANDIDATE}", value) for name, value in said.fields if name == CANDIDATE]
    return Encoded(b"".join([_field(name, value) for name, value in (*head, *own)]), tuple(candidates))


def _field(name: str, value: int | str | bytes) -> bytes:
    """`NAME=value`; if the value has a newline, its length comes before it, or it would end there and forge a field."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")
    if b"\n" not in content:
        return b"%s=%s\n" % (name.encode(), content)
    return b"%s\n%s%s\n" % (name.encode(), len(content).to_bytes(8, "little"), content)
