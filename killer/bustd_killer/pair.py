"""The killer of a pair, whose monitor is its own child: it copies what that says, and waits for its end.

In the units nothing of this is loaded.
"""

from __future__ import annotations

import os
import stat
import time
from _signal import SIGKILL, pidfd_send_signal

from bustd_shared.daemon.lines import PLAIN, SYSLOG, Lines
from bustd_shared.daemon.packets import Socket

from .checks import Guard
from .facts import exited
from .monitor_log import MonitorLog
from .peer import Peer
from .policy import Policy
from .server import EXIT_MONITOR_GONE, Server

EX_UNAVAILABLE, EX_CONFIG = 69, 78
_PATIENCE_MS = 2000


def serve(guard: Guard, log: Lines) -> int:
    """Serve the one monitor, until it or the killer is told to stop. Returns an exit code: see start."""
    given = guard.policy
    monitor_log = MonitorLog(Socket(fileno=given.monitor_log), _log_of_monitor(given), _now_ms())
    pidfd = os.pidfd_open(given.monitor)
    link = Socket(fileno=given.link)
    try:
        peer = Peer(link, given.monitor, given.peer_uid, None, monitor_log)
        code = Server(guard, log, None, peer).serve()
    finally:
        link.close()
        status = end_monitor(given.monitor, pidfd)
        while monitor_log.copy(_now_ms()):
            pass
    return status if code == EXIT_MONITOR_GONE and status in (EX_UNAVAILABLE, EX_CONFIG) else code


def _log_of_monitor(given: Policy) -> Lines:
    """Where the monitor's lines go: always to the standard error, also where the killer's own go to the system log."""
    link = Socket(fileno=os.dup(2)) if stat.S_ISSOCK(os.fstat(2).st_mode) else None
    form = PLAIN if given.log_form == SYSLOG else given.log_form
    return Lines("bustd-monitor", link=link, form=form, safe_bytes=given.log_safe_bytes)


def end_monitor(pid: int, pidfd: int) -> int:
    """Wait for the exit of the monitor, whose link was closed; kill it if it does not exit. Returns its exit code."""
    if not exited([pidfd], _PATIENCE_MS):
        pidfd_send_signal(pidfd, SIGKILL)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
