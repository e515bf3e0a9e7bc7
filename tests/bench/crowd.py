"""Many small processes, started cheaply and ended one by one by the PIDs that were started here."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import machine

_SLEEP = next((path for path in ("/bin/sleep", "/usr/bin/sleep") if Path(path).exists()), "/bin/sleep")
_LONGEST_LIFE_S = "600"
"""Should this program be killed, they end by themselves."""
_BYTES_EACH = 2**20
_SPARE_BYTES = 2**30
_SPARE_TASKS = 500


class NoRoom(Exception):
    """This machine can't hold so many processes, with the reason."""


@contextmanager
def sleepers(count: int, *, in_one_group: bool = False) -> Iterator[list[int]]:
    """`count` children that sleep, as PIDs; they are ended and reaped here, also those that were killed meanwhile.

    `in_one_group`: in a process group of which the first is the leader.

    A PID that is this process's own child can't be reused before it is reaped, so nobody else can be hit.
    """
    _check_room(count)
    pids: list[int] = []
    closed = [
        (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
        (os.POSIX_SPAWN_OPEN, 2, "/dev/null", os.O_WRONLY, 0),
    ]
    try:
        for _ in range(count):
            try:
                group = {"setpgroup": pids[0] if pids else 0} if in_one_group else {}
                pids.append(os.posix_spawn(_SLEEP, ["sleep", _LONGEST_LIFE_S], {}, file_actions=closed, **group))
            except OSError as error:
                raise NoRoom(f"no more than {len(pids)} processes can be started: {error.strerror}") from None
        yield pids
    finally:
        for pid in pids:  # one after the other: thousands that exit at once are a load that others feel
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _check_room(count: int) -> None:
    """Neither the limit of processes nor memory may become short for others. Raises NoRoom."""
    tasks = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[2])
    for limit in ("pid_max", "threads-max"):
        most = int(Path("/proc/sys/kernel", limit).read_text())
        if tasks + count + _SPARE_TASKS > most:
            raise NoRoom(f"kernel.{limit} is {most}, and {tasks} tasks exist already")
    available = machine.meminfo().available or 0
    if available < count * _BYTES_EACH + _SPARE_BYTES:
        raise NoRoom(f"only {available >> 20} MiB of memory are available")
