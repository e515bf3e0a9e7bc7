"""The serving killer, from its first instruction to its last: what it makes sure of before it serves, and how it ends.

Its exit codes are among those of start.py.
"""

from __future__ import annotations

import gc
import os
import stat
import time
from _signal import SIGKILL, pidfd_send_signal

from bustd_shared.daemon import libc
from bustd_shared.daemon.lines import CRITICAL, PLAIN, SYSLOG, Lines, where
from bustd_shared.daemon.packets import Socket

from . import policy, rehearsal
from .checks import Guard, own_pids
from .facts import MachineFiles, exited
from .peer import Peer
from .policy import Policy
from .rehearsal import Unable
from .server import EXIT_MONITOR_GONE, Server

EX_UNAVAILABLE, EX_SOFTWARE, EX_OSERR, EX_CONFIG = 69, 70, 71, 78
_CAP_KILL = 1 << 5
_NAME = "bustd-killer"
_PATIENCE_MS = 2000


def main(descriptor: int) -> int:
    """Serve by the policy that `descriptor` has, until the end."""
    # First of all: the exec has made it dumpable, so that a process of the same user could trace it.
    is_undumpable = libc.make_undumpable()
    libc.name_process(_NAME.encode())
    log = Lines(_NAME)
    try:
        given = policy.received(descriptor)
        log = _log(given)
        if not is_undumpable:
            raise Unable("the kernel refuses PR_SET_DUMPABLE")
        is_locked = not given.lock_denied and libc.lock_all_memory()
        log("memory is locked" if is_locked else given.lock_denied or "memory is not locked: the kernel refuses it")
        _refuse_other_powers()
        return _serve(given, log)
    except (Unable, OSError) as error:
        log(f"CANNOT PROTECT THIS MACHINE: {error}", CRITICAL)
        return EX_OSERR
    except Exception as error:
        log(f"a bug, please report it: {type(error).__name__}: {error} at {where(error)}", CRITICAL)
        return EX_SOFTWARE


def _log(given: Policy) -> Lines:
    """Where stage 1 wrote to: the system log, or the standard error that it has left here, which does not block."""
    link = Socket(fileno=given.log_link) if given.log_link >= 0 else None
    return Lines(_NAME, link=link, form=given.log_form, safe_bytes=given.log_safe_bytes)


def _log_of_monitor(given: Policy) -> Lines:
    """Where the monitor's lines go: always to the standard error, also where the killer's own go to the system log."""
    link = Socket(fileno=os.dup(2)) if stat.S_ISSOCK(os.fstat(2).st_mode) else None
    form = PLAIN if given.log_form == SYSLOG else given.log_form
    return Lines("bustd-monitor", link=link, form=form, safe_bytes=given.log_safe_bytes)


def _refuse_other_powers() -> None:
    """Nothing but CAP_KILL must have come through the exec; without it, an ordinary user's own processes are left."""
    with open("/proc/self/status", "rb") as status:
        held = [line.split() for line in status if line.startswith((b"CapEff:", b"CapPrm:"))]
    for name, mask in held:
        if int(mask, 16) & ~_CAP_KILL:
            raise Unable(f"capabilities beyond CAP_KILL came through the exec: {name.decode()} {mask.decode()}")


def _serve(given: Policy, log: Lines) -> int:
    guard = Guard(given, _machine(given), own_pids(os.getpid(), os.getppid(), given.monitor))
    gc.collect()
    gc.freeze()
    gc.disable()
    rehearsal.rehearse(given.subject, guard)
    if given.link < 0:
        return Server(guard, log, Socket(fileno=given.listener), None, given.watchdog).serve()
    from .monitor_log import MonitorLog  # only here: in the units the monitor has a log of its own

    monitor_log = MonitorLog(Socket(fileno=given.monitor_log), _log_of_monitor(given), _now_ms())
    pidfd = os.pidfd_open(given.monitor)
    link = Socket(fileno=given.link)
    try:
        peer = Peer(link, given.monitor, given.peer_uid, None, monitor_log)
        code = Server(guard, log, None, peer).serve()
    finally:
        link.close()
        status = _end_monitor(given.monitor, pidfd)
        while monitor_log.copy(_now_ms()):
            pass
    return status if code == EXIT_MONITOR_GONE and status in (EX_UNAVAILABLE, EX_CONFIG) else code


def _machine(given: Policy) -> MachineFiles:
    if not given.group:
        return MachineFiles()
    from .watched import CgroupFiles  # only here: most killers judge by the whole machine

    return CgroupFiles(given.hierarchy, given.group)


def _end_monitor(pid: int, pidfd: int) -> int:
    """Wait for the exit of the monitor, whose link was closed; kill it if it does not exit. Returns its exit code."""
    if not exited([pidfd], _PATIENCE_MS):
        pidfd_send_signal(pidfd, SIGKILL)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
