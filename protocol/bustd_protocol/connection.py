"""One end of a connection without its socket: messages to packets and back, and the session's state with each of them.

No I/O: the caller owns the descriptor, sends the bytes that `send` returns and hands what it received to `receive`.
"""

from __future__ import annotations

from . import codec, session
from .errors import RemoteProtocolError
from .messages import Message
from .session import Phase, Role, Session

_PEER_OF = {Role.MONITOR: Role.KILLER, Role.KILLER: Role.MONITOR}


class Connection:
    """The end of one connection that `role` holds.

    Encoding and decoding advance the state, so neither can be forgotten. A call that raises changes nothing.
    """

    def __init__(self, role: Role) -> None:
        self._role = role
        self._session = Session()

    @property
    def session(self) -> Session:
        """The state after everything that was sent and received so far."""
        return self._session

    @property
    def has_begun(self) -> bool:
        """Whether anything was sent or received: first comes MonitorHello, or Bye from an end that gives up."""
        return self._session.phase is not Phase.START

    @property
    def is_open(self) -> bool:
        """Whether both ends have said Hello, and neither has said Bye."""
        return self._session.phase not in (Phase.START, Phase.GREETED, Phase.CLOSED)

    @property
    def may_ask(self) -> bool:
        """Whether a KillRequest may be sent: no Verdict is due. A kill may be in flight: then it is an escalation."""
        return self._session.phase in (Phase.IDLE, Phase.FLYING)

    @property
    def awaits_exit(self) -> bool:
        """Whether the next message about a kill is Exited: one is in flight, and no Verdict is due."""
        return self._session.phase is Phase.FLYING

    def send(self, message: Message) -> bytes:
        """The packet for `message`, which must be sent next. Raises LocalProtocolError if this end must not send it."""
        packet = codec.encode(message)
        self._session = session.sent(self._session, self._role, message)
        return packet

    def farewell_to(self, version: int) -> bytes:
        """The packet of Bye for a peer that speaks another `version`, 0 to 255: send it, and nothing after it."""
        self._session = Session(Phase.CLOSED)
        return codec.farewell_to(version)

    def receive(self, packet: bytes, is_truncated: bool, has_ancillary: bool) -> Message | None:
        """The message in `packet`; None if it must be discarded: it answers this monitor before its restart.

        `is_truncated`: the packet was longer than what was read. `has_ancillary`: descriptors or credentials came with
        it. Raises RemoteProtocolError for everything that the peer must not send, and OtherVersion, which is one, for
        what `farewell_to` answers. The end of the connection is not a packet: the caller must notice it first.
        """
        if is_truncated or has_ancillary:
            raise RemoteProtocolError("an oversized packet, or descriptors attached")
        message = codec.decode(packet)
        self._session = session.received(self._session, _PEER_OF[self._role], message)
        if self._role is Role.MONITOR and self._session.phase is Phase.GREETED:
            return None
        return message
