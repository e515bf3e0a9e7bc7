"""How configuration is described: keys and their defaults, values, problems. It is resident in both daemons."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..daemon.log import printable

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


OBSOLETE = "obsolete"


class Key(NamedTuple):
    """One key: its kind, its default, a line on its meaning, and its range (both ends included) or its choices.

    Kinds: bool; int; number (int or float); string; path (of a socket); cgroup (its path, or ""); user (a name or a
    uid); and the lists: strings, globs, names (globs on comm), users. `user` and `users` become uids, `names` become
    bytes. A key of the kind `obsolete` is accepted and does nothing; its `meaning` says why, and is a warning.
    """

    kind: str
    default: Any
    meaning: str
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()


Schema = dict[str, "Key | Schema"]
Values = dict[str, "Any"]
"""Nested as the file is: tables, booleans, numbers, texts, bytes and lists of those."""


class Problem(NamedTuple):
    """Why a file can't be used. `key` is dotted, and "" for the whole file; `expected` is "" for an unknown key.

    `nearest`: the known key that was probably meant. `hint`: what else helps to mend it.
    """

    file: str
    key: str
    found: str
    expected: str = ""
    nearest: str = ""
    hint: str = ""

    def line(self) -> str:
        """The problem in one printable line, whatever the file had in it."""
        what = f"expected {self.expected}, found {self.found}" if self.expected else self.found
        if self.nearest:
            what = f"{what}; nearest known key: {self.nearest}"
        if self.hint:
            what = f"{what}; {self.hint}"
        return printable(": ".join(part for part in (self.file, self.key, what) if part))


class ConfigError(Exception):
    """The configuration can't be used. `problems` has one printable line for each reason."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def with_defaults(values: Values, schema: Schema) -> Values:
    """Every key of the schema, with its value where one is given and with its default otherwise."""
    whole: Values = {}
    for name, spec in schema.items():
        if isinstance(spec, Key):
            if spec.kind == OBSOLETE:
                continue
            value = values.get(name, spec.default)
            whole[name] = list(value) if isinstance(value, list) else value
        else:
            whole[name] = with_defaults(values.get(name, {}), spec)
    return whole


def keys_of(schema: Schema, prefix: str = "") -> Iterator[tuple[str, Key]]:
    """Every key with its dotted name, in the order of the schema."""
    for name, spec in schema.items():
        if isinstance(spec, Key):
            if spec.kind != OBSOLETE:
                yield prefix + name, spec
        else:
            yield from keys_of(spec, f"{prefix}{name}.")
