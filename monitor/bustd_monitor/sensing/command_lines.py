"""Command lines, read in a thread, because reading one waits for the mmap lock of the process.

A process that is stuck in a page fault can hold that lock for ever, and with FUSE any user can make such a process. A
thrashing process can hold it for seconds. The monitor must not wait with it: it then decides without command lines.
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

    `start` starts a thread that calls a function; a caller that may wait passes one that calls the function itself.
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
        """The command line, "" if it can't be read. None: not known yet; the next `read_wanted` reads it."""
        key = (process.pid, process.start_ticks)
        known = self._known.pop(key, None)
        if known is None and key not in self._wanted:
            self._wanted.append(key)
        return known

    def read_wanted(self) -> None:
        """Start to read the command lines that were asked for, without waiting.

        What was read before and not fetched by `of` is forgotten.
        """
        wanted, self._wanted = self._wanted, []  # what is not read now is asked for again
        if not wanted or not self._reading.acquire(blocking=False):
            return
        self._known = {}
        try:
            self._start(self._read, (wanted,))
        except RuntimeError:  # no thread can be started (TasksMax=, ENOMEM)
            self._reading.release()

    def wait(self, most_ms: int) -> None:
        """Wait until the thread has read them all, at most this many milliseconds."""
        if self._reading.acquire(timeout=most_ms / 1000):
            self._reading.release()

    def _read(self, wanted: list[_Key]) -> None:
        """Runs in the thread. If it never returns, no command line is read any more."""
        try:
            for key in wanted:
                self._known[key] = processes.read_command(key[0], self._proc)
        finally:
            self._reading.release()


def _in_a_thread(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    _thread.stack_size(_STACK_BYTES)
    _thread.start_new_thread(function, arguments)
