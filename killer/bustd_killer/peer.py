"""The connection to the one monitor: packets in and out, the flood limit, and the session's rules."""

from __future__ import annotations

import struct

from bustd_protocol import codec, limits, session
from bustd_protocol.errors import RemoteProtocolError
from bustd_protocol.messages import Message
from bustd_protocol.session import Phase, Role
from bustd_shared.daemon.packets import (
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SO_PEERCRED,
    SOL_SOCKET,
    Socket,
)

_UCRED = struct.Struct("iII")


class Disconnected(Exception):
    """The peer has gone, or does not read what it is sent."""


class Peer:
    """One monitor. Everything that it sends is checked; whatever is wrong raises RemoteProtocolError."""

    def __init__(self, link: Socket, pid: int, uid: int, now_ms: int) -> None:
        link.setblocking(False)
        self.link = link
        self.pid = pid
        self.uid = uid
        self.accepted_ms = now_ms
        self.session = session.Session()
        self._received_ms: list[int] = []

    def receive(self, now_ms: int) -> Message | None:
        """The next message, None if there is none. Raises RemoteProtocolError and Disconnected."""
        try:
            # Without room for ancillary data the kernel discards descriptors and says so with MSG_CTRUNC.
            packet, ancillary, flags, _ = self.link.recvmsg(limits.PACKET_BYTES)
        except BlockingIOError:
            return None
        except OSError as error:
            raise Disconnected(str(error)) from None
        if ancillary or flags & (MSG_TRUNC | MSG_CTRUNC):
            raise RemoteProtocolError("an oversized packet, or descriptors attached")
        if not packet:
            raise Disconnected("end of file")
        self._received_ms = [past for past in self._received_ms if past > now_ms - 1000] + [now_ms]
        if len(self._received_ms) > limits.MESSAGES_PER_SECOND:
            raise RemoteProtocolError(f"more than {limits.MESSAGES_PER_SECOND} messages in a second")
        message = codec.decode(packet)
        self.session = session.received(self.session, Role.MONITOR, message)
        return message

    def send(self, message: Message) -> None:
        """Send without blocking. Raises Disconnected: a peer that does not read is gone for our purposes."""
        self.session = session.sent(self.session, Role.KILLER, message)
        try:
            self.link.send(codec.encode(message), MSG_DONTWAIT | MSG_NOSIGNAL)
        except OSError as error:
            raise Disconnected(str(error)) from None

    @property
    def awaits_exit(self) -> bool:
        """Whether this peer knows of the kill in flight and must be told of its end."""
        return self.session.phase is Phase.FLYING

    @property
    def has_said_hello(self) -> bool:
        """Whether it has introduced itself."""
        return self.session.phase is not Phase.START

    def close(self) -> None:
        """Hang up."""
        self.link.close()


def credentials(link: Socket) -> tuple[int, int]:
    """PID and uid of whoever connected (SO_PEERCRED, unix(7)). A socketpair's names its creator instead."""
    pid, uid, _ = _UCRED.unpack(link.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size))
    return pid, uid
