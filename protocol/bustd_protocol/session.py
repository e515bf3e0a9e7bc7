"""The state of one connection: a table of transitions that both ends follow. What is not in it is a violation.

The killer answers requests one at a time and in order. `Exited` may cross a request on the wire, so both orders are in
the table. A MonitorHello restarts the session at any time: a monitor that has executed itself again uses the same
socket, and discards what the killer had sent before the KillerHello that answers this MonitorHello.
"""

from __future__ import annotations

from enum import Enum

from bustd_shared.daemon.record import NamedTuple

from . import limits
from .errors import LocalProtocolError, RemoteProtocolError
from .messages import (
    Bye,
    Exited,
    KillerHello,
    KillRequest,
    Message,
    MonitorHello,
    Outcome,
    Ping,
    Pong,
    Verdict,
)


class Role(Enum):
    """The two ends."""

    MONITOR = "monitor"
    KILLER = "killer"


class Phase(Enum):
    """Where a session stands."""

    START = "start"
    GREETED = "greeted"
    IDLE = "idle"
    ASKED = "asked"
    FLYING = "flying"
    FLYING_ASKED = "flying and asked"
    CLOSED = "closed"


class Cue(Enum):
    """What a message means for the session."""

    MONITOR_HELLO = "monitor's hello"
    KILLER_HELLO = "killer's hello"
    KILLER_HELLO_FLYING = "killer's hello with a kill in flight"
    PING = "ping"
    PONG = "pong"
    REQUEST = "kill request"
    SIGNALLED = "verdict: signalled"
    NOT_SIGNALLED = "verdict: not signalled"
    EXITED = "exited"
    BYE = "bye"


TRANSITIONS: dict[Phase, dict[Cue, Phase]] = {
    Phase.START: {Cue.MONITOR_HELLO: Phase.GREETED, Cue.BYE: Phase.CLOSED},
    Phase.GREETED: {
        Cue.MONITOR_HELLO: Phase.GREETED,
        Cue.KILLER_HELLO: Phase.IDLE,
        Cue.KILLER_HELLO_FLYING: Phase.FLYING,
        Cue.PONG: Phase.GREETED,
        Cue.SIGNALLED: Phase.GREETED,
        Cue.NOT_SIGNALLED: Phase.GREETED,
        Cue.EXITED: Phase.GREETED,
        Cue.BYE: Phase.CLOSED,
    },
    Phase.IDLE: {
        Cue.MONITOR_HELLO: Phase.GREETED,
        Cue.PING: Phase.IDLE,
        Cue.PONG: Phase.IDLE,
        Cue.REQUEST: Phase.ASKED,
        Cue.BYE: Phase.CLOSED,
    },
    Phase.ASKED: {
        Cue.MONITOR_HELLO: Phase.GREETED,
        Cue.PING: Phase.ASKED,
        Cue.PONG: Phase.ASKED,
        Cue.SIGNALLED: Phase.FLYING,
        Cue.NOT_SIGNALLED: Phase.IDLE,
        Cue.BYE: Phase.CLOSED,
    },
    Phase.FLYING: {
        Cue.MONITOR_HELLO: Phase.GREETED,
        Cue.PING: Phase.FLYING,
        Cue.PONG: Phase.FLYING,
        Cue.REQUEST: Phase.FLYING_ASKED,
        Cue.EXITED: Phase.IDLE,
        Cue.BYE: Phase.CLOSED,
    },
    Phase.FLYING_ASKED: {
        Cue.MONITOR_HELLO: Phase.GREETED,
        Cue.PING: Phase.FLYING_ASKED,
        Cue.PONG: Phase.FLYING_ASKED,
        Cue.SIGNALLED: Phase.FLYING,
        Cue.NOT_SIGNALLED: Phase.FLYING,
        Cue.EXITED: Phase.ASKED,
        Cue.BYE: Phase.CLOSED,
    },
    Phase.CLOSED: {},
}
"""Every transition. Verdict, Exited and Pong must also carry the id of what they answer, except while GREETED."""


class Session(NamedTuple):
    """The state of one connection: the phase, and the ids that the next answers must carry (0: none is due)."""

    phase: Phase = Phase.START
    hello_id: int = 0
    asked_id: int = 0
    flight_id: int = 0
    ping_id: int = 0


def sent(session: Session, role: Role, message: Message) -> Session:
    """The session after this end, which is `role`, sends `message`. Raises LocalProtocolError if it must not."""
    after = _advanced(session, role, message)
    if isinstance(after, str):
        raise LocalProtocolError(after)
    return after


def received(session: Session, role: Role, message: Message) -> Session:
    """The session after the peer, which is `role`, sent `message`. Raises RemoteProtocolError if it must not have."""
    after = _advanced(session, role, message)
    if isinstance(after, str):
        raise RemoteProtocolError(after)
    return after


def _advanced(session: Session, sender: Role, message: Message) -> Session | str:
    """The next session, or what is wrong with the message."""
    cue = _cue(sender, message)
    if cue is None:
        return f"the {sender.value} may not send {type(message).__name__}"
    phase = TRANSITIONS[session.phase].get(cue)
    if phase is None:
        return f"{cue.value} while {session.phase.value}"
    if isinstance(message, MonitorHello):
        if not message.lowest_version <= limits.VERSION <= message.highest_version:
            return f"versions {message.lowest_version} to {message.highest_version}, without {limits.VERSION}"
        return Session(phase, hello_id=message.id)
    if session.phase is Phase.GREETED and not isinstance(message, Bye) and _is_stale(session, message):
        return session
    return _with_ids(session, message, phase)


def _is_stale(session: Session, message: Message) -> bool:
    """Whether the killer sent this before it saw the last MonitorHello: anything except the answer to that."""
    return not (isinstance(message, KillerHello) and message.id == session.hello_id)


def _with_ids(session: Session, message: Message, phase: Phase) -> Session | str:
    """Check the id of an answer against the one that is due, and keep the id of a message that needs an answer."""
    if isinstance(message, KillerHello):
        if message.spoken_version != limits.VERSION:
            return f"the killer would speak version {message.spoken_version} instead of {limits.VERSION}"
        return Session(phase, flight_id=message.flight_id)
    if isinstance(message, Ping) and session.ping_id:
        return f"a second ping before the pong of {session.ping_id}"
    if isinstance(message, Ping):
        return session._replace(phase=phase, ping_id=message.id)
    if isinstance(message, KillRequest):
        return session._replace(phase=phase, asked_id=message.id)
    if isinstance(message, Bye):
        return Session(phase)
    due = {Pong: session.ping_id, Verdict: session.asked_id, Exited: session.flight_id}[type(message)]
    if due == 0 or message.id != due:
        return f"{type(message).__name__} with id {message.id} instead of {due}"
    if isinstance(message, Pong):
        return session._replace(phase=phase, ping_id=0)
    if isinstance(message, Exited):
        return session._replace(phase=phase, flight_id=0)
    starts_flight = phase is Phase.FLYING and session.phase is Phase.ASKED
    return session._replace(phase=phase, asked_id=0, flight_id=message.id if starts_flight else session.flight_id)


def _cue(sender: Role, message: Message) -> Cue | None:
    """What `message` means when `sender` sends it; None if the sender must not send it."""
    if isinstance(message, Bye):
        return Cue.BYE
    if sender is Role.MONITOR:
        return {MonitorHello: Cue.MONITOR_HELLO, Ping: Cue.PING, KillRequest: Cue.REQUEST}.get(type(message))
    if isinstance(message, KillerHello):
        return Cue.KILLER_HELLO_FLYING if message.flight_id else Cue.KILLER_HELLO
    if isinstance(message, Verdict):
        return Cue.SIGNALLED if message.outcome is Outcome.SIGNALLED else Cue.NOT_SIGNALLED
    return {Pong: Cue.PONG, Exited: Cue.EXITED}.get(type(message))
