"""The standalone pair: the privileged parent starts its unprivileged monitor, and then locks itself down."""

from __future__ import annotations

import os
import signal
import sys

import prctl

from bustd_shared.daemon.packets import Socket, pair
from bustd_shared.daemon.record import NamedTuple

from . import landlock, resources, seccomp

_FIRST_FD = 3


class MonitorPlan(NamedTuple):
    """How to start the monitor: `command` is Python's arguments, `psi` has name and descriptor of each open PSI file.

    `uid` -1: the killer's own.
    """

    uid: int
    gid: int
    command: tuple[str, ...]
    psi: tuple[tuple[str, int], ...]


def spawn_monitor(plan: MonitorPlan, log_fd: int) -> tuple[Socket, int]:
    """Fork and execute the monitor with one end of a socketpair. Returns the other end and the monitor's PID.

    It gets its descriptors as systemd would pass them (sd_listen_fds(3)), so that it reads them in one way only.
    """
    ours, theirs = pair()
    pid = os.fork()
    if pid == 0:
        try:
            _become_monitor(plan, theirs.fileno(), log_fd)
        except BaseException as error:
            os.write(2, f"bustd-killer: the monitor can't be started: {error}\n".encode())
            os._exit(71)
    theirs.close()
    for _, descriptor in plan.psi:
        os.close(descriptor)
    return ours, pid


def _become_monitor(plan: MonitorPlan, link: int, log_fd: int) -> None:
    """In the child: pass the descriptors, rule out new privileges, then groups, gid, uid and execve, in that order."""
    passed = [("killer", link), *plan.psi]
    # Move them to high numbers first, so that no dup2 below overwrites a descriptor that is still to be moved.
    high = [os.dup2(descriptor, 64 + index, inheritable=False) for index, (_, descriptor) in enumerate(passed)]
    os.dup2(log_fd, 2)
    for index, descriptor in enumerate(high):
        os.dup2(descriptor, _FIRST_FD + index)
    os.closerange(_FIRST_FD + len(passed), os.sysconf("SC_OPEN_MAX"))
    # A captured monitor must not read what root types.
    resources.detach_from_input()
    environment = {
        "PATH": os.defpath,
        "LISTEN_PID": str(os.getpid()),
        "LISTEN_FDS": str(len(passed)),
        "LISTEN_FDNAMES": ":".join(name for name, _ in passed),
    }
    try:
        prctl.capbset.limit()
    except PermissionError:
        pass  # an ordinary user can't use it
    prctl.set_no_new_privs(1)
    prctl.set_dumpable(0)
    if plan.uid >= 0:
        os.setgroups([])
        os.setgid(plan.gid)
        os.setuid(plan.uid)
    prctl.set_pdeathsig(signal.SIGTERM)
    # What the units do elsewhere. It holds through the execution, and for each child that the monitor might have.
    landlock.confine_monitor()
    seccomp.filter_monitor()
    os.execve(sys.executable, [sys.executable, "-I", *plan.command], environment)
