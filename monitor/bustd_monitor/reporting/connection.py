"""The sentences about the connection to the killer, and those of the loop around it."""

from __future__ import annotations

from bustd_protocol.messages import Bye, KillerHello

STOPPING = "stopping"
NO_SENSE = "what is available makes no sense: nothing is decided on it"
DRY_RUN = "dry run: nothing is sent"
UNREACHABLE = "MEMORY IS SHORT AND THE KILLER CAN'T BE REACHED"
NO_ANSWER = "the killer does not answer"
OTHER_VERSION = "it speaks another version of the protocol: update both packages, and restart both daemons"


def connected(killer_pid: int) -> str:
    """A killer can be asked."""
    return f"connected to the killer {killer_pid}"


def in_flight(hello: KillerHello) -> str:
    """It has a kill in flight from before."""
    return f"the killer has {hello.flight_pid} in flight"


def not_connected(trouble: str) -> str:
    """An attempt to connect has failed."""
    return f"no connection to the killer: {trouble}"


def lost(why: str) -> str:
    """The connection is gone."""
    return f"lost the killer: {why}"


def farewell(bye: Bye) -> str:
    """Why the killer ends the connection."""
    return f"it said Bye: {bye.farewell.name.lower()}"
