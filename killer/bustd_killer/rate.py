"""How much the killer does in a time, whatever it is asked: kills, processes looked at, messages, lines of log.

Times are monotonic milliseconds. All of it holds over all connections since the start.
"""

from __future__ import annotations

from .policy import Policy

_MINUTE_MS = 60_000


class Rate:
    """The limit of kills, and of processes signalled in a minute. Only signals that were sent use it up."""

    def __init__(self, now_ms: int, policy: Policy) -> None:
        """An empty burst and half a minute's kills used: a killer that is made to start again gains nothing by that."""
        self._policy = policy
        self._burst_free_ms = now_ms + policy.burst * policy.interval_ms
        # When, how many kills began (0: a continuation), and how many processes were signalled.
        self._counted = [(now_ms, 1, 0)] * (policy.per_minute // 2)

    def count(self, now_ms: int, processes: int, kills: int = 1) -> None:
        """So many processes have been signalled; `kills` 0: in a kill that was counted when it began."""
        self._counted = [*self._recent(now_ms), (now_ms, kills, processes)]
        self._burst_free_ms = max(self._burst_free_ms, now_ms) + self._policy.interval_ms * kills

    def wait_ms(self, now_ms: int) -> int:
        """Milliseconds until the next kill is permitted, 0 if it is now.

        `burst` kills may come at once and one more every `interval_ms`; no minute may see more than `per_minute`.
        """
        wait = self._burst_free_ms - (self._policy.burst - 1) * self._policy.interval_ms - now_ms
        kills_ms = [at_ms for at_ms, kills, _ in self._recent(now_ms) if kills]
        if len(kills_ms) >= self._policy.per_minute:
            wait = max(wait, kills_ms[-self._policy.per_minute] + _MINUTE_MS - now_ms)
        return max(0, wait)

    def signalled_in_a_minute(self, now_ms: int) -> int:
        """How many processes were signalled in the last minute."""
        return sum(processes for _, _, processes in self._recent(now_ms))

    def _recent(self, now_ms: int) -> list[tuple[int, int, int]]:
        return [one for one in self._counted if one[0] > now_ms - _MINUTE_MS]


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
