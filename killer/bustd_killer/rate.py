"""The rate limit: how many kills may follow one another. Pure; times are monotonic milliseconds."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import KillerConfig

_MINUTE_MS = 60_000


class Rate(NamedTuple):
    """What the limit remembers: when the whole burst is free again, and when the kills of the last minute were made."""

    burst_free_ms: int = 0
    last_minute_ms: tuple[int, ...] = ()


def after_kill(rate: Rate, now_ms: int, config: KillerConfig) -> Rate:
    """The rate limit after one more kill. Only signals that were sent use it up."""
    recent = _within_a_minute(rate, now_ms)
    return Rate(max(rate.burst_free_ms, now_ms) + config.interval_ms, (*recent, now_ms))


def rate_wait_ms(rate: Rate, now_ms: int, config: KillerConfig) -> int:
    """Milliseconds until the next kill is permitted, 0 if it is now.

    `burst` kills may come at once and one more every `interval_ms`; no minute may see more than `per_minute`.
    """
    wait_ms = rate.burst_free_ms - (config.burst - 1) * config.interval_ms - now_ms
    recent = _within_a_minute(rate, now_ms)
    if len(recent) >= config.per_minute:
        wait_ms = max(wait_ms, recent[-config.per_minute] + _MINUTE_MS - now_ms)
    return max(0, wait_ms)


def _within_a_minute(rate: Rate, now_ms: int) -> tuple[int, ...]:
    return tuple(killed_ms for killed_ms in rate.last_minute_ms if killed_ms > now_ms - _MINUTE_MS)
