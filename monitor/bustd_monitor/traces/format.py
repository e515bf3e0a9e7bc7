"""The format of a trace: readings and process tables to frames (see framing) and back.

Each frame is an array of plain values. The first is the header; times count from it.

    ["bustd-trace", 1, [header's names], [header's values], [names of a reading], [names of an entry]]
    [1, ms since the last frame, [place, change, ...]]                                    a reading
    [2, ms since the last frame, [gone], [left out], [[values], ...], [[pid, place, change, ...], ...]]   a table

A reading consists of what changed since the reading before. A table consists of the processes that are gone, those
that live but are left out from now on, the new ones, and what changed of the others. So the trace of a quiet machine is
small. Frames of another kind are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from bustd_protocol import limits
from bustd_shared.daemon.record import NamedTuple

from ..sensing.reading import Reading
from .framing import CUT, framed, next_frame
from .records import Plain, RecordedProcess, TraceError, changed, changes, flat, names, restorer

MAGIC, VERSION = "bustd-trace", 1
MOST_ENTRIES = 4096
"""In one table. The recorder records far fewer."""
MOST_MS = 400 * 86_400_000
_READING, _TABLE = 1, 2
_NOTICEABLE_PART = 8
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Header(NamedTuple):
    """Where and how a trace was made.

    `writer`: the program that wrote it. `release`: the kernel's (uname(2)). `reserve`: bytes of free memory below the
    watermarks (sensing.watermarks); -1: sysinfo(2) was unusable there. `boot_ms`: milliseconds from boot
    (CLOCK_BOOTTIME) to the start of the trace. `has_commands` 1: with command lines. `ancestor`: only descendants of
    this PID are in the tables; 0: all processes. A new field needs a default, so that older traces can be read.
    """

    writer: str
    release: str
    ram: int
    reserve: int
    boot_ms: int
    ticks_per_second: int
    has_commands: int = 0
    ancestor: int = 0


class Sensed(NamedTuple):
    """A reading, `at_ms` after the start of the trace."""

    at_ms: int
    reading: Reading


class Listed(NamedTuple):
    """A process table. `left_out`: PIDs of processes that live but are no longer recorded."""

    at_ms: int
    entries: tuple[RecordedProcess, ...]
    left_out: frozenset[int]


class Truncated(NamedTuple):
    """In the place of the last frame, if its end is missing."""

    at_ms: int


Frame = Sensed | Listed | Truncated


class Encoder:
    """Makes the frames of one trace. They must be written in the order in which they were made."""

    def __init__(self) -> None:
        self._at_ms = 0
        self._reading: list[Plain] = [None] * len(names(Reading))
        self._entries: dict[int, list[Plain]] = {}

    def header(self, header: Header) -> bytes:
        """The first frame."""
        fields, values = [*Header._fields], [*header]
        return framed([MAGIC, VERSION, fields, values, [*names(Reading)], [*names(RecordedProcess)]])

    def reading(self, at_ms: int, reading: Reading) -> bytes:
        """A reading. Raises TraceError for a value that a trace can't hold."""
        values = flat(reading)
        pairs = changes(self._reading, values)
        self._reading = values
        return framed([_READING, self._elapsed(at_ms), pairs])

    def table(
        self, at_ms: int, entries: list[RecordedProcess], left_out: set[int] | frozenset[int] = frozenset()
    ) -> bytes:
        """A table. A process of the last table that is not in this one is gone, unless its PID is in `left_out`."""
        now = {entry.process.pid: flat(entry) for entry in entries}
        missing = self._entries.keys() - now.keys()
        new = [values for pid, values in now.items() if pid not in self._entries]
        pairs = []
        for pid, values in now.items():
            difference = changes(self._entries.get(pid, values), values)
            if difference:
                pairs.append([pid, *difference])
        self._entries = now
        gone, left = sorted(missing - left_out), sorted(missing & left_out)
        return framed([_TABLE, self._elapsed(at_ms), gone, left, new, pairs])

    def _elapsed(self, at_ms: int) -> int:
        elapsed_ms, self._at_ms = at_ms - self._at_ms, at_ms
        return elapsed_ms


class Decoder:
    """Reads a trace from any source. It raises TraceError for whatever is wrong in it, and OSError of the file."""

    def __init__(self, file: BinaryIO) -> None:
        """Reads the header."""
        self._file = file
        try:
            first = next_frame(file)
        except TraceError:
            first = None
        if type(first) is not list or len(first) < 2 or first[0] != MAGIC:
            raise TraceError("it does not begin as a trace does")
        if first[1] != VERSION:
            raise TraceError(f"it has version {first[1]!r}, and this bustd reads version {VERSION}")
        if len(first) < 6 or any(type(part) is not list for part in first[2:6]):
            raise TraceError("its header makes no sense")
        self.header = _header(first[2], first[3])
        self._reading_names, self._entry_names = _texts(first[4]), _texts(first[5])
        self._restored_reading = restorer(Reading, self._reading_names)
        self._restored_entry = restorer(RecordedProcess, self._entry_names)
        if "process.pid" not in self._entry_names:
            raise TraceError("its records have no process.pid")
        self._pid_place = self._entry_names.index("process.pid")
        self._tells_shared = "process.shared_bytes" in self._entry_names
        self._at_ms = 0
        self._reading: list[Plain] = [None] * len(self._reading_names)
        self._entries: dict[int, list[Plain]] = {}
        self._restored: dict[int, RecordedProcess] = {}
        self._left_out: frozenset[int] = frozenset()

    def frames(self) -> Iterator[Frame]:
        """The frames after the header, in their order. The last is Truncated if its end is missing."""
        while (array := next_frame(self._file)) is not None:
            if array is CUT:
                yield Truncated(self._at_ms)
                return
            frame = self._frame(array)
            if frame is not None:
                yield frame

    def _frame(self, array: object) -> Sensed | Listed | None:
        if type(array) is not list or len(array) < 2:
            raise TraceError(f"a frame that is not an array, {self._at_ms} ms into it")
        kind, elapsed_ms, *parts = array
        if type(elapsed_ms) is not int or not 0 <= elapsed_ms <= MOST_MS - self._at_ms:
            raise TraceError(f"its clock jumps, {self._at_ms} ms into it")
        self._at_ms += elapsed_ms
        try:
            if kind == _READING and len(parts) >= 1:
                self._reading = changed(self._reading, _list(parts[0]))
                return Sensed(self._at_ms, self._restored_reading(self._reading))
            if kind == _TABLE and len(parts) >= 4:
                gone, left, new, pairs = (_list(part) for part in parts[:4])
                return self._table(gone, left, new, pairs)
        except TraceError as error:
            raise TraceError(f"{error}, {self._at_ms} ms into it") from None
        if kind in (_READING, _TABLE):
            raise TraceError(f"a frame that is too short, {self._at_ms} ms into it")
        return None

    def _table(self, gone: list[Any], left: list[Any], new: list[Any], pairs: list[Any]) -> Listed:
        for pid in (*gone, *left):
            if type(pid) is not int or self._entries.pop(pid, None) is None:
                raise TraceError("a process is gone that did not exist")
            del self._restored[pid]
        for values in new:
            self._keep(_list(values))
        for change in pairs:
            pid, *difference = _list(change) or [None]
            if type(pid) is not int or pid not in self._entries:
                raise TraceError("a process changes that does not exist")
            values = changed(self._entries.pop(pid), difference)
            del self._restored[pid]
            self._keep(values)
        if len(self._entries) > MOST_ENTRIES:
            raise TraceError(f"a table of more than {MOST_ENTRIES} processes")
        returned = self._entries.keys()
        self._left_out = frozenset((self._left_out | {pid for pid in left if type(pid) is int}) - returned)
        return Listed(self._at_ms, tuple(self._restored.values()), self._left_out)

    def _keep(self, values: list[Plain]) -> None:
        if len(values) != len(self._entry_names):
            raise TraceError("a process with too few or too many values")
        entry = self._restored_entry(values)
        pid = entry.process.pid
        if not 1 <= pid <= limits.PID_MAX or pid in self._entries:
            raise TraceError("a PID that is impossible, or in the table twice")
        process = entry.process
        if not self._tells_shared:
            process = process._replace(shared_bytes=_shared_at_least(entry, self.header.ram))
        start_ticks = process.start_ticks * _TICKS_PER_SECOND // self.header.ticks_per_second
        self._entries[pid] = values
        self._restored[pid] = entry._replace(process=process._replace(start_ticks=start_ticks))


def _shared_at_least(entry: RecordedProcess, ram: int) -> int:
    """What a process of an older trace maps of shared memory, which that does not tell: 0 unless it is a large part.

    What is resident and not its own is shared memory or files. No program maps an eighth of RAM of files for long.
    """
    rest = max(entry.resident_bytes - entry.process.held_bytes, 0)
    return rest if rest * _NOTICEABLE_PART >= ram else 0


def _header(fields: list[object], values: list[object]) -> Header:
    """The header from its names and values. `type(x) is`, because for isinstance True is an int."""
    if len(fields) != len(values):
        raise TraceError("its header makes no sense")
    given = {name: value for name, value in zip(_texts(fields), values, strict=True) if name in Header._fields}
    if missing := set(Header._fields) - given.keys() - Header._field_defaults.keys():
        raise TraceError(f"its header has no {', '.join(sorted(missing))}")
    header = Header(**given)  # type: ignore[arg-type]
    for name, value in zip(Header._fields, header, strict=True):
        if type(value) is not (str if name in ("writer", "release") else int):
            raise TraceError(f"its header's {name} makes no sense")
        lowest = {"reserve": -1, "ram": 1, "ticks_per_second": 1}.get(name, 0)
        if type(value) is int and not lowest <= value <= limits.UINT63_MAX:
            raise TraceError(f"its header's {name} is out of its range")
    return header


def _texts(parts: list[object]) -> tuple[str, ...]:
    found = tuple(part for part in parts if type(part) is str)
    if len(found) != len(parts) or len(set(found)) != len(found):
        raise TraceError("its header has a name that is not a text, or twice the same name")
    return found


def _list(part: object) -> list[Any]:
    if type(part) is not list:
        raise TraceError("another value where a list belongs")
    return part
