"""PSI triggers: the kernel wakes the monitor when programs stall (Documentation/accounting/psi.rst).

A window below 2 s needs CAP_SYS_RESOURCE when the file is opened, so a privileged process may open it and hand it over.
Without such a descriptor the monitor opens its own with a window of 2 s (Linux 6.5 and later); without that it polls.
All three are ordinary.
"""

from __future__ import annotations

import errno
import os

from bustd_shared.daemon.record import NamedTuple

_STALL_US = {"psi-some": (b"some", 100_000), "psi-full": (b"full", 50_000)}
"""Microseconds of stall within one second that wake the monitor."""


class Triggers(NamedTuple):
    """Descriptors to poll for POLLPRI, and how they were had, for the log."""

    descriptors: tuple[int, ...]
    how: str


def arm_triggers(inherited: dict[str, int], path: str = "/proc/pressure/memory") -> Triggers:
    """Arm what was handed over (`psi-some`, `psi-full`), or open and arm our own, or neither.

    What was handed over stays open even if it is no use: a monitor that re-executes itself is told the same numbers
    again, and must find nothing else there.
    """
    armed = []
    for name in inherited.keys() & _STALL_US.keys():
        if _arm(inherited[name], name, window_s=1):
            armed.append(inherited[name])
    if armed:
        return Triggers(tuple(sorted(armed)), "PSI triggers with a window of 1 s, opened with privilege")
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
    """Those of the descriptors that are of this file: units hand over the machine's, whichever group is watched."""
    try:
        wanted = os.stat(path)
        return {name: passed for name, passed in inherited.items() if os.path.samestat(os.fstat(passed), wanted)}
    except OSError:
        return {}


def _arm(descriptor: int, name: str, window_s: int) -> bool:
    """Write the trigger. EBUSY means that it is armed already: by the launcher, or by our former self."""
    kind, stall_us = _STALL_US[name]
    try:
        os.write(descriptor, b"%s %d %d\0" % (kind, stall_us * window_s, 1_000_000 * window_s))
    except OSError as error:
        return error.errno == errno.EBUSY
    return True
