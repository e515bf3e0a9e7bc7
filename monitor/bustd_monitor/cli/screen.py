"""Where a command prints: how wide it is, and whether it shows colours. Text becomes lines that fit."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TextIO

LEAST_COLUMNS = 80
"""A narrower terminal breaks the lines by itself."""
_BETWEEN = "  "
_WIDE = ("W", "F")


class Tone(Enum):
    """What a colour says. The value is of ECMA-48 (console_codes(4))."""

    HEADING = "1"
    ALARM = "1;31"
    DOUBT = "33"
    GOOD = "32"


class Column(NamedTuple):
    """One column of a table. `most`: what is wider is cut on a terminal; 0: nothing is. The last has what is left."""

    title: str
    most: int = 0
    is_number: bool = False


class Screen(NamedTuple):
    """`columns`: no line is longer, 0 where nothing is cut or folded: in a pipe or a file."""

    columns: int = 0
    has_colours: bool = False

    def painted(self, text: str, tone: Tone | None) -> str:
        """The text in this tone, where there are colours."""
        return f"\x1b[{tone.value}m{text}\x1b[0m" if tone is not None and self.has_colours else text

    def folded(self, text: str, indent: int = 0, hanging: int | None = None) -> str:
        """A sentence in as many lines as it needs. The first is indented by `indent`, the others by `hanging`."""
        first, other = " " * indent, " " * (indent if hanging is None else hanging)
        if not self.columns or width(first + text) <= self.columns:
            return first + text
        lines: list[str] = []
        line = ""
        for word in _words(text, self.columns - max(len(first), len(other))):
            margin = other if lines else first
            if line and width(f"{margin}{line} {word}") > self.columns:
                lines.append(margin + line)
                line = word
            else:
                line = f"{line} {word}" if line else word
        return "\n".join([*lines, (other if lines else first) + line])

    def cut(self, text: str, indent: int = 0) -> str:
        """A text in one line: what does not fit is left out, and an ellipsis says so."""
        return " " * indent + (cut(text, self.columns - indent) if self.columns else text)

    def table(self, columns: Sequence[Column], rows: Sequence[Sequence[str]], indent: int = 0) -> list[str]:
        """The head of a table, and one line for each row, whatever is in it."""
        cells = [[column.title for column in columns], *rows]
        widths = [max(width(row[place]) for row in cells) for place in range(len(columns))]
        if self.columns:
            widths = [min(wide, column.most or wide) for column, wide in zip(columns, widths, strict=True)]
            others = sum(widths[:-1]) + len(_BETWEEN) * (len(columns) - 1) + indent
            widths[-1] = max(min(widths[-1], self.columns - others), 1)
        head, *lines = [
            " " * indent
            + _BETWEEN.join(
                _aligned(cut(cell, wide), wide, is_right=column.is_number)
                for cell, wide, column in zip(row, widths, columns, strict=True)
            ).rstrip()
            for row in cells
        ]
        return [self.painted(head, Tone.HEADING), *lines]


def screen_of(stream: TextIO, environ: Mapping[str, str]) -> Screen:
    """That of a stream. Colours only on a terminal that has them, and not where NO_COLOR is set (no-color.org)."""
    if not stream.isatty():
        return Screen()
    columns = max(os.get_terminal_size(stream.fileno()).columns, LEAST_COLUMNS)
    return Screen(columns, not environ.get("NO_COLOR") and environ.get("TERM", "dumb") != "dumb")


def width(text: str) -> int:
    """The columns that a printable text takes on a terminal."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in _WIDE else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """At most so many columns of a text, with an ellipsis in the place of the rest."""
    if width(text) <= columns:
        return text
    kept = text
    while kept and width(kept) >= columns:
        kept = kept[:-1]
    return f"{kept}…"


def _words(text: str, columns: int) -> Iterator[str]:
    """Its words; one that is longer than a line in pieces."""
    for word in text.split(" "):
        rest = word
        while width(rest) > columns:
            piece = cut(rest, columns)[:-1] or rest[:1]
            yield piece
            rest = rest[len(piece) :]
        yield rest


def _aligned(text: str, columns: int, *, is_right: bool) -> str:
    padding = " " * (columns - width(text))
    return padding + text if is_right else text + padding
