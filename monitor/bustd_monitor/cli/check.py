"""`bustd check`: are the configuration files in order? Says what the daemons would say, without starting them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from bustd_shared import __version__
from bustd_shared.daemon.log import printable
from bustd_shared.rules import killer_toml
from bustd_shared.rules.killer_toml import KillerConfig
from bustd_shared.rules.schema import Problem

from .. import config
from ..arguments import Arguments
from ..conditions.killer_limits import limits_in
from ..conditions.table import killer_warnings
from ..config import MonitorConfig
from ..ranking.rule_matches import RuleMatch
from ..reporting.sentences import DRY_RUN, forgeable, watching_apart
from ..sensing.process_table import ProcessTable, of_this_machine
from . import rules_now
from .json_text import document, plain
from .options import examine, paths_of
from .rule_values import values
from .screen import Screen, screen_of


def check(arguments: Arguments, *, as_json: bool = False, quiet: bool = False) -> int:
    """Print each problem, or that there is none, and what the killer would refuse. 1 if there are problems, else 0.

    `quiet`: print only what is wrong or in doubt, and look at no process: before a reload, in the monitor's sandbox.
    """
    monitor, killer = examine(arguments)
    problems, doubts = monitor.problems + killer.problems, monitor.warnings + killer.warnings
    settings, rules = config.config_of(monitor.values), killer_toml.config_of(killer.values)
    warnings = [] if problems else _warnings(arguments, settings, rules)
    notes = [] if problems else _notes(arguments, settings, rules)
    files, code = monitor.files + killer.files, 1 if problems else 0
    if as_json:
        with _processes() as table:
            found = rules_now.matches(settings.victims, rules, table)
        print(document(_values(files, problems, warnings, doubts, notes, found)))
        return code
    screen = screen_of(sys.stdout, os.environ)
    for problem in problems:
        print(screen.folded(problem.line(), 0, 2))
    _say("warning", [*warnings, *(doubt.line() for doubt in doubts)], screen)
    if quiet:
        return code
    _say("note", notes, screen)
    with _processes() as table:
        rules_now.show(settings.victims, rules, table, screen)
    print(screen.folded(printable(_verdict(arguments, files, problems, doubts)), 0, 2))
    return code


def _warnings(arguments: Arguments, settings: MonitorConfig, rules: KillerConfig) -> list[str]:
    """With --cgroup the command that starts the pair tells both halves which group it is."""
    apart = "" if arguments.cgroup else watching_apart(settings.cgroup, rules.cgroup)
    return [*([apart] if apart else []), *killer_warnings(settings.conditions, limits_in(rules))]


def _notes(arguments: Arguments, settings: MonitorConfig, rules: KillerConfig) -> list[str]:
    protected = rules.protect_names + tuple(os.fsencode(name) for name in arguments.unkillables)
    return [*([forgeable(protected)] if protected else []), *([DRY_RUN] if settings.dry_run else [])]


def _verdict(arguments: Arguments, read: Iterable[str], problems: list[Problem], doubts: tuple[Problem, ...]) -> str:
    """The last line."""
    if problems:
        return "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    files = ", ".join(read) or "none, so that everything has its default"
    names = " and ".join(path.rpartition("/")[2] for path in paths_of(arguments))
    in_doubt = "1 rule" if len(doubts) == 1 else f"{len(doubts)} rules"
    order = f"can be used, with {in_doubt} in doubt" if doubts else "are in order"
    return f"{names} {order} (files read: {files})"


def _say(what: str, sentences: Iterable[str], screen: Screen) -> None:
    for sentence in sentences:
        print(screen.folded(f"{what}: {sentence}", 0, 2))


@contextmanager
def _processes() -> Iterator[ProcessTable]:
    table = of_this_machine(only_uid=-1, only_descendants_of=0)
    try:
        yield table
    finally:
        table.close()


# --- for programs


def _values(
    files: Iterable[str],
    problems: list[Problem],
    warnings: list[str],
    doubts: tuple[Problem, ...],
    notes: list[str],
    found: list[RuleMatch],
) -> dict[str, object]:
    """bustd(1), JSON, lists the keys."""
    return {
        "version": __version__,
        "can_be_used": not problems,
        "files": [plain(file) for file in files],
        "problems": [_problem(problem) for problem in problems],
        "warnings": [*map(plain, warnings), *(plain(doubt.line()) for doubt in doubts)],
        "notes": [plain(note) for note in notes],
        "rules": [values(match) for match in found],
    }


def _problem(problem: Problem) -> dict[str, object]:
    return {
        "file": plain(problem.file),
        "key": plain(problem.key),
        "found": plain(problem.found),
        "expected": plain(problem.expected),
        "nearest": plain(problem.nearest),
        "line": plain(problem.line()),
    }
