"""What a search knows of the start of a round, to tell what was lost and who gained it since then. Pure."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple


class RoundStart(NamedTuple):
    """When a round began, and what was available, had been gained, and was shared by then, in bytes."""

    at_ms: int
    room_bytes: int
    gained_bytes: int
    shared_gained_bytes: int = 0
    shared_bytes: int = 0

    def with_returned(self, returned_bytes: int) -> RoundStart:
        """The same, with what a death has given back since: it was lost before, and must not hide what is lost next."""
        return self._replace(room_bytes=self.room_bytes + returned_bytes)
