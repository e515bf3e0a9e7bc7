"""The killer's end of a connection against the table of both ends: in every state that they can reach, they agree."""

from __future__ import annotations

from bustd_killer.peer import Peer
from bustd_protocol import codec
from bustd_protocol.errors import LocalProtocolError, RemoteProtocolError
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillerHello,
    Message,
    MonitorHello,
    Ping,
    Pong,
    Reason,
    Verdict,
    outcome_of,
)
from bustd_protocol.session import Phase, Role, Session, received, sent
from tests.unit.killer.making import request

IDS = (1, 2)
BYE = Bye(0, Farewell.SHUTDOWN)
Step = tuple[Role, Message]


def answer(to: int, flight_id: int) -> KillerHello:
    return KillerHello(to, 2, 640, 50, 0, 25, 2000, 5000, flight_id, 0, 0, 0, 0)


KILLERS: list[Message] = [
    *(answer(to, flight_id) for to in IDS for flight_id in (0, *IDS)),
    *(Pong(to) for to in IDS),
    *(Verdict(to, outcome_of(reason), reason) for to in IDS for reason in (Reason.NONE, Reason.GONE, Reason.KERNEL)),
    *(Exited(of, Fate.GONE, 1) for of in IDS),
    BYE,
]
MONITORS: list[Message] = [
    *(MonitorHello(new, *versions, 812) for new in IDS for versions in ((2, 2), (1, 255), (3, 9), (0, 1))),
    *(Ping(new) for new in IDS),
    *(request(id=new) for new in IDS),
    BYE,
]
STEPS: list[Step] = [
    *((Role.MONITOR, message) for message in MONITORS + KILLERS),
    *((Role.KILLER, message) for message in KILLERS + MONITORS),
]


class Link:
    """A socket on which there is what the monitor has just said, and which takes everything."""

    def __init__(self) -> None:
        self.packet = b""

    def setblocking(self, _: bool) -> None:
        pass

    def receive_packet(self, _: int) -> tuple[bytes, bool, bool]:
        return self.packet, False, False

    def send_now(self, packet: bytes) -> int:
        return len(packet)


def peer_after(way: tuple[Step, ...]) -> Peer:
    peer = Peer(Link(), 812, 998, None)  # type: ignore[arg-type]
    for step in way:
        assert is_taken(peer, step)
    return peer


def is_taken(peer: Peer, step: Step) -> bool:
    """Whether the Peer takes the message, from the monitor or to it."""
    role, message = step
    try:
        if role is Role.KILLER:
            peer.send(message)
        else:
            peer.link.packet = codec.encode(message)  # type: ignore[attr-defined]
            assert peer.receive() == message
    except (LocalProtocolError, RemoteProtocolError):
        return False
    return True


def after(session: Session, step: Step) -> Session | None:
    """What the table says of it, None if it is a violation.

    What the killer had sent before it saw a Hello is discarded by the monitor, and so is in the table: the killer
    itself, which has seen that Hello, sends nothing but the answer to it, or Bye.
    """
    role, message = step
    is_stale = session.phase is Phase.GREETED and not isinstance(message, Bye)
    if role is Role.KILLER and is_stale and not (isinstance(message, KillerHello) and message.id == session.hello_id):
        return None
    try:
        return sent(session, role, message) if role is Role.KILLER else received(session, role, message)
    except (LocalProtocolError, RemoteProtocolError):
        return None


def test_in_every_state_both_take_the_same_messages_and_know_the_same() -> None:
    """Every pair of states that messages lead to, whatever the way: what one end forgets the other would still know."""
    ways: dict[object, tuple[Session, tuple[Step, ...]]] = {}
    waiting: list[tuple[Session, tuple[Step, ...]]] = [(Session(), ())]
    phases = set()
    for session, way in waiting:
        peer = peer_after(way)
        phases.add(session.phase)
        assert peer.awaits_exit == (session.phase is Phase.FLYING), way
        for step in STEPS:
            then = after(session, step)
            assert is_taken(peer, step) == (then is not None), (way, step)
            if then is not None:
                pair = then, peer._phase, frozenset(peer._owed.items())
                if pair not in ways:
                    ways[pair] = then, (*way, step)
                    waiting.append(ways[pair])
                peer = peer_after(way)  # what is refused must change nothing, so the next is tried on the same one
    assert phases == set(Phase)
