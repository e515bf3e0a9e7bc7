"""`bustd check`: are the configuration files in order? Says what the daemons would say, without starting them."""

from __future__ import annotations

import os

from bustd_shared.daemon.log import printable
from bustd_shared.rules import killer_toml

from .. import config
from ..arguments import Arguments
from ..conditions.killer_limits import limits_in
from ..conditions.table import killer_warnings
from ..reporting.sentences import forgeable, watching_apart
from .options import examine, paths_of


def check(arguments: Arguments) -> int:
    """Print each problem, or that there is none, and what the killer would refuse. 1 if there are problems, else 0."""
    monitor, killer = examine(arguments)
    problems = monitor.problems + killer.problems
    for problem in problems:
        print(problem.line())
    if problems:
        print("1 problem" if len(problems) == 1 else f"{len(problems)} problems")
        return 1
    settings, rules = config.config_of(monitor.values), killer_toml.config_of(killer.values)
    # With --cgroup the command that starts the pair tells both.
    apart = "" if arguments.cgroup else watching_apart(settings.cgroup, rules.cgroup)
    warnings = [apart] if apart else []
    warnings += killer_warnings(settings.conditions, limits_in(rules))
    for sentence in warnings:
        print(f"warning: {sentence}")
    protected = rules.protect_names + tuple(os.fsencode(name) for name in arguments.unkillables)
    if protected:
        print(f"note: {forgeable(protected)}")
    files = ", ".join(monitor.files + killer.files) or "none, so that everything has its default"
    names = " and ".join(path.rpartition("/")[2] for path in paths_of(arguments))
    print(printable(f"{names} are in order (files read: {files})"))
    return 0
