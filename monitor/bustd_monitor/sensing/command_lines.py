"""Command lines, read in a thread, because reading one waits for the mmap lock of the process.

A process that is stuck in a page fault can hold that lock for ever, and with FUSE any user can make such a process. A
thrashing process can hold it for seconds. The monitor must not wait with it: it then decides without that command line,
and a second thread reads those of the other processes.
"""

from __future__ import annotations

import _thread
import time
from collections.abc import Callable

from . import processes
from .processes import SHORT_COMMAND_BYTES, CommandLine, Process

MOST_LONG_BYTES = 2**20
"""What all command lines above SHORT_COMMAND_BYTES may take together: any user can start many of 128 KiB each."""

HANGS = "can't be read: that takes more than a second"
TOO_MANY = "is long, as are too many others"
_HANGS_MS = 1000
_MOST_GIVEN_UP = 1
"""Threads that hang; each counts for the unit's TasksMax=."""

_STACK_BYTES = 256 * 1024
_Key = tuple[int, int]


class _Reader:
    """One thread: whether it is at work, and what it is reading since when."""

    def __init__(self) -> None:
        self.at_work = _thread.allocate_lock()
        self.key: _Key | None = None
        self.since_ms = 0
        self.is_given_up = False


class CommandLines:
    """The command lines of the processes under `proc`.

    `start` starts a thread that calls a function; a caller that may wait passes one that calls the function itself.
    `clock_ms` is monotonic.
    """

    def __init__(
        self,
        proc: str = "/proc",
        start: Callable[[Callable[..., object], tuple[object, ...]], object] | None = None,
        clock_ms: Callable[[], int] | None = None,
    ) -> None:
        self._proc = proc
        self._start = start or _in_a_thread
        self._clock_ms = clock_ms or _monotonic_ms
        self._wanted: list[_Key] = []
        self._known: dict[_Key, CommandLine] = {}
        self._reader = _Reader()
        self._given_up: list[_Reader] = []

    def of(self, process: Process) -> CommandLine | None:
        """The command line. None: not known yet; the next `read_wanted` reads it."""
        key = (process.pid, process.start_ticks)
        if any(reader.key == key for reader in self._given_up):
            return CommandLine(trouble=HANGS)
        known = self._known.pop(key, None)
        if known is None and key not in self._wanted:
            self._wanted.append(key)
        return known

    def read_wanted(self) -> None:
        """Start to read the command lines that were asked for, without waiting.

        What was read before and not fetched by `of` is forgotten.
        """
        self._give_up_what_hangs()
        hanging = [reader.key for reader in self._given_up]
        wanted = [key for key in self._wanted if key not in hanging]
        self._wanted = []  # what is not read now is asked for again
        reader = self._reader
        if not wanted or not reader.at_work.acquire(blocking=False):
            return
        self._known = {}
        reader.key, reader.since_ms = wanted[0], self._clock_ms()
        try:
            self._start(self._read, (reader, wanted))
        except RuntimeError:  # no thread can be started (TasksMax=, ENOMEM)
            reader.at_work.release()

    def wait(self, most_ms: int) -> None:
        """Wait until the thread has read them all, at most this many milliseconds."""
        if self._reader.at_work.acquire(timeout=most_ms / 1000):
            self._reader.at_work.release()

    def _give_up_what_hangs(self) -> None:
        """One process that does not let its command line be read must not keep those of all others unknown."""
        self._given_up = [reader for reader in self._given_up if reader.at_work.locked()]
        reader = self._reader
        hangs = reader.key is not None and self._clock_ms() >= reader.since_ms + _HANGS_MS
        if hangs and reader.at_work.locked() and len(self._given_up) < _MOST_GIVEN_UP:
            reader.is_given_up = True
            self._given_up.append(reader)
            self._reader = _Reader()

    def _read(self, reader: _Reader, wanted: list[_Key]) -> None:
        """Runs in the thread, which may hang in any of them."""
        left_bytes = MOST_LONG_BYTES
        try:
            for key in wanted:
                if key != reader.key:
                    reader.key, reader.since_ms = key, self._clock_ms()
                line = processes.read_command(key[0], self._proc)
                if reader.is_given_up:
                    return
                line = kept(line, left_bytes)
                left_bytes -= long_bytes(line)
                self._known[key] = line
        finally:
            reader.key = None
            reader.at_work.release()


def long_bytes(line: CommandLine) -> int:
    """What it takes of MOST_LONG_BYTES."""
    characters = len(line.text)
    if characters <= SHORT_COMMAND_BYTES:
        return 0
    return characters if line.text.isascii() else 4 * characters  # str holds at most four bytes for each


def kept(line: CommandLine, left_bytes: int) -> CommandLine:
    """The command line, or its beginning where `left_bytes` are too few for it."""
    if long_bytes(line) <= left_bytes:
        return line
    return CommandLine(line.text[:SHORT_COMMAND_BYTES], TOO_MANY)


def _monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def _in_a_thread(function: Callable[..., object], arguments: tuple[object, ...]) -> None:
    _thread.stack_size(_STACK_BYTES)
    _thread.start_new_thread(function, arguments)
