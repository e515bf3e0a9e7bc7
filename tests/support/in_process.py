"""The killer's slot and checks in the test's own process, where a test can fake time, the machine and the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bustd_killer.checks import Guard, OwnPids
from bustd_killer.facts import Machine
from bustd_killer.flight import Kills
from bustd_shared.kernel import procfs
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection

_NOBODYS = 2**22
"""No process has this PID."""


class FixedMachine:
    """A machine of 1 GiB whose readings the test chooses."""

    def __init__(self, available_percent: int, some_avg10: float) -> None:
        available = 2**30 * available_percent // 100
        meminfo = procfs.Meminfo(2**30, available, available, 2**30 - available, 0, 0)
        self._reading = Machine(meminfo, some_avg10)

    def read(self) -> Machine:
        return self._reading


def guard(
    *,
    available_percent: int = 5,
    some_avg10: float = 0.0,
    protection: Protection = Protection(),  # noqa: B008
    limits: dict[str, int] | None = None,
    rate: dict[str, int] | None = None,
    grace: dict[str, int] | None = None,
    hierarchy: str = "",
) -> Guard:
    """What the checks rest on. Only descendants of the test may die, as with every killer in a test."""
    tables = {"peer": {"user": os.geteuid()}, "limits": limits or {}, "rate": rate or {}, "grace": grace or {}}
    config = killer_toml.config_of(tables)
    machine = FixedMachine(available_percent, some_avg10)
    own = OwnPids(_NOBODYS, _NOBODYS, _NOBODYS)
    return Guard(config, protection, machine, own, os.getpid(), hierarchy)  # type: ignore[arg-type]


@contextmanager
def kills() -> Iterator[Kills]:
    """The slot and the rate of a killer. A kill that is still in flight at the end is released."""
    made = Kills()
    try:
        yield made
    finally:
        for pidfd in made.flight.pidfds if made.flight else ():
            os.close(pidfd)
