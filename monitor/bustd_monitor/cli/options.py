"""From the options of `bustd` to the configuration and to the daemons' own arguments."""

from __future__ import annotations

import argparse
import os
import sys

from bustd_shared.daemon.forked import ChildFailed
from bustd_shared.rules import killer_toml
from bustd_shared.rules.killer_toml import KillerConfig
from bustd_shared.rules.protection import Protection
from bustd_shared.rules.schema import ConfigError

from .. import config
from ..arguments import Arguments, overrides, parse_arguments
from ..config import MonitorConfig


def monitor_arguments(options: argparse.Namespace) -> list[str]:
    """The monitor's command line."""
    words: list[str] = []
    for option, value in (
        ("--config", options.config and os.path.abspath(options.config)),
        ("--killer-config", options.killer_config and os.path.abspath(options.killer_config)),
        ("--psi", options.psi),
        ("--only-descendants-of", options.only_descendants_of),
        ("--cgroup", options.cgroup),
    ):
        if value is not None:
            words += [option, str(value)]
    for glob in unkillables(options):
        words += ["--unkillable", glob]
    for switch, is_set in (
        ("--verbose", options.verbose),
        ("--kill-group", options.kill_pgroup),
        ("--dry-run", options.dry_run),
    ):
        words += [switch] if is_set else []
    if os.geteuid() != 0:
        words += ["--only-uid", str(os.geteuid())]
    return words


def unkillables(options: argparse.Namespace) -> list[str]:
    """The globs of all -u options: each may hold several, separated by `|`."""
    return [glob for text in options.unkillables for glob in text.split("|") if glob]


class Settings:
    """Both configurations, with the command line on top. Problems are printed; `load` then gives None."""

    def __init__(self, monitor: MonitorConfig, killer: KillerConfig, arguments: Arguments, names: list[str]) -> None:
        self.monitor = monitor
        self.killer = killer
        self.arguments = arguments
        protected = killer.protect_names + tuple(os.fsencode(name) for name in names)
        self.protection = Protection(killer.protect_units, killer.protect_uids, protected)


def load(options: argparse.Namespace) -> Settings | None:
    """Read and check both files; every problem goes to standard error."""
    arguments = parse_arguments(monitor_arguments(options))
    problems: list[str] = []
    monitor = killer = None
    try:
        monitor = config.load(arguments.config, required=arguments.config_required, overrides=overrides(arguments))
    except (ConfigError, ChildFailed) as error:
        problems += error.problems if isinstance(error, ConfigError) else [str(error)]
    try:
        killer = killer_toml.load(arguments.killer_config, required=arguments.killer_config_required)
    except (ConfigError, ChildFailed) as error:
        problems += error.problems if isinstance(error, ConfigError) else [str(error)]
    for problem in problems:
        sys.stderr.write(f"bustd: {problem}\n")
    if monitor is None or killer is None:
        return None
    return Settings(monitor, killer, arguments, unkillables(options))
