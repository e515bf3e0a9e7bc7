"""Command lines, read by a thread of their own: whoever reads one waits for the lock of that process's memory.

A process that is stuck in a page fault can hold that lock for ever (and with FUSE any user can make one that is), and
a thrashing one for seconds. The monitor must not wait with it: it does without command lines then.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

from . import processes
from .processes import Process

_STACK_BYTES = 256 * 1024
_Key = tuple[int, int]


class CommandLines:
    """The command lines of the processes under `proc`.

    `start`: how a thread is begun; who has the time may call the function instead.
    """

    def __init__(
        self, proc: str = "/proc", start: Callable[[Callable[..., object], tuple[object, ...]], object] | None = None
    ) -> None:
        self._proc = proc
        self._start = start or _in_a_thread
        self._wanted: list[_Key] = []
        self._known: dict[_Key, str] = {}
        self._reading = _thread.allocate_lock()

    def of(self, process: Process) -> str | None:
        """The command line, "" if it can't be read; None: not known yet, `read_wanted` has it read."""
        key = (process.pid, process.start_ticks)
        known = self._known.pop(key, None)
        if known is None and key not in self._wanted:
            self._wanted.append(key)
        return known

    def read_wanted(self) -> None:
        """Begin to read what was asked for. What nobody has fetched by now is forgotten, and nothing is waited for."""
        wanted, self._wanted = self._wanted, []  # who is not read now asks again
        if not wanted or not self._reading.acquire(blocking=False):
            return
        self._known = {}
        try:
            self._start(self._read, (wanted,))
        except RuntimeError:  # no further thread (TasksMax=, ENOMEM)
            self._reading.release()

    def wait(self, most_ms: int) -> None:
        """Until what is being read is there, and no longer than that."""
        if self._reading.acquire(timeout=most_ms / 1000):
            self._reading.release()

    def _read(self, wanted: list[_Key]) -> None:
        """In the thread. It may never come back: then nothing further is read."""
        try:
            for key in wanted:
                self._known[key] = processes.read_command(key[0], self._proc)
        finally:
            self._reading.release()


def _in_a_thread(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    _thread.stack_size(_STACK_BYTES)
    _thread.start_new_thread(function, arguments)
