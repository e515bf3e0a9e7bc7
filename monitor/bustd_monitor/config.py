"""bustd.toml: when the monitor acts and whom it would rather take. The records are nested as the file is."""

from __future__ import annotations

from bustd_common.apart import ChildFailed as ChildFailed
from bustd_common.apart import values_in_child
from bustd_common.schema import ConfigError as ConfigError
from bustd_common.schema import Key, Problem, Schema, Values, with_defaults
from bustd_protocol.record import NamedTuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    import os

    from bustd_common.config_files import Reading

COMMAND_LINE = "command line"
"""The file name in a problem with what the command line gave."""

LONGEST_PSI_WINDOW_MS = 1200
"""The growth of PSI full is judged over readings no further apart than this."""


class Pressure(NamedTuple):
    """Free memory (sysinfo) is low, tasks wait for memory, and not much is available."""

    enabled: bool
    free_percent: float
    psi_some_avg10: float
    available_percent: float
    swap_percent: float


class Floor(NamedTuple):
    """Hardly any memory is available, and swap is used up where there is any."""

    enabled: bool
    available_percent: float
    available_mib: int
    swap_percent: float
    kill_fraction_percent: float
    relief_percent: int


class Stall(NamedTuple):
    """Nothing gets done for want of memory, however much swap is free."""

    enabled: bool
    full_ms_per_second: int
    some_ms_per_second: int
    seconds: int
    available_percent: float
    refault_percent: int
    thrash_available_percent: float
    patience_seconds: int


class Forecast(NamedTuple):
    """At the rate at which memory and swap fill up they are about to be gone."""

    enabled: bool
    exhaustion_seconds: float
    available_percent: float


class Conditions(NamedTuple):
    """The named conditions, each of which can ask for a kill by itself."""

    pressure: Pressure
    floor: Floor
    stall: Stall
    forecast: Forecast


class Sleep(NamedTuple):
    """How long the monitor sleeps: as long as memory can't run out, within these limits."""

    fill_mib_per_second: int
    shortest_ms: int
    longest_ms: int
    watch_longest_ms: int


class Matchers(NamedTuple):
    """A process is matched by any of these: globs on its unit, comm and command line, or its uid."""

    units: tuple[str, ...]
    uids: tuple[int, ...]
    names: tuple[bytes, ...]
    commands: tuple[str, ...]


class Victims(NamedTuple):
    """Whom to take; the points are of the 1000 of oom_score_adj (proc_pid_oom_score_adj(5))."""

    scope: str
    growth_percent: int
    prefer_points: int
    avoid_points: int
    prefer: Matchers
    avoid: Matchers
    never: Matchers


class Killer(NamedTuple):
    """Where the killer listens, and how often it is asked whether it is alive."""

    socket: str
    ping_seconds: int


class MonitorConfig(NamedTuple):
    """The whole of bustd.toml."""

    dry_run: bool
    verbose: bool
    conditions: Conditions
    sleep: Sleep
    victims: Victims
    killer: Killer
    cgroup: str = ""


def _matchers() -> Schema:
    return {
        "units": Key("globs", [], "Globs on the name of the unit."),
        "users": Key("users", [], "Users, by name or uid."),
        "names": Key("names", [], "Globs on the process name (15 bytes at most)."),
        "commands": Key("globs", [], "Globs on the whole command line, its arguments joined by spaces."),
    }


SCHEMA: Schema = {
    "dry_run": Key("bool", False, "Decide and log, but never ask for a kill."),
    "verbose": Key("bool", False, "Log the readings as well."),
    "cgroup": Key("cgroup", "", "Watch this control group instead of the machine, and ask for nobody outside of it."),
    "conditions": {
        "pressure": {
            "enabled": Key("bool", True, "Whether this condition can ask for a kill."),
            "free_percent": Key("number", 15, "Free memory, without caches, is at most this.", 0, 100),
            "psi_some_avg10": Key("number", 25.0, "PSI some avg10 is at least this (percent).", 0, 100),
            "available_percent": Key(
                "number", 40, "Available memory is at most this; 100 takes no notice of it.", 0.1, 100
            ),
            "swap_percent": Key(
                "number",
                50,
                "Free swap is at most this share of swap, or of RAM if that is larger; 100: any.",
                0,
                100,
            ),
        },
        "floor": {
            "enabled": Key("bool", True, "Whether this condition can ask for a kill."),
            "available_percent": Key("number", 10, "Available memory is at most this,", 0.1, 100),
            "available_mib": Key("int", 1024, "and at most this (MiB),", 1, 2**30),
            "swap_percent": Key("number", 10, "and usable swap, where there is any, is at most this.", 0, 100),
            "kill_fraction_percent": Key("number", 50, "At this percentage of those limits: SIGKILL at once.", 0, 100),
            "relief_percent": Key(
                "int", 25, "A victim holds this much of what is missing, whichever condition fires (percent).", 0, 100
            ),
        },
        "stall": {
            "enabled": Key("bool", True, "Whether this condition can ask for a kill."),
            "full_ms_per_second": Key("int", 150, "In each second PSI full grew by this much or more,", 1, 1000),
            "some_ms_per_second": Key("int", 900, "or PSI some by this much or more,", 1, 1000),
            "seconds": Key("int", 2, "for so many seconds,", 1, 60),
            "available_percent": Key("number", 15, "available memory is at most this,", 0.1, 100),
            "refault_percent": Key(
                "int", 20, "and so much of what the kernel reclaimed was wanted back (percent).", 0, 1000
            ),
            "thrash_available_percent": Key(
                "number", 25, "Where it is files that were wanted back, available memory is at most this.", 0.1, 100
            ),
            "patience_seconds": Key(
                "int", 30, "Wanted back or not: PSI full of 100 ms in each second for so long is enough.", 3, 3600
            ),
        },
        "forecast": {
            "enabled": Key("bool", True, "Whether this condition can ask for a kill."),
            "exhaustion_seconds": Key(
                "number", 2, "At the present rate of filling, memory and swap are gone within this,", 0.1, 60
            ),
            "available_percent": Key("number", 20, "and available memory is at most this.", 0.1, 100),
        },
    },
    "sleep": {
        "fill_mib_per_second": Key("int", 6144, "How fast this machine can fill memory (MiB a second).", 1, 2**20),
        "shortest_ms": Key(
            "int", 20, "Two readings are at least so far apart, unless something happens in between.", 1, 10_000
        ),
        "longest_ms": Key("int", 10_000, "No sleep is longer than this.", 1, 600_000),
        "watch_longest_ms": Key("int", 1000, "No sleep is longer than this when memory may soon be short.", 1, 600_000),
    },
    "victims": {
        "scope": Key(
            "string",
            "process",
            "What dies: the process, its process group, or its service or scope whole.",
            choices=("process", "group", "cgroup"),
        ),
        "growth_percent": Key(
            "int", 100, "How much of what a process gained over the last 10 s counts again in its badness.", 0, 1000
        ),
        "prefer_points": Key("int", 300, "What being preferred adds to badness (of 1000: all memory).", 0, 1000),
        "avoid_points": Key("int", 300, "What being avoided takes from badness (of 1000: all memory).", 0, 1000),
        "prefer": _matchers(),
        "avoid": _matchers(),
        "never": _matchers(),
    },
    "killer": {
        "socket": Key("path", "/run/bustd/killer.sock", "Where the killer listens."),
        "ping_seconds": Key("int", 120, "How often the killer is asked whether it is alive.", 1, 86_400),
    },
}


def load(path: str | os.PathLike[str], *, required: bool = False, overrides: Values | None = None) -> MonitorConfig:
    """The configuration in the file and its drop-ins. Raises ConfigError with every problem, and ChildFailed.

    `overrides` are values from the command line, nested as in the file. They are validated alike and go on top: they
    replace single values, and add to lists.
    """
    return config_of(values_in_child(lambda: examine(path, required=required, overrides=overrides)))


def examine(path: str | os.PathLike[str], *, required: bool = False, overrides: Values | None = None) -> Reading:
    """The same in this process, for a child or a command: it imports the parser."""
    from bustd_common.config_files import add, read

    reading = read(path, SCHEMA, required=required)
    if overrides:
        reading = add(reading, overrides, SCHEMA, COMMAND_LINE)
    return reading if reading.problems else reading._replace(problems=_contradictions(reading))


def config_of(values: Values) -> MonitorConfig:
    """The configuration from validated values; what is not given has its default."""
    whole = with_defaults(values, SCHEMA)
    conditions, victims = whole["conditions"], whole["victims"]
    return MonitorConfig(
        dry_run=whole["dry_run"],
        verbose=whole["verbose"],
        cgroup=whole["cgroup"],
        conditions=Conditions(
            Pressure(**conditions["pressure"]),
            Floor(**conditions["floor"]),
            Stall(**conditions["stall"]),
            Forecast(**conditions["forecast"]),
        ),
        sleep=Sleep(**whole["sleep"]),
        victims=Victims(
            scope=victims["scope"],
            growth_percent=victims["growth_percent"],
            prefer_points=victims["prefer_points"],
            avoid_points=victims["avoid_points"],
            prefer=_matchers_of(victims["prefer"]),
            avoid=_matchers_of(victims["avoid"]),
            never=_matchers_of(victims["never"]),
        ),
        killer=Killer(**whole["killer"]),
    )


def _matchers_of(table: Values) -> Matchers:
    return Matchers(*(tuple(table[key]) for key in ("units", "users", "names", "commands")))


def _contradictions(reading: Reading) -> list[Problem]:
    """What no key can say alone; asked when each key by itself is right."""
    from bustd_common.validation import above

    values, origins = with_defaults(reading.values, SCHEMA), reading.origins
    problems = above(values, origins, "sleep.shortest_ms", "sleep.longest_ms")
    problems += above(values, origins, "sleep.shortest_ms", "sleep.watch_longest_ms")
    conditions = values["conditions"]
    watch_ms = values["sleep"]["watch_longest_ms"]
    if conditions["stall"]["enabled"] and watch_ms > LONGEST_PSI_WINDOW_MS:
        expected = f"at most {LONGEST_PSI_WINDOW_MS} while conditions.stall is enabled"
        problems.append(Problem(origins["sleep.watch_longest_ms"], "sleep.watch_longest_ms", str(watch_ms), expected))
    if not any(condition["enabled"] for condition in conditions.values()):
        file = origins["conditions.floor.enabled"]
        problems.append(Problem(file, "conditions", "all of them switched off", "one that is enabled"))
    return problems
