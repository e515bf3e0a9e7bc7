"""Which processes could not be read, and why: it says nothing about whether they live, or what they hold.

A process that is gone is no error (ENOENT, ESRCH). One that refuses to be read, as by a security module or hidepid
(EACCES, EPERM), is left out, and counted. A lack of descriptors or memory (EMFILE, ENFILE, ENOMEM) is the monitor's own
trouble: it is counted too, and what was known of the process before still holds.
"""

from __future__ import annotations

import errno

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel.process import LACKING

_REFUSING = (errno.EACCES, errno.EPERM)
RAISED = LACKING + _REFUSING
"""The error numbers that readers of a process raise."""

_THE_TABLE = 0
"""In place of a PID: the process table itself could not be listed."""


class Unread(NamedTuple):
    """`processes`: for each error number how many could not be read for it, the most first.

    `table`: the error number for which the process table could not be listed, 0 if it could.
    """

    processes: tuple[tuple[int, int], ...] = ()
    table: int = 0

    @property
    def reasons(self) -> list[int]:
        """The error numbers, each once."""
        return sorted({self.table, *(number for number, _ in self.processes)})


ALL_READ = Unread()


class UnreadProcesses:
    """What the reads of one round of the process table came to. `may_refuse`: that a process refuses is no news."""

    def __init__(self, *, may_refuse: bool = False) -> None:
        self._may_refuse = may_refuse
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def note(self, pid: int, error: OSError) -> None:
        """This process could not be read."""
        number = error.errno or 0
        if number in LACKING or not self._may_refuse:
            self._now[pid] = number

    def note_table(self, error: OSError) -> None:
        """The process table could not be listed."""
        self._now[_THE_TABLE] = error.errno or 0

    def is_known(self, pid: int) -> None:
        """It was read, or has exited: nothing is missed of it."""
        if self._now or self._before:
            self._now.pop(pid, None)
            self._before.pop(pid, None)

    def is_lacking(self, pid: int) -> bool:
        """Whether this one could not be read for a lack of descriptors or memory."""
        return self._now.get(pid) in LACKING

    def begin_round(self) -> None:
        """From now on every process is read again. What the last round could not read counts until its end."""
        self._before, self._now = self._now, {}

    def end_round(self) -> None:
        """Every process has been read again."""
        self._before = {}

    def count(self) -> Unread:
        """What could not be read."""
        unread = {**self._before, **self._now}
        if not unread:
            return ALL_READ
        table, counts = unread.pop(_THE_TABLE, 0), dict[int, int]()
        for number in unread.values():
            counts[number] = counts.get(number, 0) + 1
        return Unread(tuple(sorted(counts.items(), key=lambda pair: pair[1], reverse=True)), table)
