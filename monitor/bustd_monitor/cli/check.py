"""`bustd check`: are the configuration files in order? Says what the daemons would say, without starting them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from bustd_shared.daemon.log import printable
from bustd_shared.rules import killer_toml
from bustd_shared.rules.killer_toml import KillerConfig

from .. import config
from ..arguments import Arguments
from ..conditions.killer_limits import limits_in
from ..conditions.table import killer_warnings
from ..config import MonitorConfig
from ..reporting.sentences import DRY_RUN, forgeable, watching_apart
from ..sensing.process_table import of_this_machine
from . import rules_now
from .options import examine, paths_of
from .screen import Screen, screen_of


def check(arguments: Arguments) -> int:
    """Print each problem, or that there is none, and what the killer would refuse. 1 if there are problems, else 0."""
    screen = screen_of(sys.stdout, os.environ)
    monitor, killer = examine(arguments)
    problems = monitor.problems + killer.problems
    doubts = monitor.warnings + killer.warnings
    settings, rules = config.config_of(monitor.values), killer_toml.config_of(killer.values)
    for problem in problems:
        print(screen.folded(problem.line(), 0, 2))
    if problems:
        _warn((doubt.line() for doubt in doubts), screen)
        _show_rules(settings, rules, screen)
        print("1 problem" if len(problems) == 1 else f"{len(problems)} problems")
        return 1
    # With --cgroup the command that starts the pair tells both.
    apart = "" if arguments.cgroup else watching_apart(settings.cgroup, rules.cgroup)
    warnings = [apart] if apart else []
    warnings += killer_warnings(settings.conditions, limits_in(rules))
    _warn([*warnings, *(doubt.line() for doubt in doubts)], screen)
    protected = rules.protect_names + tuple(os.fsencode(name) for name in arguments.unkillables)
    if protected:
        print(screen.folded(f"note: {forgeable(protected)}", 0, 2))
    if settings.dry_run:
        print(f"note: {DRY_RUN}")
    _show_rules(settings, rules, screen)
    files = ", ".join(monitor.files + killer.files) or "none, so that everything has its default"
    names = " and ".join(path.rpartition("/")[2] for path in paths_of(arguments))
    in_doubt = "1 rule" if len(doubts) == 1 else f"{len(doubts)} rules"
    order = f"can be used, with {in_doubt} in doubt" if doubts else "are in order"
    print(screen.folded(printable(f"{names} {order} (files read: {files})"), 0, 2))
    return 0


def _warn(sentences: Iterable[str], screen: Screen) -> None:
    for sentence in sentences:
        print(screen.folded(f"warning: {sentence}", 0, 2))


def _show_rules(settings: MonitorConfig, rules: KillerConfig, screen: Screen) -> None:
    """What each rule matches on this machine now."""
    table = of_this_machine(only_uid=-1, only_descendants_of=0)
    rules_now.show(settings.victims, rules, table, screen)
    table.close()
