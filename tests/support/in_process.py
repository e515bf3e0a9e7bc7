"""The killer's slot and checks in the test's own process, where a test can fake time, the machine and the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from bustd_killer.checks import Guard, own_pids
from bustd_killer.flight import Kills
from bustd_killer.policy import Policy
from bustd_killer.stage1.handing_on import LIMITS
from bustd_shared.kernel import procfs
from bustd_shared.rules import killer_toml
from bustd_shared.rules.protection import Protection

_NOBODYS = 2**22
"""No process has this PID."""

LONG_AGO_MS = -60_000
"""When a killer was started that has its whole rate again at the moment 0."""

HELD, _NEVER_WRITTEN = os.pipe()
"""In place of the pidfd of an ancestor that has not ended: it is never readable. Open as long as the tests run."""

DEFAULTS = killer_toml.config_of({})


class FixedMachine:
    """A machine of 1 GiB whose readings the test chooses."""

    def __init__(self, available_percent: int) -> None:
        self.reading = _machine(available_percent)

    def read(self) -> procfs.Meminfo:
        return self.reading

    def becomes(self, available_percent: int) -> None:
        """From now on, this much is available."""
        self.reading = _machine(available_percent)


def policy(**changed: object) -> Policy:
    """The policy of an untouched configuration, without any protection, and with what the test changes."""
    limits = {name: getattr(DEFAULTS, name) for name in LIMITS}
    rules: dict[str, object] = {"peer_uid": os.geteuid(), "protection": Protection()}
    return Policy(**(rules | limits | changed))  # type: ignore[arg-type]


def guard(
    *,
    available_percent: int = 5,
    protection: Protection = Protection(),  # noqa: B008
    **changed: object,
) -> Guard:
    """What the checks rest on. Only descendants of the test may die, as with every killer in a test."""
    own = own_pids(_NOBODYS, _NOBODYS, _NOBODYS)
    told = policy(**{"only_descendants_of": os.getpid(), "ancestor": HELD, "protection": protection} | changed)
    return Guard(told, FixedMachine(available_percent), own)  # type: ignore[arg-type]


@contextmanager
def kills(started_ms: int = LONG_AGO_MS, **changed: object) -> Iterator[Kills]:
    """The slot and the rate of a killer. A kill that is still in flight at the end is released."""
    made = Kills(started_ms, policy(**changed))
    try:
        yield made
    finally:
        for _, pidfd in made.flight.held if made.flight else ():
            os.close(pidfd)


def _machine(available_percent: int) -> procfs.Meminfo:
    available = 2**30 * available_percent // 100
    return procfs.Meminfo(2**30, available, available, 2**30 - available, 0, 0)
