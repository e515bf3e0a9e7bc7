"""The members of one kill: which of them the killer was told, and which it is still to be told. Pure.

A request names the first of them, continuations of it the others (SPEC.md, KillRequest). Times are monotonic
milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from bustd_protocol import limits
from bustd_shared.kernel.cgroups import MOST_MEMBERS

from .ranking.order import Candidate
from .sensing.family_members import AnyMembers, FamilyMembers
from .sensing.members import Member, MemberReader

_MOST_ROUNDS = 5
"""How often a group is listed again; what it starts after that is left alone."""
_SPARE_MS = 200
"""So much earlier the last continuation is sent: after CONTINUATION_MS the killer takes it for a request of its own."""


def members_of(candidate: Candidate, reader: MemberReader) -> AnyMembers:
    """What dies with a candidate: everything in its scope, or of that its family."""
    process, family = candidate.process, candidate.family
    if family is None:
        return reader.of(process, candidate.scope)
    members = reader.of(process._replace(twins=()), candidate.scope)  # with all of its group, and not its twins alone
    if family.is_whole:
        return members
    return FamilyMembers(members, family.others, family.kinship, family.born_ticks)


def most_of(members: list[Member], reader: MemberReader) -> list[Member]:
    """As many as can die in a minute: the oldest, which mostly has started the others, and the largest."""
    if len(members) <= MOST_MEMBERS:
        return members
    oldest, start_ticks = min(members, key=lambda member: member[1]), dict(members)
    largest = reader.largest([member for member in members if member != oldest], MOST_MEMBERS - 1)
    return [oldest, *((pid, start_ticks[pid]) for pid in largest)]


class Batch:
    """`members`: as the first look found them."""

    def __init__(self, members: Iterable[Member]) -> None:
        self._waiting = list(members)
        self._known = set(self._waiting)
        self._named: list[Member] = []
        self._left, self._rounds = limits.CONTINUATIONS, _MOST_ROUNDS
        self._not_before_ms = 0
        self._until_ms: int | None = None

    def first(self) -> list[Member]:
        """Those that the request itself names."""
        return self._next()

    def further(self, now_ms: int) -> list[Member]:
        """Those that a continuation names now; none: all are named, or no continuation is permitted now."""
        if self._is_late(now_ms):
            self.end()
        if not self._waiting or not self._may_continue(now_ms):
            return []
        self._left -= 1
        return self._next()

    def may_look_again(self, now_ms: int) -> bool:
        """Whether all are named, and the group should be listed once more. Each look that is permitted counts."""
        if self._waiting or not self._rounds or not self._may_continue(now_ms):
            return False
        self._rounds -= 1
        return True

    def found(self, members: Iterable[Member]) -> None:
        """What a later look has found: those that are new are still to be named."""
        new = [member for member in members if member not in self._known]
        self._known.update(new)
        self._waiting += new

    def put_off(self, now_ms: int, wait_ms: int) -> None:
        """The last continuation was refused because of the rate: its members are named again after this time."""
        self._waiting, self._named = self._named + self._waiting, []
        self._left += 1
        self._not_before_ms = now_ms + wait_ms

    def due_ms(self) -> int | None:
        """When a continuation that was put off can be made, None if there is none."""
        is_put_off = self._not_before_ms > 0 and bool(self._waiting) and self._may_continue(self._not_before_ms)
        return self._not_before_ms if is_put_off else None

    def over(self, now_ms: int) -> None:
        """The victim has died: a continuation is accepted for a short time."""
        self._until_ms = now_ms + limits.CONTINUATION_MS - _SPARE_MS

    def end(self) -> None:
        """Nothing more is named: the victim lives."""
        self._left = 0

    def _may_continue(self, now_ms: int) -> bool:
        return self._left > 0 and now_ms >= self._not_before_ms and not self._is_late(now_ms)

    def _is_late(self, now_ms: int) -> bool:
        return self._until_ms is not None and now_ms > self._until_ms

    def _next(self) -> list[Member]:
        self._named, self._waiting = self._waiting[: limits.MEMBERS], self._waiting[limits.MEMBERS :]
        self._not_before_ms = 0
        return self._named
