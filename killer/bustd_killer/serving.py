"""The serving killer, from its first instruction to its last: what it makes sure of before it serves, and how it ends.

Its exit codes are among those of start.py.
"""

from __future__ import annotations

import gc
import os
from _signal import ITIMER_REAL, setitimer

from bustd_shared.daemon import libc
from bustd_shared.daemon.lines import CRITICAL, Lines, where
from bustd_shared.daemon.packets import Socket
from bustd_shared.kernel.process import read_file

from . import policy, rehearsal
from .checks import Guard, own_pids
from .facts import MachineFiles
from .policy import Policy
from .rehearsal import Unable
from .server import Server

EX_SOFTWARE, EX_OSERR = 70, 71
_CAP_KILL = 1 << 5
_NAME = "bustd-killer"


def main(descriptor: int) -> int:
    """Serve by the policy that `descriptor` has, until the end."""
    # First of all: the exec has made it dumpable, so that a process of the same user could trace it.
    is_undumpable = libc.make_undumpable()
    libc.name_process(_NAME.encode())
    log = Lines(_NAME)
    try:
        given = policy.received(descriptor)
        for own in (given.listener, given.link, given.monitor_log, given.log_link, given.watchdog, given.ancestor):
            if own >= 0:
                os.set_inheritable(own, False)  # so that nothing else that it might execute has them
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


def _refuse_other_powers() -> None:
    """Nothing but CAP_KILL must have come through the exec; without it, an ordinary user's own processes are left."""
    for line in (read_file("/proc/self/status") or b"").splitlines():
        if line.startswith((b"CapEff:", b"CapPrm:")) and int(line[7:], 16) & ~_CAP_KILL:
            raise Unable(f"capabilities beyond CAP_KILL came through the exec: {line.decode()}")


def _serve(given: Policy, log: Lines) -> int:
    guard = Guard(given, _machine(given), own_pids(os.getpid(), os.getppid(), given.monitor))
    gc.collect()
    gc.freeze()
    gc.disable()
    rehearsal.rehearse(given.subject, guard)
    try:
        if given.link < 0:
            return Server(guard, log, Socket(fileno=given.listener), None, given.watchdog).serve()
        from . import pair  # only here: in the units the monitor is not the killer's child, and has a log of its own

        return pair.serve(guard, log)
    finally:
        setitimer(ITIMER_REAL, 0)  # the interpreter gives signals their defaults back before it ends


def _machine(given: Policy) -> MachineFiles:
    if not given.group:
        return MachineFiles()
    from .watched import CgroupFiles  # only here: most killers judge by the whole machine

    return CgroupFiles(given.hierarchy, given.group)
