"""Would the killer agree? It judges by its own limits whether memory is short, and refuses when it is not."""

from __future__ import annotations

from bustd_monitor.config import MonitorConfig
from bustd_shared.rules.killer_toml import KillerConfig

from ..conditions.table import most_available_percents


def outside_the_killers_limits(
    monitor: MonitorConfig,
    killer_available_percent: float,
    killer_pressured_available_percent: float,
    killer_pressure_some: float,
) -> list[str]:
    """A sentence for each enabled condition that can fire while the killer would answer `not_short`.

    The killer accepts at `killer_available_percent` of available memory or less, and at
    `killer_pressured_available_percent` or less with PSI some avg10 at `killer_pressure_some` percent or more.
    """
    pressure = monitor.conditions.pressure
    pressured_limit = max(killer_available_percent, killer_pressured_available_percent)
    sentences = []
    if pressure.enabled and pressure.available_percent > pressured_limit:
        sentences.append(
            _sentence("pressure", pressure.available_percent, pressured_limit, "pressured_available_percent")
        )
    elif (
        pressure.enabled
        and pressure.psi_some_avg10 < killer_pressure_some
        and pressure.available_percent > killer_available_percent
    ):
        sentences.append(
            f"conditions.pressure can fire at {pressure.psi_some_avg10:g} % PSI some avg10, where the killer still "
            f"refuses: it needs {killer_pressure_some:g} % or more (limits.pressure_some_avg10 in killer.toml)"
        )
    for name, percent in most_available_percents(monitor.conditions).items():
        if name != "pressure" and percent > killer_available_percent:
            sentences.append(_sentence(name, percent, killer_available_percent, "available_percent"))
    return sentences


def with_killer_toml(monitor: MonitorConfig, killer: KillerConfig) -> list[str]:
    """The same of root's rules, where there is no killer to ask."""
    return outside_the_killers_limits(
        monitor, killer.available_percent, killer.pressured_available_percent, killer.pressure_some_avg10
    )


def watching_apart(monitors_cgroup: str, killers_cgroup: str) -> str:
    """A sentence if bustd.toml and killer.toml name different control groups ("": none); "" if they agree."""
    if monitors_cgroup == killers_cgroup:
        return ""
    return (
        f'cgroup is "{monitors_cgroup}" in bustd.toml and "{killers_cgroup}" in killer.toml: the killer refuses while '
        "its own is not short, and whoever is outside of it"
    )


def _sentence(condition: str, percent: float, limit: float, key: str) -> str:
    return (
        f"conditions.{condition} can fire at {percent:g} % of available memory, where the killer still refuses: "
        f"it kills at {limit:g} % or less (limits.{key} in killer.toml)"
    )
