"""The table [victims] of bustd.toml: which processes the user would rather lose, and what dies with the victim."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema, Values


class Matchers(NamedTuple):
    """A process is matched by any of these: globs on its unit, comm, command line and control group, or its uid."""

    units: tuple[str, ...]
    uids: tuple[int, ...]
    names: tuple[bytes, ...]
    commands: tuple[str, ...]
    cgroups: tuple[str, ...] = ()


NOTHING = Matchers((), (), (), ())


class Victims(NamedTuple):
    """Which processes may die, and which sooner or later than others.

    The points are of the 1000 of oom_score_adj (proc_pid_oom_score_adj(5)). If `only` has any matcher, no other process
    than those that it matches may die. `avoid_shipped`: what ranking.shipped_avoid lists is avoided too. `grace`: the
    units that get SIGTERM even if `signal` is "auto".
    """

    scope: str
    growth_percent: int
    prefer_points: int
    avoid_points: int
    prefer: Matchers
    avoid: Matchers
    never: Matchers
    only: Matchers = NOTHING
    avoid_shipped: bool = True
    adj_percent: int = 50
    signal: str = "auto"
    grace: Matchers = NOTHING


def _matchers() -> Schema:
    return {
        "units": Key("globs", [], "A process matches if one of these globs matches the name of its unit."),
        "users": Key("users", [], "A process matches if it belongs to one of these users, each a name or a uid."),
        "names": Key(
            "names", [], "A process matches if one of these globs matches its name, of which the kernel keeps 15 bytes."
        ),
        "commands": Key(
            "globs",
            [],
            "A process matches if one of these globs matches its command line, the arguments joined by spaces.",
        ),
        "cgroups": Key(
            "globs",
            [],
            "A process matches if one of these globs matches the path of its control group, or of a group above it.",
        ),
    }


VICTIMS_SCHEMA: Schema = {
    "scope": Key(
        "string",
        "process",
        "A kill ends one process (process), its process group (group), or its whole service or scope (cgroup).",
        choices=("process", "group", "cgroup"),
    ),
    "signal": Key(
        "string",
        "auto",
        "SIGTERM first (term), SIGKILL at once (kill), or SIGKILL only for what ends a system service (auto).",
        choices=("auto", "term", "kill"),
    ),
    "growth_percent": Key(
        "int",
        100,
        "This percentage of the memory that a process gained in the last 10 seconds is added to its badness.",
        0,
        1000,
    ),
    "prefer_points": Key(
        "int",
        300,
        "A preferred process gets this many points of badness more. 1000 points are all memory and swap.",
        0,
        1000,
    ),
    "avoid_points": Key(
        "int",
        300,
        "An avoided process gets this many points of badness less. 1000 points are all memory and swap.",
        0,
        1000,
    ),
    "avoid_shipped": Key(
        "bool",
        True,
        "Avoid compositors, X servers, session managers, sound servers, package managers and session.slice.",
    ),
    "adj_percent": Key(
        "int",
        50,
        "oom_score_adj moves a badness by no more than this percentage of memory and swap.",
        0,
        100,
    ),
    "prefer": _matchers(),
    "avoid": _matchers(),
    "never": _matchers(),
    "only": _matchers(),
    "grace": {
        "units": Key("globs", [], "Services that one of these globs matches get SIGTERM first, even with auto."),
    },
}


def victims_of(table: Values) -> Victims:
    """The settings from the validated values of [victims]."""
    return Victims(
        scope=table["scope"],
        growth_percent=table["growth_percent"],
        prefer_points=table["prefer_points"],
        avoid_points=table["avoid_points"],
        prefer=_matchers_of(table["prefer"]),
        avoid=_matchers_of(table["avoid"]),
        never=_matchers_of(table["never"]),
        only=_matchers_of(table["only"]),
        avoid_shipped=table["avoid_shipped"],
        adj_percent=table["adj_percent"],
        signal=table["signal"],
        grace=NOTHING._replace(units=tuple(table["grace"]["units"])),
    )


def _matchers_of(table: Values) -> Matchers:
    return Matchers(*(tuple(table[key]) for key in ("units", "users", "names", "commands", "cgroups")))
