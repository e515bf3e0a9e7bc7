"""Facts, requests and guards as the tests of the killer need them: ordinary in everything that they do not name."""

from __future__ import annotations

import os

from bustd_killer.checks import Case, Guard, own_pids
from bustd_killer.facts import Victim
from bustd_killer.policy import Policy
from bustd_protocol.messages import KillRequest, Reason, Scope, Signal
from bustd_shared.kernel.process import ProcEntry
from bustd_shared.kernel.procfs import Meminfo, Stat, Status
from bustd_shared.rules.protection import Protection
from tests.support import in_process

MIB, GIB = 2**20, 2**30
KILLER, PARENT, MONITOR = 640, 600, 812
DEFAULTS = in_process.DEFAULTS
LONG_AGO_MS = in_process.LONG_AGO_MS


def policy(**changed: object) -> Policy:
    """The defaults, and what the test is about."""
    return in_process.policy(**changed)


def stat(**changed: object) -> Stat:
    ordinary = Stat(
        comm=b"leak",
        state=b"S",
        parent=1,
        group=4711,
        session=4700,
        flags=0x400000,
        threads=1,
        start_ticks=90125,
    )
    return ordinary._replace(**changed)


def entry(
    *,
    uid: int = 1000,
    held_bytes: int | None = GIB,
    adj: int = 0,
    cgroup: str = "/app.scope",
    **of_stat: object,
) -> ProcEntry:
    status = Status(uid, held_bytes, None, (uid, uid, uid, uid))
    return ProcEntry(stat(**of_stat), adj, status, f"0::{cgroup}\n".encode())


def request(pid: int = 4711, **changed: object) -> KillRequest:
    ordinary = KillRequest(
        id=7,
        pid=pid,
        start_ticks=90125,
        uid=1000,
        comm=b"leak",
        claimed_bytes=GIB,
        signal=Signal.TERM,
        scope=Scope.PROCESS,
        condition=b"floor",
        monotonic_ms=1,
    )
    return ordinary._replace(**changed)


def machine(
    available_percent: float | None = 5,
    *,
    total: int = 16 * GIB,
    of_user_space: int = 10 * GIB,
) -> Meminfo:
    """`of_user_space` is what is available plus anonymous: the percentage is of that."""
    available = None if available_percent is None else int(of_user_space * available_percent / 100)
    anonymous = of_user_space - (available or 0)
    return Meminfo(total, 0, available, anonymous, 0, 0)


class FakeMachine:
    """Readings that the test decides: a shortage can't be caused on a machine that others work on."""

    def __init__(self, reading: Meminfo | None) -> None:
        self.reading = reading

    def read(self) -> Meminfo | None:
        return self.reading


def guard(
    reading: Meminfo | None = None,
    *,
    protection: Protection | None = None,
    own: dict[int, Reason] | None = None,
    **of_policy: object,
) -> Guard:
    """On a machine that is short of memory, unless the test says otherwise; nothing is protected."""
    return Guard(
        policy(**{"protection": protection or Protection()} | of_policy),
        FakeMachine(reading or machine()),  # type: ignore[arg-type]
        own if own is not None else own_pids(os.getpid(), os.getppid(), 0),
    )


def case(
    of: ProcEntry | None = None,
    asked: KillRequest | None = None,
    *,
    pid: int = 4711,
    is_descendant: bool = True,
    **guarded: object,
) -> Case:
    """What a check looks at: an ordinary process (which nothing holds), the request for it, and `guard(**guarded)`."""
    held = Victim(pid, -1, entry() if of is None else of)
    by = guard(**guarded)  # type: ignore[arg-type]
    told = request(pid) if asked is None else asked
    return Case(held, told.start_ticks, is_descendant, by.machine.read(), told, by)
