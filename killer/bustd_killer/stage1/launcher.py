"""The standalone pair: the privileged parent starts its unprivileged monitor, and then locks itself down."""

from __future__ import annotations

import os
import signal
import sys

import prctl

from bustd_shared.daemon.packets import Socket, pair
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.kernel import priority

from . import landlock, resources, seccomp

_FIRST_FD = 3


class MonitorPlan(NamedTuple):
    """How to start the monitor: `command` is Python's arguments, `uid` -1 is the killer's own.

    `passed`: beside the connection, the name and descriptor of what is opened for it: PSI files, a socket for readers.
    """

    uid: int
    gid: int
    command: tuple[str, ...]
    passed: tuple[tuple[str, int], ...]


class Spawned(NamedTuple):
    """The monitor's PID, this end of its connection, and this end of what it has for a standard error."""

    pid: int
    link: Socket
    log: Socket


def spawn_monitor(plan: MonitorPlan) -> Spawned:
    """Fork and execute the monitor with one end of each of two socketpairs. Raises OSError.

    It gets its descriptors as systemd would pass them (sd_listen_fds(3)), so that it reads them in one way only.
    """
    link, its_link = pair()
    # One packet is one line. Set here and not by the monitor: a log that is not read must never block it.
    log, its_log = pair()
    its_log.setblocking(False)
    pid = os.fork()
    if pid == 0:
        try:
            _become_monitor(plan, its_link.fileno(), its_log.fileno())
        except BaseException as error:
            os.write(2, f"bustd-monitor: it can't be started: {error}\n".encode())
            os._exit(71)
    its_link.close()
    its_log.close()
    for _, descriptor in plan.passed:
        os.close(descriptor)
    return Spawned(pid, link, log)


def _become_monitor(plan: MonitorPlan, link: int, log: int) -> None:
    """In the child: leave root's session, pass the descriptors, then groups, gid, uid and execve, in that order."""
    # A captured monitor must not hold root's terminal (/dev/tty, TIOCSTI), nor the file that root's log is.
    os.setsid()
    priority.raise_priority()
    passed = [("killer", link), *plan.passed]
    # Move them to high numbers first, so that no dup2 below overwrites a descriptor that is still to be moved.
    high = [os.dup2(descriptor, 64 + index, inheritable=False) for index, (_, descriptor) in enumerate(passed)]
    os.dup2(log, 2)
    for index, descriptor in enumerate(high):
        os.dup2(descriptor, _FIRST_FD + index)
    os.closerange(_FIRST_FD + len(passed), os.sysconf("SC_OPEN_MAX"))
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
