"""Recorded traces as lists, for what the model is held against."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from bustd_monitor.sensing.reading import Reading
from bustd_monitor.traces.format import Decoder, Listed, Sensed

TRACES = Path(__file__).parents[1] / "data/traces"
NAMES = sorted(path.stem for path in TRACES.glob("vm-*.trace"))


class Seen(NamedTuple):
    """A reading, and what the processes of each name held and had in memory when they were last listed."""

    at_s: float
    reading: Reading
    held: dict[str, int]
    resident: dict[str, int]


def readings(name: str) -> list[Seen]:
    """The readings of a trace that have everything."""
    found, held, resident = [], dict[str, int](), dict[str, int]()
    with (TRACES / f"{name}.trace").open("rb") as file:
        for frame in Decoder(file).frames():
            if isinstance(frame, Listed):
                held, resident = {}, {}
                for entry in frame.entries:
                    comm = entry.process.comm.decode("latin-1")
                    held[comm] = held.get(comm, 0) + entry.process.held_bytes
                    resident[comm] = resident.get(comm, 0) + entry.resident_bytes
            elif isinstance(frame, Sensed) and frame.reading.is_whole and frame.reading.pressure is not None:
                found.append(Seen(frame.at_ms / 1000, frame.reading, held, resident))
    return found


def between(name: str, first_s: float, last_s: float) -> list[Seen]:
    return [seen for seen in readings(name) if first_s <= seen.at_s <= last_s]


def stalled_shares(seen: list[Seen]) -> tuple[float, float]:
    """Which shares of this time some and all tasks have stalled."""
    first, last = seen[0].reading.pressure, seen[-1].reading.pressure
    assert first is not None and last is not None
    elapsed_us = (seen[-1].at_s - seen[0].at_s) * 1e6
    return (
        (last.some_total_us - first.some_total_us) / elapsed_us,
        (last.full_total_us - first.full_total_us) / elapsed_us,
    )
