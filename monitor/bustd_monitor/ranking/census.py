"""How much each process of the table was seen to hold at the last rounds: so growth in many small hands is found.

It costs no reading: the walk looks at each process anyway. To keep it small it is arrays of 32-bit numbers.
"""

from __future__ import annotations

from array import array

from bustd_shared.daemon.record import NamedTuple

from . import growth

_OLDEST_MS = 120_000
"""What was seen longer ago says nothing about who takes memory now."""
_YOUNGEST_MS = 400
"""In less time nothing can be seen to grow."""


class Count(NamedTuple):
    """One round: when it began, what was available then (bytes), and PIDs and resident KiB in the same order."""

    at_ms: int
    room_bytes: int
    pids: array[int]
    resident: array[int]

    def kib(self) -> dict[int, int]:
        """PIDs and resident KiB. Among ten thousand processes this takes milliseconds."""
        return dict(zip(self.pids, self.resident, strict=True))


class SizeCensus:
    """Three rounds are kept: an earlier one to compare with, the one that will replace it, and the last.

    Times are monotonic milliseconds.
    """

    def __init__(self) -> None:
        self._earlier: Count | None = None
        self._later: Count | None = None
        self._last: Count | None = None
        self._current = _begun(0, 0)

    def forget(self) -> None:
        """Nobody has looked for a while: what has come since then has not gained all that it holds just now."""
        self._earlier = self._later = self._last = None

    def begin(self, now_ms: int, room_bytes: int) -> None:
        """A round begins."""
        self._current = _begun(now_ms, room_bytes)

    def saw(self, pid: int, resident_bytes: int) -> None:
        """A process was looked at, in a round or because it is new."""
        self._current.pids.append(pid)
        self._current.resident.append(min(resident_bytes // 1024, 2**32 - 1))

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

    def kib(self) -> dict[int, int]:
        """PIDs and resident KiB as each was seen last."""
        return (self._last.kib() if self._last is not None else {}) | self._current.kib()

    def before(self, now_ms: int) -> Count | None:
        """What to compare with: ten to twenty seconds old where there are such rounds; None if all are too young."""
        earlier = self._earlier
        if earlier is None or not _YOUNGEST_MS <= now_ms - earlier.at_ms <= _OLDEST_MS:
            return None
        return earlier


def _begun(now_ms: int, room_bytes: int) -> Count:
    return Count(now_ms, room_bytes, array("I"), array("I"))
