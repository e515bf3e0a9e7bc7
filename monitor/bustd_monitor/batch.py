"""The members of one kill: which of them the killer was told, and which are still to be named. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from bustd_protocol import limits

Member = tuple[int, int]
_MOST_ROUNDS = 5
"""How often a group is listed again; what it starts after that is left alone."""


class Batch:
    """`members` are (PID, start time in clock ticks), as the first look found them."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._waiting = list(members)
        self._known = set(self._waiting)
        self._continuations = self._rounds = 0

    def first(self) -> list[Member]:
        """Those that the request itself names."""
        return self._next()

    def further(self) -> list[Member]:
        """Those that the next continuation names; none: there is no one left, or no continuation."""
        if not self._waiting or self._continuations >= limits.CONTINUATIONS:
            return []
        self._continuations += 1
        return self._next()

    def may_look_again(self) -> bool:
        """Whether all are named and the group should be listed once more. Each call counts."""
        if self._waiting or self._rounds >= _MOST_ROUNDS:
            return False
        self._rounds += 1
        return True

    def found(self, members: Iterable[Member]) -> None:
        """What a later look has found: those that came meanwhile are still to be named."""
        new = [member for member in members if member not in self._known]
        self._known.update(new)
        self._waiting += new

    def _next(self) -> list[Member]:
        named, self._waiting = self._waiting[: limits.MEMBERS], self._waiting[limits.MEMBERS :]
        return named
