"""AF_UNIX sockets, from the C module beneath `socket`, whose enumerations would cost each daemon 0.25 MB."""

from __future__ import annotations

from _socket import (
    AF_UNIX,
    MSG_CTRUNC,
    MSG_DONTWAIT,
    MSG_NOSIGNAL,
    MSG_TRUNC,
    SO_ACCEPTCONN,
    SO_PEERCRED,
    SO_TYPE,
    SOCK_DGRAM,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socketpair,
)
from _socket import socket as _Socket

__all__ = [
    "AF_UNIX",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "SOCK_DGRAM",
    "SOCK_SEQPACKET",
    "SOL_SOCKET",
    "SO_ACCEPTCONN",
    "SO_PEERCRED",
    "SO_TYPE",
    "Socket",
    "pair",
]


class Socket(_Socket):
    """A socket like the standard library's, with only what bustd needs. Its descriptor is not inherited by exec."""

    def accept(self) -> Socket:
        """The next connection. Raises OSError."""
        descriptor, _ = self._accept()  # type: ignore[attr-defined]  # typeshed has it on the wrapper only
        return Socket(fileno=descriptor)

    def receive_packet(self, most_bytes: int) -> tuple[bytes, bool, bool]:
        """The next packet (b"" at the end), whether it was longer than that, and whether ancillary data came with it.

        There is no room for ancillary data: the kernel discards it, closes descriptors that were sent along, and sets
        MSG_CTRUNC (unix(7), recv(2)). Raises OSError, BlockingIOError among them where nothing has come.
        """
        packet, ancillary, flags, _ = self.recvmsg(most_bytes)
        return packet, bool(flags & MSG_TRUNC), bool(ancillary) or bool(flags & MSG_CTRUNC)


def pair() -> tuple[Socket, Socket]:
    """Two connected SOCK_SEQPACKET sockets (socketpair(2)). Raises OSError."""
    one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
    return Socket(fileno=one.detach()), Socket(fileno=other.detach())
