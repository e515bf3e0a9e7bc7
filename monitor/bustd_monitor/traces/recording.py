"""What is recorded, and when: readings, and the processes that are likely candidates.

Recording must go on while the machine is out of memory. So only a few processes are read closely, and a long process
table is listed a slice at a time, between readings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import SHORT_COMMAND_BYTES, CommandLine, Process
from ..sensing.reading import Reading
from .format import Encoder, Header
from .records import RecordedProcess

NEAR_MS, FAR_MS = 100, 1000
"""Between two readings. Between two tables it is at least FAR_MS."""
_NEAR_PERCENT = 50
"""As shipped no condition fires while more than 40 % is available; the rest can be used up within a second."""

MOST_RANKED = 48
_MOST_RECORDED = 96
"""A process stays in the tables while it lives, so that a missing one is gone; but no more than this many stay."""
_SLICE, _FAR_SLICE = 2048, 16384
"""At most this many processes are listed between two readings: about 10 ms, and while memory is plentiful 80 ms."""


class Table(Protocol):
    """What the recorder asks of the process table (sensing.process_table)."""

    def walk(self, count: int) -> list[int] | None: ...  # noqa: D102
    def score(self, pid: int) -> int: ...  # noqa: D102
    def resident_bytes(self, pid: int) -> int: ...  # noqa: D102
    def read(self, pid: int, score: int) -> Process | None: ...  # noqa: D102
    def command(self, process: Process) -> CommandLine | None: ...  # noqa: D102
    def read_commands(self) -> None: ...  # noqa: D102


class Census(NamedTuple):
    """The recorded processes, and the PIDs of those that live but are too small to be recorded any longer."""

    entries: list[RecordedProcess]
    left_out: frozenset[int]


class CensusTaker:
    """Finds the likely candidates: the processes with the highest oom_score, of equals the larger."""

    def __init__(self, table: Table, *, with_commands: bool = False) -> None:
        self._table = table
        self._with_commands = with_commands
        self._scored: list[tuple[int, int]] = []
        self._recorded: dict[int, Process] = {}

    def advance(self, most: int = _FAR_SLICE) -> Census | None:
        """List at most `most` processes more; at the end of the table return the census.

        A table that can't be listed to its end is listed again from its beginning.
        """
        while pids := self._table.walk(most):
            self._scored += [(score, pid) for pid in pids if (score := self._table.score(pid)) > 0]
            if len(pids) >= most:
                return None
        scored, self._scored = self._scored, []
        return None if pids is None else self._census(scored)

    def _census(self, scored: list[tuple[int, int]]) -> Census:
        entries = {entry.process.pid: entry for entry in self._likely(scored)}
        for pid in self._recorded.keys() - entries.keys():
            entry = self._entry(pid, self._table.score(pid))
            if entry is not None:
                entries[pid] = entry
        kept = sorted(entries.values(), key=_rank, reverse=True)[:_MOST_RECORDED]
        self._recorded = {entry.process.pid: entry.process for entry in kept}
        self._table.read_commands()
        return Census(kept, frozenset(entries.keys() - self._recorded.keys()))

    def _likely(self, scored: list[tuple[int, int]]) -> list[RecordedProcess]:
        scored.sort(reverse=True)
        if len(scored) > MOST_RANKED:
            # Only of those that may be among them: the size of thousands of equals would cost a file each.
            least = scored[MOST_RANKED - 1][0]
            equals = [pair for pair in scored if pair[0] >= least][:_SLICE]
            scored = sorted(equals, key=lambda pair: (pair[0], self._table.resident_bytes(pair[1])), reverse=True)
        entries = (self._entry(pid, score) for score, pid in scored[:MOST_RANKED])
        return [entry for entry in entries if entry is not None]

    def _entry(self, pid: int, score: int) -> RecordedProcess | None:
        process = self._table.read(pid, score)
        if process is None:
            return None
        if self._with_commands:
            known = self._recorded.get(pid)
            is_same = known is not None and known.start_ticks == process.start_ticks
            line = CommandLine(known.command, known.command_trouble) if known is not None and is_same else None
            if line is None or not line.text:
                line = self._table.command(process)
            if line is not None:
                text = line.text[:SHORT_COMMAND_BYTES]
                process = process._replace(command=text, command_trouble=line.trouble)
        return RecordedProcess(process, self._table.resident_bytes(pid))


def _rank(entry: RecordedProcess) -> tuple[int, int]:
    return entry.process.oom_score, entry.resident_bytes


class Tally(NamedTuple):
    """What has been written."""

    readings: int = 0
    tables: int = 0


class Recorder:
    """Makes frames of readings and tables and passes each to `write`. `clock_ms` is monotonic."""

    def __init__(
        self,
        header: Header,
        *,
        read: Callable[[], Reading | None],
        census_taker: CensusTaker,
        clock_ms: Callable[[], int],
        write: Callable[[bytes], None],
    ) -> None:
        self._read = read
        self._census_taker = census_taker
        self._clock_ms = clock_ms
        self._write = write
        self._encoder = Encoder()
        self._start_ms = clock_ms()
        self._table_due_ms = 0
        self._header: Header | None = header
        self.tally = Tally()

    @property
    def elapsed_ms(self) -> int:
        """Since the start of the trace."""
        return self._clock_ms() - self._start_ms

    def turn(self) -> int:
        """Record a reading, and a table if one is due; returns the milliseconds until the next turn.

        Raises what `write` raises.
        """
        if self._header is not None:
            self._write(self._encoder.header(self._header))
            self._header = None
        at_ms = self.elapsed_ms
        reading = self._read()
        if reading is not None:
            self._write(self._encoder.reading(at_ms, reading))
            self.tally = self.tally._replace(readings=self.tally.readings + 1)
        if at_ms >= self._table_due_ms:
            census = self._census_taker.advance(_SLICE if pace_ms(reading) == NEAR_MS else _FAR_SLICE)
            if census is not None:
                self._write(self._encoder.table(self.elapsed_ms, census.entries, census.left_out))
                self.tally = self.tally._replace(tables=self.tally.tables + 1)
                self._table_due_ms = at_ms + FAR_MS
        return max(at_ms + pace_ms(reading) - self.elapsed_ms, 0)


def pace_ms(reading: Reading | None) -> int:
    """Milliseconds until the next reading: where a decision is near, a replay needs ten readings a second."""
    if reading is None:
        return FAR_MS
    is_stalling = reading.pressure is not None and reading.pressure.some_avg10 >= 1
    is_near = reading.available * 100 <= reading.total * _NEAR_PERCENT
    return NEAR_MS if is_near or is_stalling else FAR_MS
