"""Run a function in a forked child, so that what it imports and allocates never becomes resident in the parent."""

from __future__ import annotations

import os

import msgpack

from .log import printable

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


_PIPE_ATOMIC_BYTES = 4096
"""PIPE_BUF: a write of at most this many bytes does not block where poll(2) says writable (pipe(7))."""


class ChildFailed(Exception):
    """The child could not be started, or ended without a result; the text is one sentence that says why."""


def in_child(function: Callable[[], object]) -> object:
    """What `function` returns when it is called in a child process: a plain value, in which tuples become lists.

    Raises ChildFailed. No signal is sent, so a function that never returns blocks the parent. Where the child is reaped
    elsewhere (SIGCHLD ignored), the result counts all the same.
    """
    try:
        reader, writer = os.pipe()
    except OSError as error:
        raise ChildFailed(f"no pipe to a child process: {error.strerror}") from None
    try:
        pid = os.fork()
    except OSError as error:
        os.close(reader)
        os.close(writer)
        raise ChildFailed(f"a child process can't be started: {error.strerror}") from None
    if pid == 0:
        _child(function, reader, writer)
    os.close(writer)
    try:
        packed = _read_to_end(reader)
    finally:
        # In this order: a child that is still writing gets EPIPE, instead of waiting for a reader without end.
        os.close(reader)
        status = _reap(pid)
    if status < 0:
        raise ChildFailed(f"the child process was killed by signal {-status}")
    try:
        succeeded, result = _pair(msgpack.unpackb(packed))
    except ValueError:
        raise ChildFailed(f"the child process ended with status {status} and no result") from None
    if not succeeded:
        raise ChildFailed(f"the child process failed: {result}")
    return result


def _child(function: Callable[[], object], reader: int, writer: int) -> NoReturn:
    """Never returns or raises: the child must not unwind the parent's stack."""
    status = 70
    try:
        # The parent's end must be the only one: otherwise a write after the parent's death would wait and not fail.
        os.close(reader)
        status = _run(function, writer)
    finally:
        os._exit(status)


def _run(function: Callable[[], object], writer: int) -> int:
    """Send `[true, result]`, or `[false, why there is none]`. Returns the exit status."""
    try:
        packed, status = msgpack.packb([True, function()]), 0
    except BaseException as error:  # every failure is sent to the parent, which raises
        sentence = printable(f"{type(error).__name__}: {error}")
        _say(f"child process {os.getpid()}: {sentence}\n")
        packed, status = msgpack.packb([False, sentence]), 70
    _write_whole(writer, packed)
    return status


def _say(line: str) -> None:
    """Write to standard error if that does not block: a full log pipe must not stop a daemon."""
    from select import select

    try:
        if select([], [2], [], 0)[1]:
            os.write(2, line.encode("utf-8", "backslashreplace")[:_PIPE_ATOMIC_BYTES])
    except OSError:
        pass  # there is no standard error; the parent gets the sentence all the same


def _write_whole(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _read_to_end(descriptor: int) -> bytes:
    """Everything up to the end of file. Python restarts a read that a signal interrupts (PEP 475)."""
    chunks = []
    while chunk := os.read(descriptor, 65536):
        chunks.append(chunk)
    return b"".join(chunks)


def _reap(pid: int) -> int:
    """The exit status, or minus the signal; 0 if the child was reaped elsewhere: then only its result counts."""
    try:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:
        return 0


def _pair(result: object) -> tuple[bool, object]:
    if isinstance(result, list) and len(result) == 2 and isinstance(result[0], bool):
        return result[0], result[1]
    raise ValueError("not a result")
