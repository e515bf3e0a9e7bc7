"""Where events go: each once, as an entry of the journal with fields, or as a line. It never waits.

The journal is taken where standard error leads to it. An entry that can't be sent (the journal is away, it is full, the
entry is too long) becomes a line; a line that can't be written is counted, and told with the next that goes out.
"""

from __future__ import annotations

from bustd_shared.daemon.log import Log
from bustd_shared.daemon.packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_DGRAM, Socket

from .deciding.events import Event
from .reporting.events import CANDIDATE, Fields, Told, told

JOURNAL_SOCKET = "/run/systemd/journal/socket"
LONGEST_ENTRY_BYTES = 8192
"""What is longer becomes a line."""


class EventLog:
    """Tells events to the log. Its socket is made here and kept: in a crisis no descriptor may be free."""

    def __init__(self, log: Log, journal_socket: str = "") -> None:
        """`journal_socket`: where the journal listens, "" if `log` does not lead to it."""
        self._log = log
        self._address = journal_socket
        self._socket = Socket(AF_UNIX, SOCK_DGRAM) if journal_socket else None

    def __call__(self, event: Event) -> None:
        """Tell one event."""
        said = told(event)
        if self._socket is not None and self._sent(self._socket, said):
            self._log.dropped = 0
        else:
            self._log(said.sentence, said.kind.level)

    def close(self) -> None:
        """Let go of the socket: from now on there are lines only."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _sent(self, link: Socket, said: Told) -> bool:
        """Whether the journal has it. The address is looked up each time: a journal that was restarted is found."""
        packet = entry(self._log.program, self._log.line(said.sentence), said, self._log.dropped)
        if len(packet) > LONGEST_ENTRY_BYTES:
            return False
        try:
            link.sendto(packet, MSG_DONTWAIT | MSG_NOSIGNAL, self._address)
        except OSError:
            return False
        return True


def entry(program: str, message: str, said: Told, dropped: int = 0, longest: int = LONGEST_ENTRY_BYTES) -> bytes:
    """A datagram of the journal's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL).

    Where it would have more than `longest` bytes, the last candidates are left out; without any it may still be longer.
    """
    fields: Fields = (*said.fields, ("DROPPED", dropped)) if dropped else said.fields
    head = (("MESSAGE", message), ("MESSAGE_ID", said.kind.message_id), ("PRIORITY", said.kind.level))
    written = [_field(name, value) for name, value in (*head, ("SYSLOG_IDENTIFIER", program))]
    needed = [_field(f"BUSTD_{name}", value) for name, value in fields if name != CANDIDATE]
    left = longest - sum(map(len, written)) - sum(map(len, needed))
    candidates = [_field(f"BUSTD_{name}", value) for name, value in fields if name == CANDIDATE]
    while candidates and sum(map(len, candidates)) > left:
        candidates.pop()
    return b"".join([*written, *needed, *candidates])


def _field(name: str, value: int | str | bytes) -> bytes:
    """`NAME=value`; if the value has a newline, its length comes before it, or it would end there and forge a field."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "backslashreplace")
    if b"\n" not in content:
        return b"%s=%s\n" % (name.encode(), content)
    return b"%s\n%s%s\n" % (name.encode(), len(content).to_bytes(8, "little"), content)
