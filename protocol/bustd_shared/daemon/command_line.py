"""A daemon's command line, read by a table. No argparse: its memory would be resident for ever; people type `bustd`."""

from __future__ import annotations

from .record import NamedTuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any


class UsageError(Exception):
    """The command line makes no sense, with the reason."""


class Option(NamedTuple):
    """One option: the field that it sets, and how.

    `reads` makes a value of the word after it, or raises ValueError with what is wrong with the word; None: a switch,
    which no word follows and which sets `value`. `repeats`: each one adds to a tuple; else the last one counts.
    """

    field: str
    reads: Callable[[str], Any] | None = None
    repeats: bool = False
    value: object = True


def read(words: list[str], options: Mapping[str, Option]) -> tuple[dict[str, Any], list[str]]:
    """The value of each field that is given, and from the word `--` on the words that are left. Raises UsageError."""
    values: dict[str, Any] = {}
    while words and words[0] != "--":
        name, *words = words
        if name not in options:
            raise UsageError(f"{name} is unknown")
        option = options[name]
        value: Any = option.value
        if option.reads is not None:
            if not words:
                raise UsageError(f"{name} lacks its value")
            text, *words = words
            try:
                value = option.reads(text)
            except ValueError as error:
                raise UsageError(f"{name}: {error}") from None
        values[option.field] = (*values.get(option.field, ()), value) if option.repeats else value
    return values, words


def number(text: str) -> float:
    """Any number. Raises ValueError."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


def whole_number(text: str, least: int = 0) -> int:
    """A whole number from `least` on. Raises ValueError."""
    try:
        value = int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None
    if value < least:
        raise ValueError(f"{text} is below {least}")
    return value


def pid(text: str) -> int:
    """A process: 0 would come to mean all of them. Raises ValueError."""
    return whole_number(text, 1)
