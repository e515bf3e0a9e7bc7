"""How long earlyoom searches for its victim: the time between two of its own lines. A dry run: nobody is killed."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from .peers import Peer

_BEGINS, _ENDS = b"low memory!", b"sending SIG"
_PATIENCE_S = 60.0
_ALWAYS = ("-m", "99,98", "-s", "100,100")
"""Memory is `short` at 99 % available, as it always is."""


class NoSearch(Exception):
    """It did not search: this machine has more than 99 % of its memory available, or the lines have changed."""


def milliseconds(earlyoom: Peer, runs: int) -> list[float]:
    """Of each of so many searches. The first is left out, as everybody's first is."""
    samples, begun_ns = [], 0
    deadline = time.monotonic() + _PATIENCE_S
    with _lines([str(earlyoom.program), "--dryrun", *_ALWAYS, "-r", "3600"]) as descriptor:
        while len(samples) < runs + 1:
            if not select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))[0]:
                raise NoSearch(f"no search by earlyoom within {_PATIENCE_S:.0f} s")
            output, now_ns = os.read(descriptor, 65536), time.perf_counter_ns()
            if not output:
                raise NoSearch("earlyoom ended by itself")
            if begun_ns and _ENDS in output:
                samples.append((now_ns - begun_ns) / 1e6)
                begun_ns = 0
            if _BEGINS in output.rpartition(_ENDS)[2]:
                begun_ns = now_ns
    return samples[1:]


@contextmanager
def _lines(command: list[str]) -> Iterator[int]:
    """The descriptor that its lines come through. It is ended by its PID."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": os.defpath}
    )
    try:
        assert process.stdout is not None
        yield process.stdout.fileno()
    finally:
        process.kill()
        process.communicate()
