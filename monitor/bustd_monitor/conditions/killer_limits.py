"""The killer's own limits. It judges by them whether memory is short, and refuses when it is not."""

from __future__ import annotations

from bustd_protocol.messages import KillerHello
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import KillerConfig


class KillerLimits(NamedTuple):
    """The killer kills at `available_percent` of available memory or less."""

    available_percent: float


def limits_in(killer: KillerConfig) -> KillerLimits:
    """The limits that killer.toml sets, where there is no killer to ask."""
    return KillerLimits(killer.available_percent)


def limits_told(hello: KillerHello) -> KillerLimits:
    """The limits of the killer that has said this Hello."""
    return KillerLimits(hello.available_percent)


def refused_above(condition: str, percent: float, limit: float) -> str:
    """The sentence that a condition fires at `percent` of available memory, and the killer kills at `limit` at most."""
    return (
        f"conditions.{condition} can fire at {percent:g} % of available memory, where the killer still refuses: "
        f"it kills at {limit:g} % or less (limits.available_percent in killer.toml)"
    )
