"""What a round through the process table began with, so that what was lost and gained since then is known."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple


class RoundStart(NamedTuple):
    """When a round began, and what was available, had been gained, and was shared by then, in bytes."""

    at_ms: int
    room_bytes: int
    gained_bytes: int
    shared_gained_bytes: int = 0
    shared_bytes: int = 0
