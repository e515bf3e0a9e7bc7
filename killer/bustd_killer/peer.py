"""The connection to the one monitor: its socket, and what may be said when (SPEC.md, section 6).

`bustd_protocol.session` has the table of both ends. This is the killer's end of it: it answers each message before it
receives the next, so its state is the answers that it owes. A test holds the two against each other.
"""

from __future__ import annotations

import struct

from bustd_protocol import codec, limits
from bustd_protocol.errors import LocalProtocolError, RemoteProtocolError
from bustd_protocol.messages import Bye, Exited, KillerHello, KillRequest, Message, MonitorHello, Ping, Pong, Verdict
from bustd_shared.daemon.packets import SO_PEERCRED, SOL_SOCKET, Socket

TYPE_CHECKING = False

if TYPE_CHECKING:
    from .monitor_log import MonitorLog

_UCRED = struct.Struct("iII")
_ANSWERS: dict[type[Message], type[Message]] = {MonitorHello: KillerHello, Ping: Pong, KillRequest: Verdict, Bye: Bye}
"""What the monitor may send, and what answers it."""


class Disconnected(Exception):
    """The peer is gone, or does not read what it is sent."""


class Peer:
    """One monitor. A message that may not be sent now raises, and changes nothing.

    `hello_due_ms`: until when it must have said Hello, None once it has; a pair's has no such deadline. `log`: in a
    pair, what it says.
    """

    def __init__(
        self, link: Socket, pid: int, uid: int, hello_due_ms: int | None, log: MonitorLog | None = None
    ) -> None:
        link.setblocking(False)
        self.link = link
        self.log = log
        self.pid = pid
        self.uid = uid
        self.hello_due_ms = hello_due_ms
        self._phase = "start"  # then "greeted" until KillerHello, "idle" after it, "closed" after Bye
        # The id of each answer that is due; of Exited too, from the signal on that the peer has been told of.
        self._owed: dict[type[Message], int] = {}

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
        if is_truncated or has_ancillary:
            raise RemoteProtocolError("an oversized packet, or descriptors attached")
        message = codec.decode(packet)
        self._note(message)
        return message

    def _note(self, message: Message) -> None:
        """What is owed after this message of the monitor. Raises RemoteProtocolError if it may not be sent now."""
        kind = type(message)
        answer, is_idle = _ANSWERS.get(kind), self._phase == "idle"
        may_always = isinstance(message, MonitorHello | Bye) and self._phase != "closed"
        if answer is None or not (may_always or (is_idle and answer not in self._owed)):
            raise RemoteProtocolError(f"the monitor may not send {kind.__name__} while {self._phase}")
        if isinstance(message, MonitorHello):
            if not message.lowest_version <= limits.VERSION <= message.highest_version:
                spoken = f"{message.lowest_version} to {message.highest_version}"
                raise RemoteProtocolError(f"versions {spoken}, without {limits.VERSION}")
            self._owed, self._phase = {}, "greeted"  # also of a monitor that has executed itself again
            self.hello_due_ms = None
        elif isinstance(message, Bye):
            self._phase = "closed"
        self._owed[answer] = message.id

    def send(self, message: Message) -> None:
        """Send without blocking. Raises LocalProtocolError, and Disconnected: a peer that does not read is gone."""
        packet, kind = codec.encode(message), type(message)
        if self._phase == "closed" or (not isinstance(message, Bye) and self._owed.get(kind) != message.id):
            raise LocalProtocolError(f"{kind.__name__} with id {message.id} is not due")
        self._owed.pop(kind, None)
        if isinstance(message, KillerHello):
            self._phase = "idle"
            self._owed |= {Exited: message.flight_id} if message.flight_id else {}
        elif isinstance(message, Verdict) and not message.reason:
            self._owed.setdefault(Exited, message.id)  # that of an escalation is not about a kill of its own
        elif isinstance(message, Bye):
            self._phase = "closed"
        try:
            self.link.send_now(packet)
        except OSError as error:
            raise Disconnected(str(error)) from None

    def send_farewell_to(self, version: int) -> None:
        """Tell a peer of another version, in its own version's words, that it will not be served."""
        self._phase = "closed"
        try:
            self.link.send_now(codec.farewell_to(version))
        except OSError:
            pass  # it is hung up on all the same

    @property
    def awaits_exit(self) -> bool:
        """Whether this peer knows of the kill in flight and must be told of its end."""
        return self._phase == "idle" and Exited in self._owed and Verdict not in self._owed

    def close(self) -> None:
        """Hang up."""
        self.link.close()


def credentials(link: Socket) -> tuple[int, int]:
    """PID and uid of the process that connected (SO_PEERCRED, unix(7)). A socketpair's names its creator instead."""
    pid, uid, _ = _UCRED.unpack(link.getsockopt(SOL_SOCKET, SO_PEERCRED, _UCRED.size))
    return pid, uid
