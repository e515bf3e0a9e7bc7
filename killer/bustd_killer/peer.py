"""The connection to the one monitor: its socket. bustd_protocol's Connection has the rules."""

from __future__ import annotations

import struct

from bustd_protocol import limits
from bustd_protocol.connection import Connection
from bustd_protocol.messages import Message
from bustd_protocol.session import Role
from bustd_shared.daemon.packets import MSG_DONTWAIT, MSG_NOSIGNAL, SO_PEERCRED, SOL_SOCKET, Socket

_UCRED = struct.Struct("iII")


class Disconnected(Exception):
    """The peer has gone, or does not read what it is sent."""


class Peer:
    """One monitor. Whatever it sends against the rules raises RemoteProtocolError."""

    def __init__(self, link: Socket, pid: int, uid: int, now_ms: int) -> None:
        link.setblocking(False)
        self.link = link
        self.pid = pid
        self.uid = uid
        self.accepted_ms = now_ms
        self._connection = Connection(Role.KILLER)

    def receive(self) -> Message | None:
        """Check 2: the next message, None if there is none. Raises RemoteProtocolError and Disconnected."""
        try:
            packet, is_truncated, has_ancillary = self.link.receive_packet(limits.PACKET_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(str(error)) from None
        if not packet and not has_ancillary:
            raise Disconnected("end of file")
        return self._connection.receive(packet, is_truncated, has_ancillary)

    def send(self, message: Message) -> None:
        """Send without blocking. Raises LocalProtocolError, and Disconnected: a peer that does not read is gone."""
        packet = self._connection.send(message)
        try:
            self.link.send(packet, MSG_DONTWAIT | MSG_NOSIGNAL)
        except OSError as error:
            raise Disconnected(str(error)) from None

    def send_farewell_to(self, version: int) -> None:
        """Tell a peer of another version that it will not be served, in its own version's words."""
        try:
            self.link.send(self._connection.farewell_to(version), MSG_DONTWAIT | MSG_NOSIGNAL)
        except OSError:
            pass  # it is hung up on all the same

    @property
    def awaits_exit(self) -> bool:
        """Whether this peer knows of the kill in flight and must be told of its end."""
        return self._connection.awaits_exit

    @property
    def has_said_hello(self) -> bool:
        """Whether it has introduced itself."""
        return self._connection.has_begun

    def close(self) -> None:
        """Hang up."""
        self.link.close()


def credentials(link: Socket) -> tuple[int, int]:
    """PID and uid of the process that connected (SO_PEERCRED, unix(7)). A socketpair's names its creator instead."""
    pid, uid, _ = _UCRED.unpack(link.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size))
    return pid, uid
