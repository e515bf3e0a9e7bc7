"""The descriptors that a daemon is started with (sd_listen_fds(3)): by systemd, or by the killer of a pair."""

from __future__ import annotations

import os

_FIRST_FD = 3


def inherited_descriptors() -> dict[str, int]:
    """Descriptors by name; empty if none are ours.

    `killer` is a connection, `psi-some` and `psi-full` are PSI files, `events` is a socket that listens for readers.

    The environment is left as it is: a monitor that re-executes itself finds them again.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return {}
    names = os.environ.get("LISTEN_FDNAMES", "").split(":")
    count = os.environ.get("LISTEN_FDS", "")
    return {name: _FIRST_FD + index for index, name in enumerate(names[: int(count) if count.isdecimal() else 0])}
