"""What the monitor's socket has to say now, for a command that looks once and ends: it never hangs."""

from __future__ import annotations

import time
from typing import NamedTuple

from .entries import Entry
from .events_socket import EVENTS_SOCKET, NoEvents, connected, next_event

_SILENCE_S, _PATIENCE_S = 0.2, 2.0
MOST_ENTRIES = 1000


class Heard(NamedTuple):
    """The events, oldest first. `trouble`: why there are none, or no more; "" if nothing is wrong."""

    entries: tuple[Entry, ...] = ()
    trouble: str = ""


def heard_now(path: str = EVENTS_SOCKET) -> Heard:
    """What arrives until nothing more comes for 200 ms: the monitor sends at once what it has.

    For the first event it waits for two seconds: the monitor looks for readers twice a second at most, and in a crisis
    it may be slow. More than two seconds of events, or a thousand of them, are not waited for.
    """
    try:
        entries, has_hung_up = _taken(path)
    except NoEvents as error:
        return Heard(trouble=str(error))
    if not entries and has_hung_up:
        return Heard(trouble=f"the monitor has hung up at {path}: it has readers enough")
    if not entries:
        return Heard(trouble=f"no event has come from {path} for {_PATIENCE_S:g} s")
    return Heard(tuple(sorted(entries, key=lambda entry: entry.number("__MONOTONIC_TIMESTAMP") or 0)))


def _taken(path: str) -> tuple[list[Entry], bool]:
    """The events as they came, and whether the monitor has hung up. Raises NoEvents."""
    taken: list[Entry] = []
    with connected(path) as link:
        ends_s = time.monotonic() + _PATIENCE_S
        link.settimeout(_PATIENCE_S)
        while len(taken) < MOST_ENTRIES and time.monotonic() < ends_s:
            try:
                entry = next_event(link)
            except TimeoutError:
                break
            if entry is None:
                return taken, True
            taken.append(entry)
            link.settimeout(_SILENCE_S)
    return taken, False
