"""Whether one input is a fault, by time and memory too."""

from __future__ import annotations

import resource
import time

from tests.fuzz.targets import Target

_TRIES = 3


class Excess(Exception):
    """One input took too much time or memory."""


def judge(target: Target, data: bytes) -> None:
    """Raises for a fault. What is too slow once is tried again: on a busy machine one time says little."""
    took_ms, grown_mib = measured(target, data)
    if grown_mib > target.most_mib:
        raise Excess(f"{grown_mib} MiB for one input, and at most {target.most_mib} are allowed")
    if took_ms > target.most_ms:
        took_ms = min(measured(target, data)[0] for _ in range(_TRIES))
        if took_ms > target.most_ms:
            raise Excess(f"{took_ms:.0f} ms for one input, and at most {target.most_ms} are allowed")


def measured(target: Target, data: bytes) -> tuple[float, int]:
    """Milliseconds of processor time, and MiB by which the largest size of this process has grown."""
    began, before = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    target.run(data)
    took_ms = (time.thread_time() - began) * 1000
    return took_ms, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10
