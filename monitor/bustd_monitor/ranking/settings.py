"""The table [victims] of bustd.toml: which processes the user would rather lose, and what dies with the victim."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Key, Schema, Values


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


def _matchers() -> Schema:
    return {
        "units": Key("globs", [], "Globs on the name of the unit."),
        "users": Key("users", [], "Users, by name or uid."),
        "names": Key("names", [], "Globs on the process name (15 bytes at most)."),
        "commands": Key("globs", [], "Globs on the whole command line, its arguments joined by spaces."),
    }


VICTIMS_SCHEMA: Schema = {
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
    )


def _matchers_of(table: Values) -> Matchers:
    return Matchers(*(tuple(table[key]) for key in ("units", "users", "names", "commands")))
