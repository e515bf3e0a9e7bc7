"""AF_UNIX sockets, from the C module beneath `socket`, whose enumerations would cost each daemon 0.25 MB."""

from __future__ import annotations

import _socket

AF_UNIX, SOCK_DGRAM, SOCK_SEQPACKET = _socket.AF_UNIX, _socket.SOCK_DGRAM, _socket.SOCK_SEQPACKET
MSG_DONTWAIT, MSG_NOSIGNAL = _socket.MSG_DONTWAIT, _socket.MSG_NOSIGNAL
SOL_SOCKET, SO_ACCEPTCONN, SO_PEERCRED = _socket.SOL_SOCKET, _socket.SO_ACCEPTCONN, _socket.SO_PEERCRED
SO_TYPE = _socket.SO_TYPE


class Socket(_socket.socket):
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
        return packet, bool(flags & _socket.MSG_TRUNC), bool(ancillary) or bool(flags & _socket.MSG_CTRUNC)

    def send_now(self, packet: bytes) -> int:
        """Send without waiting; how many bytes went. Raises OSError, BlockingIOError among them where none fits."""
        return self.send(packet, MSG_DONTWAIT | MSG_NOSIGNAL)


def pair() -> tuple[Socket, Socket]:
    """Two connected SOCK_SEQPACKET sockets (socketpair(2)). Raises OSError."""
    one, other = _socket.socketpair(AF_UNIX, SOCK_SEQPACKET)
    return Socket(fileno=one.detach()), Socket(fileno=other.detach())
