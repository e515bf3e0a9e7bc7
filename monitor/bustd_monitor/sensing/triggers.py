"""PSI triggers: the kernel wakes the monitor when programs stall (Documentation/accounting/psi.rst).

To open the file for a window below 2 s takes CAP_SYS_RESOURCE, so a privileged process may open it and pass it on.
Opened without privilege, by the launcher in a container or by the monitor itself, it takes a window of 2 s (Linux 6.5
and later). Without that the monitor polls. All three are ordinary.
"""

from __future__ import annotations

import errno
import os

from bustd_shared.daemon.record import NamedTuple

_STALL_US = {"psi-some": (b"some", 100_000), "psi-full": (b"full", 50_000)}
"""Microseconds of stall within one second that wake the monitor."""


class Triggers(NamedTuple):
    """Descriptors to poll for POLLPRI. `how`: a clause for the log that says how they were opened, or why not."""

    descriptors: tuple[int, ...]
    how: str


def arm_triggers(inherited: dict[str, int], path: str = "/proc/pressure/memory") -> Triggers:
    """Arm the inherited descriptors (`psi-some`, `psi-full`); if there are none, open and arm descriptors of our own.

    An inherited descriptor stays open even if it can't be armed: a monitor that re-executes itself is told the same
    numbers again, and they must not mean another file.
    """
    passed = {name: inherited[name] for name in inherited.keys() & _STALL_US.keys()}
    for window_s, how in ((1, "1 s, opened with privilege"), (2, "2 s, opened for it without privilege")):
        armed = [descriptor for name, descriptor in passed.items() if _arm(descriptor, name, window_s)]
        if armed:
            return Triggers(tuple(sorted(armed)), f"PSI triggers with a window of {how}")
    trouble = ""
    for name in _STALL_US:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            trouble = str(error.strerror)
            break
        if _arm(descriptor, name, window_s=2):
            armed.append(descriptor)
        else:
            trouble = "the kernel takes no trigger from an ordinary user (Linux 6.5 and later do)"
            os.close(descriptor)
    if armed:
        return Triggers(tuple(armed), "PSI triggers with a window of 2 s")
    return Triggers((), f"no PSI triggers, polling instead: {trouble}")


def of_file(inherited: dict[str, int], path: str) -> dict[str, int]:
    """The inherited descriptors that are of this file: units pass the machine's, whichever group is watched."""
    try:
        wanted = os.stat(path)
        return {name: passed for name, passed in inherited.items() if os.path.samestat(os.fstat(passed), wanted)}
    except OSError:
        return {}


def _arm(descriptor: int, name: str, window_s: int) -> bool:
    """Write the trigger. EBUSY: the launcher armed it, or this monitor did before it re-executed itself."""
    kind, stall_us = _STALL_US[name]
    try:
        os.write(descriptor, b"%s %d %d\0" % (kind, stall_us * window_s, 1_000_000 * window_s))
    except OSError as error:
        return error.errno == errno.EBUSY
    return True
