"""The monitor's end of the connection to the killer: connect, speak, notice that it is gone, connect again."""

from __future__ import annotations

import os
import select

from bustd_protocol import limits
from bustd_protocol.connection import Connection
from bustd_protocol.errors import OtherVersion, RemoteProtocolError
from bustd_protocol.messages import KillerHello, KillRequest, Message, MonitorHello, Ping
from bustd_protocol.session import Role
from bustd_shared.daemon.packets import AF_UNIX, MSG_DONTWAIT, MSG_NOSIGNAL, SOCK_SEQPACKET, Socket

from .deadlines import Deadlines

_FIRST_DELAY_MS, _LONGEST_DELAY_MS = 100, 10_000
_LONGEST_HURRIED_MS = 1000
"""The longest delay while memory is getting short: that may last for months."""
_HELLO_PATIENCE_MS = 30_000
"""A killer that systemd has only just started on a busy machine takes its time; so does one with another peer."""


class Lost(Exception):
    """The connection is gone, with the reason."""


class OtherVersionSpoken(Lost):
    """The killer speaks another version of the protocol: the packages are not of one version."""


class Client:
    """One connection at a time, either to `path` or over `link`, the inherited end of a socketpair."""

    def __init__(self, path: str, link: Socket | None = None) -> None:
        self.is_pair = link is not None
        self.killer_pid = 0
        self.trouble = "it has not answered yet"
        """Why the last connection ended or failed: of no interest while there is one that `is_ready`."""
        self._path = path
        self._link: Socket | None = None
        self._connection = Connection(Role.MONITOR)
        self._last_id = 0
        self._delay_ms = 0
        self._hurry_ms, self._is_hurried = _FIRST_DELAY_MS, False
        self._connected_ms = 0
        self._has_met = False
        self._next_try_ms = self._not_before_ms = 0
        self._hello_due_ms: int | None = None
        self._inherited = link
        self._deadlines = Deadlines(limits.PAIR_DEADLINE_MS if self.is_pair else limits.VERDICT_DEADLINE_MS)

    @property
    def is_ready(self) -> bool:
        """Whether the killer has said Hello and a request may be sent."""
        return self._link is not None and self._connection.is_open

    @property
    def may_ask(self) -> bool:
        """Whether no verdict is due. An escalation's may be, although the kill in flight is over: they crossed."""
        return self._link is not None and self._connection.may_ask

    def fileno(self) -> int:
        """The descriptor to poll, -1 while there is no connection."""
        return -1 if self._link is None else self._link.fileno()

    def has_word(self) -> bool:
        """Whether the killer has said something that was not received yet, or is gone."""
        poll = select.poll()
        if self._link is not None:
            poll.register(self._link.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def due_ms(self) -> int | None:
        """When `keep` must be called again (monotonic milliseconds), None while nothing is due."""
        if self._link is None:
            return self._next_try_ms
        return self._deadlines.due_ms() if self.is_ready else self._hello_due_ms

    def ping_due_ms(self, every_ms: int) -> int | None:
        """When `ping` will ask the killer (monotonic milliseconds), None while that is not known."""
        return self._deadlines.ping_due_ms(every_ms) if self.is_ready else None

    def is_overdue(self, now_ms: int) -> bool:
        """Whether the killer has not answered in time: it counts as gone."""
        return self._deadlines.are_over(now_ms)

    def ask(self, request: KillRequest, now_ms: int) -> None:
        """Send a request, which must be answered in time. Raises Lost."""
        self.send(request)
        self._deadlines.asked(now_ms)

    def ping(self, now_ms: int, every_ms: int) -> None:
        """Ask the killer whether it is alive, if the last question is that long ago. Raises Lost."""
        if self.is_ready and self._deadlines.must_ping(now_ms, every_ms):
            self.send(Ping(self.next_id()))
            self._deadlines.pinged(now_ms)

    def hear(self, now_ms: int) -> Message | None:
        """The next message, None if there is none; what it answers is no longer due. Raises Lost."""
        message = self.receive()
        if message is not None:
            is_flying = self._connection.awaits_exit
            self._deadlines.heard(message, now_ms, owes_verdict=not self.may_ask, is_flying=is_flying)
        return message

    def keep(self, now_ms: int) -> str:
        """Connect and say Hello if it is time to. Returns what went wrong, "" if nothing did. Raises Lost: give up."""
        if self._link is not None:
            if not self.is_ready and self._hello_due_ms is not None and now_ms >= self._hello_due_ms:
                return self.lose(now_ms, "it did not answer Hello")
            return ""
        if now_ms < self._next_try_ms:
            return ""
        if self._inherited is not None:
            self._link, self._inherited = self._inherited, None
        elif self.is_pair:
            raise Lost("the killer is gone")
        else:
            try:
                self._link = Socket(AF_UNIX, SOCK_SEQPACKET)
            except OSError as error:  # EMFILE, ENFILE: the killer may be well
                return self.lose(now_ms, f"no socket to call it with: {error.strerror}")
        self._link.setblocking(False)
        self._connection = Connection(Role.MONITOR)
        self._connected_ms, self._has_met = now_ms, False
        # A monitor that has executed itself again speaks on the same socket: no id may be one that it used before.
        self._last_id = self._last_id or now_ms % limits.ID_MAX
        self._hello_due_ms = None if self.is_pair else now_ms + _HELLO_PATIENCE_MS
        try:
            if not self.is_pair:
                self._link.connect(self._path)
            self.send(MonitorHello(self.next_id(), limits.VERSION, limits.VERSION, os.getpid()))
        except (OSError, Lost) as error:
            return self.lose(now_ms, f"{self._path}: {_why(error)}")
        return ""

    def hurry(self, now_ms: int) -> None:
        """Memory is getting short: the first attempt to connect comes after the shortest delay, the others by and by.

        It may be called as often as memory is read.
        """
        self._next_try_ms = max(min(self._next_try_ms, now_ms + self._hurry_ms), self._not_before_ms)
        self._is_hurried = True

    def next_id(self) -> int:
        """A fresh id for a request, a ping or a Hello."""
        self._last_id = self._last_id % limits.ID_MAX + 1
        return self._last_id

    def send(self, message: Message) -> None:
        """Send without blocking. Raises Lost: a killer that does not read counts as gone."""
        if self._link is None:
            raise Lost("there is no connection to the killer")
        packet = self._connection.send(message)
        try:
            self._link.send(packet, MSG_DONTWAIT | MSG_NOSIGNAL)
        except OSError as error:
            raise Lost(str(error.strerror)) from None

    def receive(self) -> Message | None:
        """The next message, None if there is none. Raises Lost, also when the killer breaks the protocol."""
        if self._link is None:
            return None
        try:
            packet, is_truncated, has_ancillary = self._link.receive_packet(limits.PACKET_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Lost(str(error.strerror)) from None
        if not packet and not has_ancillary:
            raise Lost("the killer has closed the connection")
        try:
            message = self._connection.receive(packet, is_truncated, has_ancillary)
        except OtherVersion as error:
            raise OtherVersionSpoken(str(error)) from None
        except RemoteProtocolError as error:
            raise Lost(f"the killer violates the protocol: {error}") from None
        if isinstance(message, KillerHello):
            self._has_met, self.killer_pid = True, message.pid
        return message

    def lose(self, now_ms: int, why: str, pause_ms: int = 0) -> str:
        """Drop the connection. The next attempt is made at once, those after it with growing delay.

        `pause_ms`: the next attempt is no earlier than in this time, however short memory is.

        A connection that has not lasted does not count: a killer that says Hello and hangs up would be called without
        a pause for ever.
        """
        self.trouble = why
        self._deadlines.forget()
        if self._link is not None:
            self._link.close()
            self._link = None
        self._connection = Connection(Role.MONITOR)
        if self._has_met and now_ms >= self._connected_ms + _LONGEST_DELAY_MS:
            self._delay_ms = 0
        hurry_ms = 2 * self._hurry_ms if self._is_hurried else _FIRST_DELAY_MS
        self._hurry_ms, self._is_hurried = min(hurry_ms, _LONGEST_HURRIED_MS), False
        self._next_try_ms = now_ms + max(self._delay_ms, pause_ms)
        self._not_before_ms = now_ms + pause_ms
        self._delay_ms = min(max(2 * self._delay_ms, _FIRST_DELAY_MS), _LONGEST_DELAY_MS)
        return f"{why} (next attempt in {self._next_try_ms - now_ms} ms)" if not self.is_pair else why


def _why(error: Exception) -> str:
    if isinstance(error, PermissionError):  # connect(2) needs write permission for the socket
        return f"{error.strerror}: it is there, and only peer.user of killer.toml may connect"
    return str(getattr(error, "strerror", None) or error)
