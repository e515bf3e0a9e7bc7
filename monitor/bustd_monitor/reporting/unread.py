"""The words for processes that could not be read: how many, why, and what to do."""

from __future__ import annotations

import errno
import os

from ..sensing.unread import Unread

_REFUSED = "permission denied (a security module or hidepid keeps them from the monitor's user)"
_WHY = {
    errno.EMFILE: "too many open files in the monitor (LimitNOFILE= of its unit)",
    errno.ENFILE: "too many open files in the whole system (fs.file-max)",
    errno.ENOMEM: "the kernel has no memory for an open file",
    errno.EACCES: _REFUSED,
    errno.EPERM: _REFUSED,
}


def words(unread: Unread) -> str:
    """One clause for each reason."""
    clauses = [f"the process table could not be listed: {_why(unread.table)}"] if unread.table else []
    for number, count in unread.processes:
        noun = "process" if count == 1 else "processes"
        clauses.append(f"{count} {noun} could not be read: {_why(number)}")
    return "; ".join(clauses)


def not_all_read(unread: Unread) -> str:
    """That a process was chosen all the same."""
    return f"{words(unread)}; a process was chosen without them, and one of them may hold more"


def _why(number: int) -> str:
    return _WHY.get(number, os.strerror(number))
