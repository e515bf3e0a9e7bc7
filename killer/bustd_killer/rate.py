"""How much the killer does in a time, whatever it is asked: kills, processes looked at, messages, lines of log.

Pure; times are monotonic milliseconds. All of it holds over all connections since the start.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from .policy import Policy

_MINUTE_MS = 60_000


class Rate(NamedTuple):
    """What the limit of kills remembers: when the whole burst is free again, and the last minute.

    `kills_ms`: when a kill began. `signalled`: when, and how many processes; continuations of a kill are in it too.
    """

    burst_free_ms: int
    kills_ms: tuple[int, ...] = ()
    signalled: tuple[tuple[int, int], ...] = ()


def at_start(now_ms: int, policy: Policy) -> Rate:
    """An empty burst and half a minute's kills used: a killer that is made to start again gains nothing by that."""
    return Rate(now_ms + policy.burst * policy.interval_ms, (now_ms,) * (policy.per_minute // 2))


def after_kill(rate: Rate, now_ms: int, signalled: int, policy: Policy) -> Rate:
    """The rate after one more kill of so many processes. Only signals that were sent use it up."""
    kills_ms = tuple(at_ms for at_ms in rate.kills_ms if at_ms > now_ms - _MINUTE_MS)
    begun = Rate(max(rate.burst_free_ms, now_ms) + policy.interval_ms, (*kills_ms, now_ms), rate.signalled)
    return after_continuation(begun, now_ms, signalled)


def after_continuation(rate: Rate, now_ms: int, signalled: int) -> Rate:
    """The rate after so many more processes of a kill that was counted when it began."""
    recent = [one for one in rate.signalled if one[0] > now_ms - _MINUTE_MS]
    return rate._replace(signalled=(*recent, (now_ms, signalled)))


def wait_ms(rate: Rate, now_ms: int, policy: Policy) -> int:
    """Milliseconds until the next kill is permitted, 0 if it is now.

    `burst` kills may come at once and one more every `interval_ms`; no minute may see more than `per_minute`.
    """
    wait = rate.burst_free_ms - (policy.burst - 1) * policy.interval_ms - now_ms
    recent = [at_ms for at_ms in rate.kills_ms if at_ms > now_ms - _MINUTE_MS]
    if len(recent) >= policy.per_minute:
        wait = max(wait, recent[-policy.per_minute] + _MINUTE_MS - now_ms)
    return max(0, wait)


def signalled_in_a_minute(rate: Rate, now_ms: int) -> int:
    """How many processes were signalled in the last minute."""
    return sum(signalled for at_ms, signalled in rate.signalled if at_ms > now_ms - _MINUTE_MS)


class Bucket:
    """Tokens: at most `most`, and `per_second` of them come back in a second."""

    def __init__(self, most: int, per_second: int, now_ms: int) -> None:
        self._most, self._per_second = most, per_second
        self._thousandths, self._at_ms = most * 1000, now_ms

    def take(self, now_ms: int, count: int = 1) -> bool:
        """Whether there were so many tokens; then they are gone."""
        if self.wait_ms(now_ms, count):
            return False
        self._thousandths -= count * 1000
        return True

    def wait_ms(self, now_ms: int, count: int = 1) -> int:
        """Milliseconds until there are so many tokens, 0 if there are now."""
        gained = max(now_ms - self._at_ms, 0) * self._per_second
        self._thousandths, self._at_ms = min(self._thousandths + gained, self._most * 1000), max(now_ms, self._at_ms)
        return max(0, -((self._thousandths - count * 1000) // self._per_second))
