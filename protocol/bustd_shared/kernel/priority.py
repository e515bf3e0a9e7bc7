"""The highest priority of the ordinary scheduler, nice -20, for a process and its session.

With autogroups (sched(7)) nice weighs a process only against others of its session, and every session gets the same.
"""

from __future__ import annotations

import os

from .process import read_stat

_HIGHEST = -20


def raise_priority() -> None:
    """Raise that of this process, and of its session where no other program is in it. Without the right to, neither.

    It takes root, or RLIMIT_NICE (`LimitNICE=` of the units, which permit no setpriority(2) and set nice themselves).
    """
    for raise_one in (_raise_process, _raise_session):
        try:
            raise_one()
        except OSError:
            pass


def _raise_process() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, _HIGHEST)


def _raise_session() -> None:
    """Unless another program is in it: a daemon's has no leader any more, and that of a terminal has its shell.

    The number of a leader that is gone belongs to no other process as long as its session lasts (kernel/pid.c).
    """
    own = read_stat(os.getpid())
    if own is None:
        return
    leader = read_stat(own.session) if own.session != os.getpid() else None
    if leader is None or leader.is_dead:
        with open("/proc/self/autogroup", "w", encoding="ascii") as autogroup:
            autogroup.write(str(_HIGHEST))
