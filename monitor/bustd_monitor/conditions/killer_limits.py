"""The killer's own limits. It judges by them whether memory is short, and refuses when it is not."""

from __future__ import annotations

from bustd_protocol.messages import KillerHello
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import KillerConfig


class KillerLimits(NamedTuple):
    """The killer kills at `available_percent` of available memory or less.

    Where PSI some avg10 is `pressure_some_avg10` percent or more it kills at `pressured_available_percent` or less too.
    """

    available_percent: float
    pressured_available_percent: float
    pressure_some_avg10: float


def limits_in(killer: KillerConfig) -> KillerLimits:
    """The limits that killer.toml sets, where there is no killer to ask."""
    return KillerLimits(killer.available_percent, killer.pressured_available_percent, killer.pressure_some_avg10)


def limits_told(hello: KillerHello) -> KillerLimits:
    """The limits of the killer that has said this Hello."""
    return KillerLimits(hello.available_percent, hello.pressured_available_percent, hello.pressure_some_percent)


def refused_above(condition: str, percent: float, limit: float, key: str) -> str:
    """The sentence that a condition fires at `percent` of available memory, and the killer kills at `limit` at most."""
    return (
        f"conditions.{condition} can fire at {percent:g} % of available memory, where the killer still refuses: "
        f"it kills at {limit:g} % or less (limits.{key} in killer.toml)"
    )
