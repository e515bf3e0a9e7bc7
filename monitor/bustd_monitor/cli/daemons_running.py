"""Which daemons of this kind run here: monitors of bustd, and those of other projects that kill for want of memory."""

from __future__ import annotations

import os
from typing import NamedTuple

from bustd_shared.kernel import procfs
from bustd_shared.kernel.process import read_file, read_stat

MONITOR = b"bustd-monitor"
_ORIGINAL = b"bustd"
OTHERS = {
    b"earlyoom": "earlyoom",
    b"nohang": "nohang",
    b"systemd-oomd": "systemd-oomd",
    b"oomd": "oomd",
    b"low-memory-moni": "low-memory-monitor",
    _ORIGINAL: "the original bustd",
}
"""By the names that the kernel keeps of them (15 bytes)."""
_LAST_SYSTEM_UID = 999
_DYNAMIC_UIDS = range(61184, 65520)
"""Those of DynamicUser= (systemd.exec(5)), as which earlyoom runs."""
_COMMAND_BYTES = 256


class Daemon(NamedTuple):
    """One that runs now."""

    name: str
    pid: int


class Running(NamedTuple):
    """`monitors`: of bustd, by PID. `others`: of other projects."""

    monitors: tuple[int, ...] = ()
    others: tuple[Daemon, ...] = ()


def daemons_running(proc: str = "/proc") -> Running:
    """Only processes of system users count, and the caller's own: any program can call itself earlyoom."""
    monitors, others = [], []
    for name in sorted(filter(str.isdecimal, os.listdir(proc)), key=int):
        pid = int(name)
        stat = read_stat(pid, proc)
        if stat is None or stat.is_dead or stat.comm not in (MONITOR, *OTHERS) or not _counts(pid, proc):
            continue
        if stat.comm == MONITOR:
            monitors.append(pid)
        elif stat.comm != _ORIGINAL or _is_the_original(pid, proc):
            others.append(Daemon(OTHERS[stat.comm], pid))
    return Running(tuple(monitors), tuple(others))


def _counts(pid: int, proc: str) -> bool:
    status = procfs.parse_status(read_file(f"{proc}/{pid}/status") or b"")
    if status is None:
        return False
    return status.uid <= _LAST_SYSTEM_UID or status.uid in _DYNAMIC_UIDS or status.uid == os.geteuid()


def _is_the_original(pid: int, proc: str) -> bool:
    """Our own command is called the same, but its program is Python."""
    program = (read_file(f"{proc}/{pid}/cmdline", _COMMAND_BYTES) or b"").partition(b"\0")[0]
    return program.rpartition(b"/")[2] == _ORIGINAL
