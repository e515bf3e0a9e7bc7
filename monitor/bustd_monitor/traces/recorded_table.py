"""The process table of a trace: it answers what ranking asks of a live one (sensing.process_table)."""

from __future__ import annotations

import os

from bustd_shared.kernel.cgroup_paths import is_member

from ..sensing.kin import Kin
from ..sensing.processes import NOT_ASKED, CommandLine, Process
from ..sensing.unread import ALL_READ, Unread
from .format import Header, Listed
from .records import RecordedProcess

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class RecordedTable:
    """Shows the newest table that was recorded at or before the replay's time."""

    def __init__(self, header: Header) -> None:
        self._boot_ms = header.boot_ms
        self._at_ms = 0
        self._entries: dict[int, RecordedProcess] = {}
        self._new: list[int] = []
        self._left_of_round: list[int] | None = None

    def show(self, table: Listed) -> None:
        """Show this table from now on."""
        entries = {entry.process.pid: entry for entry in table.entries}
        known = {(pid, entry.process.start_ticks) for pid, entry in self._entries.items()}
        self._new += [pid for pid, entry in entries.items() if (pid, entry.process.start_ticks) not in known]
        self._entries = entries

    def at(self, at_ms: int) -> None:
        """Set the replay's time, in milliseconds since the start of the trace."""
        self._at_ms = at_ms

    @property
    def boottime_s(self) -> float:
        """Seconds from the recorded machine's boot to the replay's time."""
        return (self._boot_ms + self._at_ms) / 1000

    def holds(self, pid: int, start_ticks: int) -> bool:
        """Whether this process, and not another one with its PID, is in the table."""
        entry = self._entries.get(pid)
        return entry is not None and entry.process.start_ticks == start_ticks

    # --- what ranking asks

    def walk(self, count: int) -> list[int]:
        """The next PIDs of a round; [] at its end."""
        if self._left_of_round is None:
            self._left_of_round = sorted(self._entries)
        pids, self._left_of_round = self._left_of_round[:count], self._left_of_round[count:]
        if not pids:
            self.rewind()
        return pids

    def rewind(self) -> None:
        """The next walk begins a round."""
        self._left_of_round = None

    def begin_look(self) -> None:
        """Nothing changes during a decision anyway."""

    def end_look(self) -> None:
        """See begin_look."""

    def unread(self) -> Unread:
        """Not recorded."""
        return ALL_READ

    def is_lacking(self, _pid: int) -> bool:
        """No read of a trace lacks a descriptor."""
        return False

    def pids(self) -> list[int]:
        """Every recorded PID."""
        return list(self._entries)

    def newcomers(self) -> list[int] | None:
        """The PIDs of processes that were new in a table since the last call."""
        new, self._new = self._new, []
        return new

    def score(self, pid: int) -> int:
        """The recorded oom_score, 0 if it is gone."""
        entry = self._entries.get(pid)
        return entry.process.oom_score if entry else 0

    def resident_bytes(self, pid: int) -> int:
        """Recorded resident memory, 0 if it is gone."""
        entry = self._entries.get(pid)
        return entry.resident_bytes if entry else 0

    def anonymous_bytes(self, pid: int) -> int:
        """Not recorded: what is known of it is in what `read` returns."""
        return 0

    def allowed_nodes(self, pid: int) -> frozenset[int] | None:
        """Not recorded."""
        return None

    def may_be_looked_at(self, pid: int) -> bool:
        """Whether it was recorded."""
        return pid in self._entries

    def read(self, pid: int, score: int) -> Process | None:
        """The process as it was recorded, without its command line, for which `command` is asked."""
        entry = self._entries.get(pid)
        return entry.process._replace(oom_score=score, command="", command_trouble=NOT_ASKED) if entry else None

    def kin(self, pid: int) -> Kin | None:
        """Where it comes from, as far as that was recorded; None if it is gone."""
        entry = self._entries.get(pid)
        if entry is None:
            return None
        process = entry.process
        return Kin(pid, process.start_ticks, process.comm, process.parent, process.group, process.session)

    def members(self, whole: str) -> list[int]:
        """The PIDs of the recorded processes in the control group and below it."""
        return [pid for pid, entry in self._entries.items() if is_member(entry.process.cgroup, whole)]

    def read_commands(self) -> None:
        """Nothing to do: command lines are known at once."""

    def await_commands(self, most_ms: int) -> None:
        """Nothing to do: command lines are known at once."""

    def command(self, process: Process) -> CommandLine:
        """The command line, an empty one where they were not recorded: no rule matches that, and none is in doubt."""
        entry = self._entries.get(process.pid)
        if entry is None or entry.process.command_trouble == NOT_ASKED:
            return CommandLine(entry.process.command if entry else "")
        return CommandLine(entry.process.command, entry.process.command_trouble)

    def age_ms(self, process: Process | Kin) -> int:
        """How long before the replay's time it was started."""
        return self._boot_ms + self._at_ms - process.start_ticks * 1000 // _TICKS_PER_SECOND
