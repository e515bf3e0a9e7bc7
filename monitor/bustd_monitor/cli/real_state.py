"""Whether this machine is protected as it is: the installed units and the real configuration, for `bustd selftest`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from bustd_shared.kernel import machine_lock
from bustd_shared.rules import killer_toml, suspicious
from bustd_shared.rules.config_files import Loaded
from bustd_shared.rules.schema import Schema

from .. import config
from ..arguments import Arguments, UsageError, parse_arguments
from ..sensing.visibility import hidden_processes
from .daemons_running import daemons_running
from .options import examine
from .unit_copies import KILLER, MONITOR, UNITS, Unit, Unusable, exec_start

_RUNS = ("active", "reloading", "refreshing")


def why_not_protected(
    units: Mapping[str, Unit], texts: Mapping[str, list[str]], lock: str = machine_lock.PATH, proc: str = "/proc"
) -> list[str]:
    """Each reason why nothing would die in a shortage, as a part of a sentence; none if the machine is protected.

    `units`: none of them where they are not installed; `texts`: their files.
    """
    reasons = [] if _another_pair_serves(units, lock) else _of_the_pair(units, lock, proc)
    try:
        arguments = _arguments(texts)
    except (UsageError, Unusable) as error:
        return [*filter(None, reasons), f"the command line of the units is wrong: {error}"]
    return [*filter(None, reasons), *_of_the_configuration(arguments)]


def _another_pair_serves(units: Mapping[str, Unit], lock: str) -> bool:
    """Units that are stopped leave nothing open where a `bustd` that was started by hand serves the machine."""
    return KILLER in units and units[KILLER].active not in _RUNS and machine_lock.held_by_another(lock) != ""


def _of_the_pair(units: Mapping[str, Unit], lock: str, proc: str) -> list[str]:
    """Why the units don't protect it; where they are not installed, whether no pair runs. It may be hidden."""
    if units:
        return [_state(name, units[name]) for name in UNITS if name in units]
    may_run = daemons_running(proc).monitors or hidden_processes(proc, own_only=False)
    return [] if may_run or machine_lock.held_by_another(lock) else ["no pair of bustd runs"]


def _state(name: str, unit: Unit) -> str:
    if unit.state != "loaded":
        return f"{name} is {unit.state}"
    return "" if unit.active in _RUNS else f"{name} is {unit.active}"


def _arguments(texts: Mapping[str, list[str]]) -> Arguments:
    """What the units tell their daemons. Raises UsageError, and Unusable."""
    arguments = parse_arguments(_words(MONITOR, texts))
    of_killer = _words(KILLER, texts)
    if "--config" in of_killer[:-1]:
        return arguments._replace(killer_config=of_killer[of_killer.index("--config") + 1])
    return arguments._replace(killer_config=None)


def _words(name: str, texts: Mapping[str, list[str]]) -> list[str]:
    """What follows the program in the unit's command line; a variable is systemd's to expand, and left out."""
    if name not in texts:
        return []
    words = [word for word in shlex.split(exec_start(name, texts[name])) if not word.startswith("$")]
    program = next((index for index, word in enumerate(words) if word.startswith("/") and index), 0)
    return words[program + 1 :]


def _of_the_configuration(arguments: Arguments) -> list[str]:
    monitor, killer = examine(arguments)
    problems = [problem.line() for problem in monitor.problems + killer.problems]
    if problems:
        return problems
    reasons = ["dry_run is set: the monitor never asks for a kill"] if config.config_of(monitor.values).dry_run else []
    if arguments.only_descendants_of:
        reasons.append(f"nothing but descendants of process {arguments.only_descendants_of} may die")
    return [*reasons, *_sparing_all(monitor, config.SCHEMA), *_sparing_all(killer, killer_toml.SCHEMA)]


def _sparing_all(loaded: Loaded, schema: Schema) -> list[str]:
    rules = suspicious.rules_of(loaded.values, schema)
    return [
        f'{key} has "{rule.glob}", which spares every process' for key, rule in rules if suspicious.spares_all(rule)
    ]
