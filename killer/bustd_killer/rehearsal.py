"""Before the killer serves a monitor, it shows that a kill works inside the sandbox in which it will kill."""

from __future__ import annotations

import os

from bustd_protocol.messages import KillRequest, Reason, Scope, Signal

from . import aim, checks, facts, flight
from .checks import Guard

_PATIENCE_MS = 2000
_POLICY = (Reason.OUTSIDE, Reason.ADJ, Reason.PROTECTED, Reason.SHRUNK, Reason.NOT_SHORT)


class Unable(Exception):
    """The kernel or the sandbox refuses what a kill needs: fatal. The text names what was refused."""


def rehearse(pid: int, guard: Guard) -> None:
    """Make checks 4 to 9 on the subject, ignore what policy (7 to 9) says, then kill and reap it. Raises Unable."""
    try:
        victim = facts.open_victim(pid)
        if isinstance(victim, Reason):
            raise Unable(f"/proc does not show the killer its own child {pid} ({victim.name.lower()}): is it hidepid?")
        ticks = victim.entry.stat.start_ticks
        case = aim.case_of(victim, KillRequest(1, pid, ticks, 0, b"", 0, Signal.KILL, Scope.PROCESS, b"", 0), guard)
        ruling = aim.first_refusal(case)
        if ruling.reason and ruling.reason not in _POLICY:
            raise Unable(f"the facts of its own child {pid} make no sense: {ruling.reason.name.lower()} {ruling.why}")
        if case.machine is None:
            raise Unable(checks.unreadable(guard.policy))
        for number in (0, Signal.KILL):
            ruling = flight.send_signal(victim.pidfd, number)
            if ruling.reason:
                raise Unable(f"pidfd_send_signal: {ruling.why or ruling.reason.name.lower()}")
        if not facts.exited([victim.pidfd], _PATIENCE_MS):
            raise Unable(f"its own child {pid} outlived SIGKILL by {_PATIENCE_MS} ms")
        os.close(victim.pidfd)
    except OSError as error:
        raise Unable(f"rehearsal: {error}") from error
    os.waitpid(pid, 0)


def prove_on(pid: int) -> str:
    """The same proof on the monitor, the one process of another user that the killer knows: what is wrong, or ""."""
    try:
        monitor = facts.open_victim(pid)
    except OSError as error:
        return f"pidfd_open on the monitor {pid}: {error}"
    if isinstance(monitor, Reason):
        hidden = "/proc hides the monitor from the killer: mount /proc without hidepid, or SupplementaryGroups= on both"
        return hidden if monitor is Reason.HIDDEN else ""
    ruling = flight.send_signal(monitor.pidfd, 0)
    os.close(monitor.pidfd)
    return f"signal 0 to the monitor {pid}: {ruling.why}" if ruling.reason in (Reason.EPERM, Reason.KERNEL) else ""
