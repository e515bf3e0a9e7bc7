"""From the options of a command to the configuration: both files, with the command line on top."""

from __future__ import annotations

import argparse
import os
import sys

from bustd_shared.rules import killer_toml
from bustd_shared.rules.config_files import Loaded
from bustd_shared.rules.killer_toml import KillerConfig
from bustd_shared.rules.schema import Problem

from .. import config
from ..arguments import DEFAULT_CONFIG, DEFAULT_KILLER_CONFIG, KEYS, Arguments, overrides
from ..config import MonitorConfig
from .daemons import arguments_of
from .option_table import PASSED_ON


class Settings:
    """Both configurations, with the command line on top. Problems are printed; `load` then gives None."""

    def __init__(self, monitor: MonitorConfig, killer: KillerConfig, arguments: Arguments) -> None:
        self.monitor = monitor
        self.killer = killer
        self.arguments = arguments
        names = killer.protect_names + tuple(os.fsencode(name) for name in arguments.unkillables)
        self.protection = killer_toml.protection_of(killer._replace(protect_names=names))


def load(options: argparse.Namespace) -> Settings | None:
    """Read and check both files; every problem goes to standard error, and every rule in doubt."""
    arguments = arguments_of(options)
    monitor, killer = examine(arguments)
    problems = monitor.problems + killer.problems
    for problem in problems:
        sys.stderr.write(f"bustd: {problem.line()}\n")
    for warning in monitor.warnings + killer.warnings:
        sys.stderr.write(f"bustd: warning: {warning.line()}\n")
    if problems:
        return None
    return Settings(config.config_of(monitor.values), killer_toml.config_of(killer.values), arguments)


def paths_of(arguments: Arguments) -> tuple[str, str]:
    """bustd.toml and killer.toml."""
    return (
        DEFAULT_CONFIG if arguments.config is None else arguments.config,
        DEFAULT_KILLER_CONFIG if arguments.killer_config is None else arguments.killer_config,
    )


def examine(arguments: Arguments) -> tuple[Loaded, Loaded]:
    """Both files, with what is wrong in them. One that is missing means the defaults, unless it was named.

    It needs no privilege, but the files have to be readable for the caller.
    """
    path, killer_path = paths_of(arguments)
    monitor = config.examine(path, required=arguments.config is not None, overrides=overrides(arguments))
    monitor = monitor._replace(
        problems=[_as_typed(problem) for problem in monitor.problems],
        warnings=tuple(_as_typed(warning) for warning in monitor.warnings),
    )
    return monitor, killer_toml.examine(killer_path, required=arguments.killer_config is not None)


def _as_typed(problem: Problem) -> Problem:
    """The problem with what the command line gave, with the option by the name that people know."""
    key = problem.key.partition("[")[0]
    for option in PASSED_ON:
        if problem.file == config.COMMAND_LINE and KEYS.get(option.monitor) == key:
            return problem._replace(file=f"{problem.file}, {option.typed}")
    return problem
