"""What the monitor's socket has to say now, for a command that looks once and ends: it never hangs."""

from __future__ import annotations

import time
from typing import NamedTuple

from .entries import Entry
from .events_socket import EVENTS_SOCKET, NoEvents, read_events

_SILENCE_S, _PATIENCE_S = 0.2, 2.0
MOST_ENTRIES = 1000


class Heard(NamedTuple):
    """The events, oldest first. `trouble`: why there are none, or no more; "" if nothing is wrong."""

    entries: tuple[Entry, ...] = ()
    trouble: str = ""


def heard_now(path: str = EVENTS_SOCKET) -> Heard:
    """What arrives until nothing more comes for 200 ms: the monitor sends at once what it has.

    A monitor that is silent has two seconds more: in a crisis it may be slow. More than two seconds of events, or a
    thousand of them, are not waited for.
    """
    try:
        entries = _taken(path, _SILENCE_S) or _taken(path, _PATIENCE_S)
    except NoEvents as error:
        return Heard(trouble=str(error))
    if not entries:
        return Heard(trouble=f"no event has come from {path} for {_PATIENCE_S:g} s")
    return Heard(tuple(sorted(entries, key=lambda entry: entry.number("__MONOTONIC_TIMESTAMP") or 0)))


def _taken(path: str, silence_s: float) -> list[Entry]:
    """As above, with this patience."""
    ends_s = time.monotonic() + _PATIENCE_S
    taken: list[Entry] = []
    for entry in read_events(path, silence_s):
        taken.append(entry)
        if len(taken) >= MOST_ENTRIES or time.monotonic() >= ends_s:
            break
    return taken
