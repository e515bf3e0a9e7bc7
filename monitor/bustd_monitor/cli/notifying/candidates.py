"""The candidates of a warning, and which of them the user may end or spare. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ..entries import Entry

MOST_OFFERED = 3
"""So many processes the user can end by a button: a notification has room for no more."""
_MOST_DIGITS = 19


class NamedProcess(NamedTuple):
    """A process as an event names it. `start_ticks`: field 22 of proc_pid_stat(5), which tells it from a later one."""

    pid: int
    start_ticks: int
    uid: int
    held_bytes: int
    comm: str


class Glance(NamedTuple):
    """What the agent sees of a process now: whether the user may end it, and may spare it for a while."""

    may_end: bool = False
    may_spare: bool = False


class Offer(NamedTuple):
    """A process for which the user can choose something."""

    target: NamedProcess
    look: Glance


def targets_of(entry: Entry) -> tuple[NamedProcess, ...]:
    """The candidates that an event names, best first. What can't be read is left out."""
    found = (target_of(text) for text in entry.all_own("CANDIDATE"))
    return tuple(target for target in found if target is not None)


def target_of(text: str) -> NamedProcess | None:
    """`PID START_TICKS UID HELD_BYTES COMM`; a name may have spaces, or be empty."""
    words = text.split(" ", 4)
    if len(words) != 5 or not all(_is_number(word) for word in words[:4]):
        return None
    pid, start_ticks, uid, held_bytes = map(int, words[:4])
    return NamedProcess(pid, start_ticks, uid, held_bytes, words[4]) if pid > 1 else None


def offers_of(targets: tuple[NamedProcess, ...], uid: int, look: Callable[[NamedProcess], Glance]) -> tuple[Offer, ...]:
    """What the user can choose: processes of `uid` alone, at most three of them. Only the first can be spared.

    It is the one that bustd would end: that another may live longer is no answer to what the user is asked.
    """
    offers: list[Offer] = []
    for place, target in enumerate(targets):
        if target.uid != uid or len(offers) == MOST_OFFERED:
            continue
        seen = look(target)
        if seen.may_end or (seen.may_spare and place == 0):
            offers.append(Offer(target, seen._replace(may_spare=seen.may_spare and place == 0)))
    return tuple(offers)


def _is_number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _MOST_DIGITS
