"""The same event again and again, for months perhaps: it is told with growing pauses."""

from __future__ import annotations

from collections.abc import Callable

from ..deciding.events import Event

_FIRST_MS, _LONGEST_MS = 1000, 600_000


class Repeated:
    """Tells what is news at once, and the same again after 1 s, 2 s, 4 s and so on, up to ten minutes."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._said: dict[str, tuple[int, int]] = {}

    def tell(self, event: Event, now_ms: int, key: str) -> None:
        """Tell it if it is time to (monotonic milliseconds). `key`: what makes it the same."""
        if now_ms < self.due_ms(key):
            return
        _, pause_ms = self._said.get(key, (0, 0))
        self._said[key] = (now_ms, min(2 * pause_ms, _LONGEST_MS) or _FIRST_MS)
        self._tell(event)

    def due_ms(self, key: str) -> int:
        """From when on the same would be told."""
        said_ms, pause_ms = self._said.get(key, (0, 0))
        return said_ms + pause_ms

    def forget(self) -> None:
        """It is over: the next time everything is news."""
        self._said = {}
