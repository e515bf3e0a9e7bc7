"""How many notifications may be shown in a minute, whatever happens. Pure."""

from __future__ import annotations

from typing import NamedTuple

MINUTE_MS = 60_000
MOST_A_MINUTE = 5
KEPT_FOR_DEATHS = 2
"""A warning that changes all the time leaves room for what has died."""


class Pace(NamedTuple):
    """When the last notifications were shown."""

    shown_ms: tuple[int, ...] = ()


def may_show(pace: Pace, now_ms: int, *, is_warning: bool) -> bool:
    """Whether one more may be shown now."""
    most = MOST_A_MINUTE - (KEPT_FOR_DEATHS if is_warning else 0)
    return len(_recent(pace, now_ms)) < most


def shown(pace: Pace, now_ms: int) -> Pace:
    """One was shown."""
    return Pace((*_recent(pace, now_ms), now_ms))


def next_ms(pace: Pace, now_ms: int) -> int:
    """When there will be more room: not before the first of the last minute is out of it."""
    return min(_recent(pace, now_ms), default=now_ms) + MINUTE_MS


def _recent(pace: Pace, now_ms: int) -> tuple[int, ...]:
    return tuple(one for one in pace.shown_ms if now_ms - one < MINUTE_MS)
