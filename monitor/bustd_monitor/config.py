"""bustd.toml: when the monitor acts, and which processes it prefers. The records are nested as the file is."""

from __future__ import annotations

from bustd_shared.daemon.forked import ChildFailed as ChildFailed
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.loading import read_in_child
from bustd_shared.rules.schema import ConfigError as ConfigError
from bustd_shared.rules.schema import Key, Problem, Schema, Values, with_defaults

from .conditions.table import CONDITIONS, Conditions, settings_of
from .conditions.table import SCHEMA as CONDITIONS_SCHEMA
from .ranking.settings import VICTIMS_SCHEMA, Victims, victims_of

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os

    from bustd_shared.rules.config_files import Loaded

COMMAND_LINE = "command line"
"""The file name in a problem with what the command line gave."""


class Sleep(NamedTuple):
    """How long the monitor sleeps: as long as memory can't run out, within these limits."""

    fill_mib_per_second: int
    shortest_ms: int
    longest_ms: int
    watch_longest_ms: int


class Killer(NamedTuple):
    """Where the killer listens, and how often it is asked whether it is alive."""

    socket: str
    ping_seconds: int


class MonitorConfig(NamedTuple):
    """The whole of bustd.toml. `warnings`: a printable line for each rule that is valid and can hardly be meant so."""

    dry_run: bool
    verbose: bool
    conditions: Conditions
    sleep: Sleep
    victims: Victims
    killer: Killer
    cgroup: str = ""
    warnings: tuple[str, ...] = ()


SCHEMA: Schema = {
    "dry_run": Key("bool", False, "Decide and log, but never ask for a kill."),
    "verbose": Key("bool", False, "Log every reading, every sleep and every change of state."),
    "cgroup": Key("cgroup", "", "Watch this control group instead of the machine, and ask for no process outside it."),
    "conditions": CONDITIONS_SCHEMA,
    "sleep": {
        "fill_mib_per_second": Key(
            "int", 0, "Programs fill memory no faster than this many MiB a second. 0: this is measured.", 0, 2**20
        ),
        "shortest_ms": Key(
            "int",
            20,
            "Two readings are at least this many milliseconds apart, unless an event wakes the monitor in between.",
            1,
            10_000,
        ),
        "longest_ms": Key("int", 10_000, "No sleep is longer than this many milliseconds.", 1, 600_000),
        "watch_longest_ms": Key(
            "int", 1000, "No sleep is longer than this many milliseconds while memory may soon be short.", 1, 600_000
        ),
    },
    "victims": VICTIMS_SCHEMA,
    "killer": {
        "socket": Key("path", "/run/bustd/killer.sock", "The killer listens on this socket."),
        "ping_seconds": Key(
            "int", 120, "The monitor asks the killer at intervals of this many seconds whether it is alive.", 1, 86_400
        ),
    },
}


def load(path: str | os.PathLike[str], *, required: bool = False, overrides: Values | None = None) -> MonitorConfig:
    """The configuration in the file and its drop-ins. Raises ConfigError with every problem, and ChildFailed.

    `overrides` are values from the command line, nested as in the file. They are validated alike and go on top: they
    replace single values, and add to lists.
    """
    values, warnings = read_in_child(lambda: examine(path, required=required, overrides=overrides))
    return config_of(values)._replace(warnings=warnings)


def examine(path: str | os.PathLike[str], *, required: bool = False, overrides: Values | None = None) -> Loaded:
    """The same in this process, for a child or a command: it imports the parser."""
    from bustd_shared.rules.config_files import add, read

    reading = read(path, SCHEMA, required=required)
    if overrides:
        reading = add(reading, overrides, SCHEMA, COMMAND_LINE)
    return reading if reading.problems else reading._replace(problems=_contradictions(reading))


def config_of(values: Values) -> MonitorConfig:
    """The configuration from validated values; what is not given has its default."""
    whole = with_defaults(values, SCHEMA)
    return MonitorConfig(
        dry_run=whole["dry_run"],
        verbose=whole["verbose"],
        cgroup=whole["cgroup"],
        conditions=settings_of(whole["conditions"]),
        sleep=Sleep(**whole["sleep"]),
        victims=victims_of(whole["victims"]),
        killer=Killer(**whole["killer"]),
    )


def _contradictions(reading: Loaded) -> list[Problem]:
    """What no key can say alone; asked when each key by itself is right."""
    from bustd_shared.rules.validation import above

    values, origins = with_defaults(reading.values, SCHEMA), reading.origins
    problems = above(values, origins, "sleep.shortest_ms", "sleep.longest_ms")
    problems += above(values, origins, "sleep.shortest_ms", "sleep.watch_longest_ms")
    conditions = values["conditions"]
    watch_ms = values["sleep"]["watch_longest_ms"]
    for one in CONDITIONS:
        longest_ms = one.longest_apart_ms
        if longest_ms is not None and conditions[one.name]["enabled"] and watch_ms > longest_ms:
            expected, key = f"at most {longest_ms} while conditions.{one.name} is enabled", "sleep.watch_longest_ms"
            problems.append(Problem(origins[key], key, str(watch_ms), expected))
    if not any(condition["enabled"] for condition in conditions.values()):
        file = origins[f"conditions.{CONDITIONS[0].name}.enabled"]
        problems.append(Problem(file, "conditions", "all of them switched off", "one that is enabled"))
    return problems
