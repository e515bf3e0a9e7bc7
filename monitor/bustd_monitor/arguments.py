"""The monitor's command line. No argparse: its memory would be resident for ever; people use `bustd`, which has it."""

from __future__ import annotations

from collections.abc import Callable

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Values

DEFAULT_CONFIG = "/etc/bustd/bustd.toml"
DEFAULT_KILLER_CONFIG = "/etc/bustd/killer.toml"


class UsageError(Exception):
    """The command line makes no sense, with the reason."""


class Arguments(NamedTuple):
    """What `bustd run` passes on. `only_uid` -1: victims of any user."""

    config: str = DEFAULT_CONFIG
    config_required: bool = False
    killer_config: str = DEFAULT_KILLER_CONFIG
    killer_config_required: bool = False
    psi: float | None = None
    unkillables: tuple[str, ...] = ()
    kill_group: bool = False
    verbose: bool = False
    dry_run: bool = False
    only_uid: int = -1
    only_descendants_of: int = 0
    cgroup: str = ""


_SWITCHES: dict[str, Callable[[Arguments], Arguments]] = {
    "--verbose": lambda arguments: arguments._replace(verbose=True),
    "--kill-group": lambda arguments: arguments._replace(kill_group=True),
    "--dry-run": lambda arguments: arguments._replace(dry_run=True),
}


def parse_arguments(words: list[str]) -> Arguments:
    """Read the command line. Raises UsageError."""
    arguments = Arguments()
    while words:
        option, words = words[0], words[1:]
        if option in _SWITCHES:
            arguments = _SWITCHES[option](arguments)
            continue
        if not words:
            raise UsageError(f"{option} is unknown or lacks its value")
        value, words = words[0], words[1:]
        try:
            arguments = _with_value(arguments, option, value)
        except ValueError:
            raise UsageError(f"{option}: {value!r} is not a number") from None
    return arguments


def overrides(arguments: Arguments) -> Values:
    """What the command line says, nested as in bustd.toml: it goes on top of the files."""
    values: Values = {}
    if arguments.psi is not None:
        values["conditions"] = {"pressure": {"psi_some_avg10": arguments.psi}}
    victims: Values = {}
    if arguments.kill_group:
        victims["scope"] = "group"
    if arguments.unkillables:
        victims["never"] = {"names": list(arguments.unkillables)}
    if victims:
        values["victims"] = victims
    for name in ("verbose", "dry_run", "cgroup"):
        if getattr(arguments, name):
            values[name] = getattr(arguments, name)
    return values


def _with_value(arguments: Arguments, option: str, value: str) -> Arguments:
    if option == "--config":
        return arguments._replace(config=value, config_required=True)
    if option == "--killer-config":
        return arguments._replace(killer_config=value, killer_config_required=True)
    if option == "--psi":
        return arguments._replace(psi=float(value))
    if option == "--unkillable":
        return arguments._replace(unkillables=(*arguments.unkillables, value))
    if option == "--only-uid":
        return arguments._replace(only_uid=int(value))
    if option == "--only-descendants-of":
        return arguments._replace(only_descendants_of=int(value))
    if option == "--cgroup":
        return arguments._replace(cgroup=value)
    raise UsageError(f"{option} is unknown")
