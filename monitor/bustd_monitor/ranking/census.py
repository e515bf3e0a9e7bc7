"""How much each process of the table was seen to hold at the last rounds: so growth in many small hands is found.

It costs no reading: the walk looks at each process anyway. To keep it small it is arrays of 32-bit numbers.
"""

from __future__ import annotations

from array import array

from bustd_shared.daemon.record import NamedTuple

from . import growth

_OLDEST_MS = 120_000
"""What was seen longer ago says nothing about who takes memory now."""
_YOUNGEST_MS = 900
"""In less time nothing can be seen to grow."""


class Count(NamedTuple):
    """One round: when it began, what was available then (bytes), and PIDs and resident KiB in the same order."""

    at_ms: int
    room_bytes: int
    pids: array[int]
    kib: array[int]


class Before(NamedTuple):
    """What each process held (resident bytes) at an earlier time, and what was available then."""

    room_bytes: int
    resident: dict[int, int]


class SizeCensus:
    """Three rounds are kept: an earlier one to compare with, the one that will replace it, and the last.

    Times are monotonic milliseconds.
    """

    def __init__(self) -> None:
        self._earlier: Count | None = None
        self._later: Count | None = None
        self._last: Count | None = None
        self._current = _begun(0, 0)

    def begin(self, now_ms: int, room_bytes: int) -> None:
        """A round begins."""
        self._current = _begun(now_ms, room_bytes)

    def saw(self, pid: int, resident_bytes: int) -> None:
        """A process was looked at, in a round or because it is new."""
        self._current.pids.append(pid)
        self._current.kib.append(min(resident_bytes // 1024, 2**32 - 1))

    def end(self) -> None:
        """The round is complete."""
        done = self._last = self._current
        self._current = _begun(done.at_ms, done.room_bytes)
        if self._earlier is None or done.at_ms - self._earlier.at_ms > _OLDEST_MS:
            self._earlier, self._later = done, None
        elif self._later is None:
            self._later = done if done.at_ms - self._earlier.at_ms >= growth.WINDOW_MS else None
        elif done.at_ms - self._later.at_ms >= growth.WINDOW_MS:
            self._earlier, self._later = self._later, done

    def resident(self) -> dict[int, int]:
        """PIDs and resident bytes as each was seen last."""
        counts = (self._current,) if self._last is None else (self._last, self._current)
        return {pid: kib * 1024 for count in counts for pid, kib in zip(count.pids, count.kib, strict=True)}

    def before(self, now_ms: int) -> Before | None:
        """What to compare with: ten to twenty seconds old where there are such rounds; None if all are too young."""
        earlier = self._earlier
        if earlier is None or not _YOUNGEST_MS <= now_ms - earlier.at_ms <= _OLDEST_MS:
            return None
        seen = zip(earlier.pids, earlier.kib, strict=True)
        return Before(earlier.room_bytes, {pid: kib * 1024 for pid, kib in seen})


def _begun(now_ms: int, room_bytes: int) -> Count:
    return Count(now_ms, room_bytes, array("I"), array("I"))
