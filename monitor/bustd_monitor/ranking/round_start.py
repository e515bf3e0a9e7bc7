"""What a round through the process table began with, so that what was lost and gained since then is known."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

_RETURNED_PART = 256
"""If room grows by a larger part of memory and swap from one look to the next, something has given it back."""


class Room:
    """What is left of memory and swap, without what deaths have given back: that must not hide what is lost next."""

    def __init__(self) -> None:
        self.bytes = 0
        self._last: int | None = None

    def note(self, room_bytes: int, total_bytes: int) -> None:
        """This much is left now, of so much in all."""
        if self._last is None:
            self.bytes = room_bytes
        elif (room_bytes - self._last) * _RETURNED_PART <= total_bytes:
            self.bytes += room_bytes - self._last
        self._last = room_bytes


class RoundStart(NamedTuple):
    """When a round began, and what was available (see Room), had been gained, and was shared by then, in bytes."""

    at_ms: int
    room_bytes: int
    gained_bytes: int
    shared_gained_bytes: int = 0
    shared_bytes: int = 0
