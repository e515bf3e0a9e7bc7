"""The process whose descendants alone may die (--only-descendants-of): held, because its number may be reused."""

from __future__ import annotations

import os

from . import process


class AncestorEnded(Exception):
    """It has ended; the text says so, as one sentence."""


def held(pid: int, start_ticks: int = 0) -> int:
    """A pidfd of the process that has this PID and, unless it is 0, this start time. Raises AncestorEnded, and OSError.

    Whoever gives a PID on a command line gives the start time too: until it is read here the PID may be reused.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        raise AncestorEnded(sentence(pid)) from None
    stat = process.read_stat(pid)
    if stat is None or stat.is_dead or start_ticks not in (0, stat.start_ticks):
        os.close(pidfd)
        raise AncestorEnded(sentence(pid))
    return pidfd


def start_ticks(pid: int) -> int:
    """What `held` compares; 0 if there is no such process."""
    stat = process.read_stat(pid)
    return stat.start_ticks if stat is not None and not stat.is_dead else 0


def sentence(pid: int) -> str:
    """That the process is no more, and what that means."""
    return f"the process {pid} has ended, and nothing but its descendants may die: there is nothing left to do"
