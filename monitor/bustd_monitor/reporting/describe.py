"""What psutil knows of a process, for people: the commands show it, the resident daemons never import it."""

from __future__ import annotations

import time

import psutil

from bustd_shared.daemon.log import printable

_LONGEST_COMMAND = 60


def describe(pid: int) -> str:
    """User, age, command line and parents, in one line; what can't be read is left out."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            words = [f"user {process.username()}", f"{age(time.time() - process.create_time())} old"]
            command = printable(" ".join(process.cmdline()))
            if command:
                shown = command if len(command) <= _LONGEST_COMMAND else command[: _LONGEST_COMMAND - 1] + "…"
                words.append(f"`{shown}`")
            parents = [printable(parent.name()) for parent in process.parents()]
    except psutil.Error:
        return "gone, or not to be seen"
    if parents:
        words.append(f"started by {' < '.join(parents)}")
    return ", ".join(words)


def age(seconds: float) -> str:
    """A duration for people: `42 s`, `3 min`, `5 h`, `9 days`."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"
