"""Which other daemons that kill for want of memory run beside this one: neither would know of the other's kills."""

from __future__ import annotations

import os

_NAMES = ("earlyoom", "nohang", "oomd", "systemd-oomd")


def other_daemons(proc: str = "/proc") -> list[str]:
    """Their names, each once. Any program can take one: this is for a line of the log, and decides nothing."""
    found = set()
    for name in os.listdir(proc):
        if name.isdigit():
            try:
                with open(f"{proc}/{name}/comm", "rb") as file:
                    found.add(file.read().rstrip(b"\n"))
            except OSError:  # it is gone
                continue
    return [name for name in _NAMES if name.encode() in found]
