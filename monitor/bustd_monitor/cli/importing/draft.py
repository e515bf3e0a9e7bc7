"""What becomes of another daemon's configuration: a bustd.toml with the reasons, and what could not be carried over."""

from __future__ import annotations

import json
import textwrap
from typing import Any

from bustd_shared.daemon.lines import printable
from bustd_shared.rules import killer_toml
from bustd_shared.rules.globs import COMM_BYTES, cut, least_bytes
from bustd_shared.rules.schema import Key, keys_of

from ...conditions.floor import CONDITION as FLOOR_CONDITION
from ...conditions.pressure import CONDITION as PRESSURE_CONDITION
from ...config import SCHEMA
from .translation import translated

KEYS: dict[str, Key] = dict(keys_of(SCHEMA))
FLOOR = f"conditions.{FLOOR_CONDITION.name}"
PRESSURE = f"conditions.{PRESSURE_CONDITION.name}"
NO_LIMIT_MIB = int(KEYS[f"{FLOOR}.available_mib"].high)
KILLER_PERCENT = dict(keys_of(killer_toml.SCHEMA))["limits.available_percent"].default
"""The killer refuses while more than this percentage is available, as it is shipped."""

_WIDTH = 110


class NotThat(Exception):
    """The text is not what it should be. One clear sentence."""


class Draft:
    """A bustd.toml in the making. `values` and `notes` are by the dotted key; `lost` has a sentence for each loss."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.notes: dict[str, list[str]] = {}
        self.lost: list[str] = []

    def put(self, key: str, value: object, note: str) -> None:
        """Set a single value. A number that the key can't hold becomes the nearest that it can."""
        spec = KEYS[key]
        if spec.kind in ("int", "number") and isinstance(value, int | float):
            fitted = min(max(value, spec.low), spec.high)
            fitted = round(fitted) if spec.kind == "int" else round(fitted, 2)
            note = note if fitted == value else f"{note}: {value:g} became {fitted:g}"
            value = int(fitted) if fitted == int(fitted) else fitted
        self.values[key] = value
        self.notes.setdefault(key, []).append(note)

    def put_kill_fraction(self, shares: dict[str, float], note: str, what: str) -> None:
        """Set from where on SIGKILL is sent: one share in percent, the first, where the other daemon has several.

        `note` is formatted with the name of the first, `what` with the name and the share of one that differs.
        """
        if not shares:
            return
        key = f"{FLOOR}.kill_fraction_percent"
        first, share = next(iter(shares.items()))
        if share != KEYS[key].default:
            self.put(key, share, note.format(first))
        for name, other in shares.items():
            if other != share:
                self.lose(what.format(name, other), f"bustd has one share, {share:g} %, for all")

    def add(self, key: str, items: list[str] | list[int], note: str) -> None:
        """Add to a list."""
        self.values[key] = list(dict.fromkeys([*self.values.get(key, []), *items]))
        self.notes.setdefault(key, []).append(note)

    def lose(self, what: str, why: str) -> None:
        """Note that something has no counterpart."""
        self.lost.append(f"{what}: {why}")

    def add_globs(self, key: str, pattern: str, what: str, note: str = "") -> bool:
        """Add the globs for a regular expression to a list, or say why there are none. Whether there are any."""
        is_of_names = KEYS[key].kind == "names"
        found = translated(pattern.replace("(^|/)", "^") if is_of_names else pattern)
        if found.trouble:
            self.lose(what, found.trouble)
            return False
        globs = list(found.globs)
        if is_of_names:
            globs = self._of_names(globs, what)
        if globs:
            widened = "the globs match more than the regular expression" if found.widens else ""
            self.add(key, globs, "; ".join(part for part in (what, note, widened) if part))
        return bool(globs)

    def _of_names(self, globs: list[str], what: str) -> list[str]:
        """Those that a name of at most 15 bytes can match."""
        long = [glob for glob in globs if least_bytes(glob) > COMM_BYTES]
        for glob in long:
            short = cut(glob, COMM_BYTES)
            instead = f"; {short} would" if short else ""
            self.lose(what, f"{glob} can't match, because the kernel keeps {COMM_BYTES} bytes of a name{instead}")
        return [glob for glob in globs if glob not in long]

    def text(self, title: str) -> str:
        """The file. `title`: what it was made of."""
        lines = _comment(title)
        if self.lost:
            lines += ["#", "# Not carried over:", *(line for lost in self.lost for line in _comment(f"- {lost}"))]
        table = ""
        for key in KEYS:
            if key in self.values:
                of_key, _, name = key.rpartition(".")
                lines += ["", f"[{of_key}]"] if of_key != table else [""] if not table else []
                table = of_key
                lines += [line for note in dict.fromkeys(self.notes[key]) for line in _comment(note)]
                lines.append(f"{name} = {_toml(self.values[key])}")
        if not self.values:
            lines += ["", *_comment("Everything has its default.")]
        return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        _WIDTH,
        initial_indent="# ",
        subsequent_indent="#   ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        items = [_toml(item) for item in value]
        one_line = f"[{', '.join(items)}]"
        return one_line if len(one_line) <= _WIDTH else "\n".join(["[", *(f"    {item}," for item in items), "]"])
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return f"{value}"
