"""A page cache that is full, as on every machine that has run for a while: little is free, nearly all is available."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import machine

_PLACE = "/var/tmp"
"""On a disk, unlike /tmp of many machines: a hole of a file in tmpfs takes no page when it is read."""
_FULL_PERCENT = 4
"""So much of RAM stays free: above the watermarks, so that nothing that others have cached is evicted for it."""
_STILL_FULL_PERCENT = 20
_EMPTY_PERCENT = 80
"""So much is free: of RAM when it is full, of what is available when it is empty. In between it is neither."""
_MOST_BYTES = 64 << 30
"""To read more than that takes too long."""
_DROP = Path("/proc/sys/vm/drop_caches")
_PIECE = 8 << 20
_TRIED_AT = 32 * _PIECE


class NotSo(Exception):
    """The page cache is not as it should be, with the reason."""


def free_percent() -> float:
    """MemFree, as a share of MemTotal."""
    memory = machine.meminfo()
    return 100 * memory.free / memory.total


def empty() -> None:
    """Have what is cached and clean dropped, if that is necessary: programs read it again. Raises NotSo."""
    try:
        check_empty()
    except NotSo as error:
        try:
            _DROP.write_text("1")
        except OSError:
            raise NotSo(f"{error}, and only root can empty it") from None
        check_empty()


def check_empty() -> None:
    """Raises NotSo where much of what is available is not free."""
    memory = machine.meminfo()
    if (percent := 100 * memory.free / max(memory.available or 0, 1)) < _EMPTY_PERCENT:
        raise NotSo(f"only {percent:.0f} % of what is available are free: the page cache is not empty")


def check_full() -> None:
    """Raises NotSo where too much of RAM is free."""
    if (percent := free_percent()) > _STILL_FULL_PERCENT:
        raise NotSo(f"{percent:.0f} % of RAM are free again: the page cache did not stay full")


class Filling:
    """A file that is one hole: to read it takes no block of the disk, and its pages can be dropped at any time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._place = 0
        os.ftruncate(descriptor, 4 * machine.meminfo().total)

    def top_up(self) -> None:
        """Read on until little is free; again and again, for programs that end give their memory back. Raises NotSo."""
        piece = bytearray(_PIECE)
        memory = machine.meminfo()
        least = memory.total * _FULL_PERCENT // 100
        end = self._place + memory.free - least
        if end > _MOST_BYTES:
            raise NotSo(f"{end >> 30} GiB would have to be cached: that takes too long")
        while self._place < end:
            self._place += os.preadv(self._descriptor, [piece], self._place)
            if self._place == _TRIED_AT and memory.free - machine.meminfo().free < _TRIED_AT // 2:
                raise NotSo(f"the file system of {_PLACE} caches no page of a hole")
        check_full()


@contextmanager
def filling() -> Iterator[Filling]:
    """What was cached is gone at the end. Raises OSError."""
    with tempfile.TemporaryFile(dir=_PLACE) as file:
        yield Filling(file.fileno())
