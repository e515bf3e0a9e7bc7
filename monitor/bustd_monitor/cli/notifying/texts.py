"""The words of the notifications. Pure.

A name is what a program calls itself: unprintable characters are escaped as in the log, and its length is bounded. The
body of a notification may be markup (Desktop Notifications Specification, "Markup"); summary and buttons are plain.
"""

from __future__ import annotations

from typing import NamedTuple

from bustd_monitor.amounts import size
from bustd_shared.daemon.log import printable

from .candidates import NamedProcess, Offer

LONGEST_NAME = 40
"""Characters. A name of the kernel's has 15 bytes, each of which may take four when it is escaped."""
LONGEST_BODY = 500
MOST_NAMED = 5
"""More deaths than these are counted and not named."""

NORMAL, CRITICAL = 1, 2
"""Urgencies of the specification. A critical one stays until it is closed."""


class Note(NamedTuple):
    """A notification. `body` is text: it becomes markup only for a server that reads markup (see `markup`).

    `actions`: pairs of a key, which comes back when the button is pressed, and its label.
    """

    summary: str
    body: str
    urgency: int = NORMAL
    actions: tuple[tuple[str, str], ...] = ()


class Shortage(NamedTuple):
    """What a warning knows. `first`: what bustd would end; None if the event named none."""

    short_in_ms: int
    available_bytes: int
    total_bytes: int
    first: NamedProcess | None
    offers: tuple[Offer, ...]


class Death(NamedTuple):
    """One process that bustd ended, or did not manage to end (`lives`).

    `is_own`: it was the user's. Of another user's process nothing but the name is shown. `available_bytes`: what was
    available afterwards. Bytes are 0 and `condition` is "" where the event does not tell.
    """

    name: str
    is_own: bool
    held_bytes: int = 0
    condition: str = ""
    available_bytes: int = 0
    total_bytes: int = 0
    lives: bool = False


def name_of(comm: str) -> str:
    """A name that can neither disturb what shows it nor fill it."""
    return shortened(printable(comm) or "(no name)", LONGEST_NAME)


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def markup(text: str) -> str:
    """The text as a server that reads markup shows it."""
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(character, entity)
    return text


# --- the keys of the buttons: PID and start time, so that no button can change its meaning


def end_key(target: NamedProcess) -> str:
    """The key of the button that ends it."""
    return f"end {target.pid} {target.start_ticks}"


def spare_key(target: NamedProcess) -> str:
    """The key of the button that spares it."""
    return f"spare {target.pid} {target.start_ticks}"


# --- the notifications


def warning(shortage: Shortage, uid: int, answer: str = "") -> Note:
    """Memory will be short. `answer`: what has become of the last button that was pressed."""
    seconds = max((shortage.short_in_ms + 500) // 1000, 1)
    sentences, known = [answer] if answer else [], shortage.total_bytes
    left = f": {size(shortage.available_bytes)} of {size(shortage.total_bytes)} are available" if known else ""
    sentences.append(f"In about {seconds} s memory will be short{left}.")
    if shortage.first is not None:
        sentences.append(f"Then bustd will end {_described(shortage.first, uid)}.")
    actions = [(end_key(one.target), f"End {name_of(one.target.comm)}") for one in shortage.offers if one.look.may_end]
    actions += [(spare_key(one.target), "Not this one") for one in shortage.offers if one.look.may_spare]
    body = shortened(" ".join(sentences), LONGEST_BODY)
    return Note("Memory is running out", body, CRITICAL, tuple(actions))


def deaths(died: tuple[Death, ...]) -> Note:
    """What was ended, at least one process, and what came back."""
    lines = [_told(death) for death in died[:MOST_NAMED]]
    if len(died) > MOST_NAMED:
        lines.append(f"And {len(died) - MOST_NAMED} more.")
    last = died[-1]
    if last.total_bytes:
        lines.append(f"Now {size(last.available_bytes)} of {size(last.total_bytes)} are available.")
    return Note(_summary(died), shortened("\n".join(lines), LONGEST_BODY))


def _summary(died: tuple[Death, ...]) -> str:
    gone = [death.name for death in died if not death.lives]
    if not gone:
        return f"{name_of(died[0].name)} does not end"
    others = len(gone) - 1
    return f"bustd ended {name_of(gone[0])}" + (f" and {others} more" if others else "")


def _told(death: Death) -> str:
    name = name_of(death.name)
    if death.lives:
        return f"bustd has signalled {name}, and it still lives."
    if not death.is_own:
        return f"{name}, of another user, was ended because memory was short."
    held = f" It held {size(death.held_bytes)}." if death.held_bytes else ""
    why = f" (condition {name_of(death.condition)})" if death.condition else ""
    return f"{name} was ended because memory was short{why}.{held}"


def _described(target: NamedProcess, uid: int) -> str:
    """What is said of a process: of another user's its name alone."""
    name = name_of(target.comm)
    return f"{name}, which holds {size(target.held_bytes)}" if target.uid == uid else f"{name}, of another user"


# --- answers


def ending(target: NamedProcess) -> str:
    """The signal was sent."""
    return f"{name_of(target.comm)} was asked to end."


def not_ended(target: NamedProcess, why: str) -> str:
    """The signal was not sent."""
    return f"{name_of(target.comm)} was not asked to end: {why}."


def spared(target: NamedProcess, minutes: int) -> str:
    """It comes later among the user's own for this time."""
    return f"For {minutes} minutes bustd will rather end another program of yours than {name_of(target.comm)}."


def not_spared(target: NamedProcess, why: str) -> str:
    """It was not marked."""
    return f"{name_of(target.comm)} could not be spared: {why}."
