"""Where events go: each once to the log, as an entry of the journal with fields or as a line, and to the readers.

It never waits. The journal is taken where standard error leads to it. An entry that can't be sent (the journal is
away, it is full, the entry is too long) becomes a line; a line that can't be written is counted, and told with the next
that goes out. The fields are encoded once, for the journal and for the readers.
"""

from __future__ import annotations

import time

from bustd_shared.daemon.log import Log, printable
from bustd_shared.daemon.packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, Socket

from .deciding.events import Event
from .readers import Readers
from .reporting.events import Told, told

JOURNAL_SOCKET = "/run/systemd/journal/socket"
LONGEST_ENTRY_BYTES = 8192
"""What is longer becomes a line; to readers goes the beginning of that line, without fields."""
_BEGINNING = 1000


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
        fields = _fields(self._log.program, said) if self._socket is not None or self._readers else b""
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

    def _sent(self, link: Socket, said: Told, fields: bytes) -> bool:
        """Whether the journal has it. The address is looked up each time: a journal that was restarted is found."""
        datagram = _entry(self._log.line(said.sentence), fields, self._log.dropped)
        if len(datagram) > LONGEST_ENTRY_BYTES:
            return False
        try:
            link.sendto(datagram, MSG_DONTWAIT | MSG_NOSIGNAL, self._address)
        except OSError:
            return False
        return True


def entry(program: str, message: str, said: Told, dropped: int = 0) -> bytes:
    """A datagram of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    return _entry(message, _fields(program, said), dropped)


def packet(program: str, said: Told, fields: bytes) -> bytes:
    """An entry for readers, with its time (systemd.io/JOURNAL_EXPORT_FORMATS), and no command line in it."""
    times = b"__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n" % (
        time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000,
        time.monotonic_ns() // 1000,
    )
    message = printable(said.public or said.sentence)
    whole = times + _entry(message, fields)
    if len(whole) > LONGEST_ENTRY_BYTES:
        return times + _entry(message[:_BEGINNING], _fields(program, said._replace(fields=())))
    return whole


def _entry(message: str, fields: bytes, dropped: int = 0) -> bytes:
    return _field("MESSAGE", message) + fields + (_field("BUSTD_DROPPED", dropped) if dropped else b"")


def _fields(program: str, said: Told) -> bytes:
    """All of an entry but its message."""
    return b"".join(
        [
            _field("MESSAGE_ID", said.kind.message_id),
            _field("PRIORITY", said.kind.level),
            _field("SYSLOG_IDENTIFIER", program),
            *(_field(f"BUSTD_{name}", value) for name, value in said.fields),
        ]
    )


def _field(name: str, value: int | str | bytes) -> bytes:
    """`NAME=value`; if the value has a newline, its length comes before it, or it would end there and forge a field."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")
    if b"\n" not in content:
        return b"%s=%s\n" % (name.encode(), content)
    return b"%s\n%s%s\n" % (name.encode(), len(content).to_bytes(8, "little"), content)
