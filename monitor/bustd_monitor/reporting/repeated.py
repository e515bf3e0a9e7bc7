"""The same sentence again and again, for months perhaps: it is said with growing pauses."""

from __future__ import annotations

from collections.abc import Callable

_FIRST_MS, _LONGEST_MS = 1000, 600_000


class Repeated:
    """Says what is news at once, and the same again after 1 s, 2 s, 4 s and so on, up to ten minutes."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[str, tuple[int, int]] = {}

    def say(self, sentence: str, now_ms: int, key: str = "") -> None:
        """Say it if it is time to (monotonic milliseconds). `key`: what makes it the same, if not the sentence."""
        key = key or sentence
        said_ms, pause_ms = self._said.get(key, (0, 0))
        if pause_ms and now_ms - said_ms < pause_ms:
            return
        self._said[key] = (now_ms, min(2 * pause_ms, _LONGEST_MS) or _FIRST_MS)
        self._say(sentence)

    def forget(self) -> None:
        """It is over: the next time everything is news."""
        self._said = {}
