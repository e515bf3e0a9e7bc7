"""Kills, as their events tell them: from a condition to what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..reporting.events import ANSWERED, DECIDED, ENDED, LIVES
from .entries import Entry

IN_FLIGHT = "in flight"
SIGNALLED = "signalled"


class ToldKill(NamedTuple):
    """One process that was signalled. `time_us`: since 1970, of what was told of it last.

    `outcome`: how it ended (gone, released, stuck, spared), or IN_FLIGHT. What is not known is "" or None: of a kill
    that an earlier monitor has asked for only the end is told.
    """

    time_us: int
    condition: str = ""
    signal: str = ""
    outcome: str = IN_FLIGHT
    pid: int | None = None
    comm: str = ""
    uid: int | None = None
    unit: str = ""
    held_bytes: int | None = None
    elapsed_ms: int | None = None


def kills(entries: Iterable[Entry]) -> list[ToldKill]:
    """Every kill in these events, which are in their order; the last one may be in flight."""
    found: list[ToldKill] = []
    chosen: dict[int | None, Entry] = {}
    in_flight: ToldKill | None = None
    for entry in entries:
        kind, pid = entry.kind, entry.own_number("VICTIM_PID")
        if kind is DECIDED and entry.own("VICTIM_COMM"):
            chosen[pid] = entry
        elif kind is ANSWERED and entry.own("OUTCOME") == SIGNALLED:
            in_flight = _kill(entry, chosen.get(pid))
        elif kind in (ENDED, LIVES):
            ended = _kill(entry, chosen.get(pid))
            if pid is None and in_flight is not None:
                ended = in_flight._replace(time_us=ended.time_us, elapsed_ms=ended.elapsed_ms)
            found.append(ended._replace(outcome=entry.own("OUTCOME")))
            in_flight = None
    return [*found, in_flight] if in_flight is not None else found


def _kill(entry: Entry, chosen: Entry | None) -> ToldKill:
    """What the answer or the end says, and what the decision knew."""
    return ToldKill(
        entry.time_us,
        entry.own("CONDITION"),
        entry.own("SIGNAL"),
        IN_FLIGHT,
        entry.own_number("VICTIM_PID"),
        entry.own("VICTIM_COMM"),
        entry.own_number("VICTIM_UID"),
        chosen.own("VICTIM_UNIT") if chosen is not None else "",
        chosen.own_number("VICTIM_BYTES") if chosen is not None else None,
        entry.own_number("ELAPSED_MS"),
    )
