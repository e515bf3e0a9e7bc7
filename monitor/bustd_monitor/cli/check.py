"""`bustd check`: are the configuration files in order? Says what the daemons would say, without starting them."""

from __future__ import annotations

import os

from bustd_monitor import config
from bustd_monitor.conditions.killer_limits import limits_in
from bustd_monitor.conditions.table import killer_warnings
from bustd_monitor.reporting.sentences import watching_apart
from bustd_shared.daemon.log import printable
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import Values


def check(
    config_path: str | os.PathLike[str],
    killer_path: str | os.PathLike[str],
    *,
    required: bool = False,
    killer_required: bool | None = None,
    overrides: Values | None = None,
) -> int:
    """Print each problem, or that there is none, and what the killer would refuse. 1 if there are problems, else 0.

    A file that is missing means the defaults, unless it is `required` (`killer_required`: where that differs for the
    second). `overrides` come from the command line. It needs no privilege, but the files have to be readable for
    whoever calls it.
    """
    monitor = config.examine(config_path, required=required, overrides=overrides)
    killer = killer_toml.examine(killer_path, required=required if killer_required is None else killer_required)
    problems = monitor.problems + killer.problems
    for problem in problems:
        print(problem.line())
    if problems:
        print("1 problem" if len(problems) == 1 else f"{len(problems)} problems")
        return 1
    settings, rules = config.config_of(monitor.values), killer_toml.config_of(killer.values)
    # With --cgroup the command that starts the pair tells both.
    apart = "" if overrides and "cgroup" in overrides else watching_apart(settings.cgroup, rules.cgroup)
    warnings = [apart] if apart else []
    warnings += killer_warnings(settings.conditions, limits_in(rules))
    for sentence in warnings:
        print(f"warning: {sentence}")
    files = ", ".join(monitor.files + killer.files) or "none, so that everything has its default"
    names = " and ".join(os.fspath(path).rpartition("/")[2] for path in (config_path, killer_path))
    print(printable(f"{names} are in order (files read: {files})"))
    return 0
