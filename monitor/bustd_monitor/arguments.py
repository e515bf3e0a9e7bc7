"""The monitor's command line: a table of its options, and where their values stand in bustd.toml."""

from __future__ import annotations

from bustd_shared.daemon import command_line
from bustd_shared.daemon.command_line import Option
from bustd_shared.daemon.command_line import UsageError as UsageError
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Values

DEFAULT_CONFIG = "/etc/bustd/bustd.toml"
DEFAULT_KILLER_CONFIG = "/etc/bustd/killer.toml"


class Arguments(NamedTuple):
    """What `bustd run` passes on.

    `config` and `killer_config` None: the default files, which need not exist. `scope`: as in [victims] of bustd.toml.
    What is not given ("" and None, and False for a switch) is as the files have it.
    `only_uid` -1: victims of any user. `only_descendants_of` 0: of any process. `ancestor_ticks`: when that process was
    started, 0 if it is not known.
    """

    config: str | None = None
    killer_config: str | None = None
    psi: float | None = None
    unkillables: tuple[str, ...] = ()
    scope: str = ""
    verbose: bool = False
    dry_run: bool = False
    only_uid: int = -1
    only_descendants_of: int = 0
    ancestor_ticks: int = 0
    cgroup: str = ""


OPTIONS = {
    "--config": Option("config", str),
    "--killer-config": Option("killer_config", str),
    "--psi": Option("psi", command_line.number),
    "--unkillable": Option("unkillables", str, repeats=True),
    "--kill-group": Option("scope", value="group"),
    "--verbose": Option("verbose"),
    "--dry-run": Option("dry_run"),
    "--only-uid": Option("only_uid", command_line.whole_number),
    "--only-descendants-of": Option("only_descendants_of", command_line.pid),
    "--ancestor-ticks": Option("ancestor_ticks", command_line.whole_number),
    "--cgroup": Option("cgroup", str),
}

KEYS = {
    "psi": "conditions.pressure.psi_some_avg10",
    "unkillables": "victims.never.names",
    "scope": "victims.scope",
    "verbose": "verbose",
    "dry_run": "dry_run",
    "cgroup": "cgroup",
}
"""The fields that go on top of bustd.toml, each with its dotted key there."""


def parse_arguments(words: list[str]) -> Arguments:
    """Read the command line. Raises UsageError."""
    values, rest = command_line.read(words, OPTIONS)
    if rest:
        raise UsageError(f"{rest[0]} is unknown")
    return Arguments(**values)


def overrides(arguments: Arguments) -> Values:
    """What the command line says, nested as in bustd.toml: it goes on top of the files."""
    values: Values = {}
    for field, key in KEYS.items():
        value = getattr(arguments, field)
        if value != getattr(_NOT_GIVEN, field):
            *tables, name = key.split(".")
            table = values
            for one in tables:
                table = table.setdefault(one, {})
            table[name] = list(value) if isinstance(value, tuple) else value
    return values


_NOT_GIVEN = Arguments()
