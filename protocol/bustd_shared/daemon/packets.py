"""AF_UNIX sockets, from the C module below the standard `socket`, whose enumerations cost each daemon 0.25 MB."""

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
    "MSG_CTRUNC",
    "MSG_DONTWAIT",
    "MSG_NOSIGNAL",
    "MSG_TRUNC",
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
    """A socket as the standard library's, with only what bustd needs. Its descriptor is not inherited by exec."""

    def accept(self) -> Socket:
        """The next connection. Raises OSError."""
        descriptor, _ = self._accept()  # type: ignore[attr-defined]  # typeshed has it on the wrapper only
        return Socket(fileno=descriptor)


def pair() -> tuple[Socket, Socket]:
    """Two connected SOCK_SEQPACKET sockets (socketpair(2)). Raises OSError."""
    one, other = socketpair(AF_UNIX, SOCK_SEQPACKET)
    return Socket(fileno=one.detach()), Socket(fileno=other.detach())
