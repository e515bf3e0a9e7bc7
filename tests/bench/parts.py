"""Simulations in parts: in one process or in many, with a word on how far they are."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

_T = TypeVar("_T")


def in_parts(judged: Callable[[range], _T], count: int, at_a_time: int, jobs: int) -> Iterator[_T]:
    """What `judged` makes of the numbers below `count`, so many at a time."""
    parts = [range(first, min(first + at_a_time, count)) for first in range(0, count, at_a_time)]
    if jobs <= 1:
        for done, part in enumerate(parts):
            yield judged(part)
            _say(done + 1, len(parts))
        return
    with ProcessPoolExecutor(jobs) as pool:
        for done, outcome in enumerate(pool.map(judged, parts)):
            yield outcome
            _say(done + 1, len(parts))


def _say(done: int, of: int) -> None:
    if os.isatty(2):
        sys.stderr.write(f"\r{100 * done // of} %")
