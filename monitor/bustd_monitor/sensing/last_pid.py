"""The PID that the kernel assigned last (proc_loadavg(5), the fifth field), from a file that is kept open."""

from __future__ import annotations

import os

from .held_file import HeldFile

_MOST_BYTES = 128


class LastPid:
    """Of the procfs at `proc`."""

    def __init__(self, proc: str) -> None:
        self._loadavg = None if _is_made_up(proc) else HeldFile(f"{proc}/loadavg", _MOST_BYTES)

    def read(self) -> int:
        """0 if it is not known."""
        words = self._loadavg.read().split() if self._loadavg is not None else []
        return int(words[4]) if len(words) > 4 and words[4].isdigit() else 0

    def close(self) -> None:
        """Close the file."""
        if self._loadavg is not None:
            self._loadavg.close()


def _is_made_up(proc: str) -> bool:
    """Whether lxcfs is mounted over the file: it invents the last PID."""
    try:
        return os.stat(f"{proc}/loadavg").st_dev != os.stat(proc).st_dev
    except OSError:
        return True
