"""What a story comes to: who died and why, who would have been next, and what came back. Pure.

What no entry says is None, "" or UNKNOWN: nothing is guessed.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from bustd_protocol.messages import Signal

from ...reporting import connection, events
from ...reporting.events import Kind
from ..entries import Entry
from .stories import Story


class StoryEnd(Enum):
    """How a story ended. The value is what `--json` prints."""

    DIED = "died"
    LIVES = "lives"
    SIGNALLED = "signalled, and its end is not known"
    WAS_GONE = "gone before the signal"
    REFUSED = "refused by the killer"
    FAILED = "the signal failed"
    DRY_RUN = "dry run"
    NOBODY = "nobody to kill"
    KERNEL = "the kernel killed"
    UNKNOWN = "not known"


_BY_OUTCOME = {
    "signalled": StoryEnd.SIGNALLED,
    "gone": StoryEnd.WAS_GONE,
    "refused": StoryEnd.REFUSED,
    "failed": StoryEnd.FAILED,
}
_WITHOUT_A_VICTIM = {events.KERNEL_KILLED: StoryEnd.KERNEL, events.NO_VICTIM: StoryEnd.NOBODY}


class NextOne(NamedTuple):
    """A process that would have been next, as it was at the decision."""

    pid: int
    uid: int
    held_bytes: int
    comm: str


class Facts(NamedTuple):
    """What is known of a story. Amounts in bytes.

    `reason`: of a refusal. `came_back`: how much more was available at the end than at the decision, or what the
    monitor has counted. `killed_by_kernel`: how many processes, in this story, or alone.
    """

    end: StoryEnd
    pid: int | None
    comm: str
    uid: int | None
    unit: str
    held_bytes: int | None
    condition: str
    signal: str
    reason: str
    next_ones: tuple[NextOne, ...]
    available: int | None
    total: int | None
    elapsed_ms: int | None
    came_back: int | None
    killed_by_kernel: int | None


def facts(story: Story) -> Facts:
    """Everything that the entries of a story say."""
    told = [moment.entry for moment in story.moments]
    end = _end(told)
    pid = _victim(told)
    of_it = [entry for entry in told if entry.own_number("VICTIM_PID") in (pid, None)]
    about = [entry for entry in of_it if entry.own_number("VICTIM_PID") is not None]
    ended = _last(of_it, events.ENDED, events.LIVES)
    kernel = [entry.own_number("KILLED") or 1 for entry in told if entry.kind is events.KERNEL_KILLED]
    decided = [entry for entry in told if entry.kind is events.DECIDED]
    return Facts(
        end,
        pid,
        *(_text(about, "VICTIM_COMM"), _number(about, "VICTIM_UID"), _text(about, "VICTIM_UNIT")),
        _number([entry for entry in about if entry.kind is not events.CAME_BACK], "VICTIM_BYTES") or None,
        *(_text([*about, *told], "CONDITION"), _signal(about)),
        _text(list(reversed(of_it)), "REASON") if end is StoryEnd.REFUSED or end is StoryEnd.FAILED else "",
        _next_ones(decided),
        *(_number([*decided, *told], "AVAILABLE_BYTES"), _number([*decided, *told], "TOTAL_BYTES")),
        ended.own_number("ELAPSED_MS") if ended is not None else None,
        _came_back(of_it, _number(decided, "AVAILABLE_BYTES"), ended),
        sum(kernel) if kernel else None,
    )


def _end(told: list[Entry]) -> StoryEnd:
    """The last end that was told counts: what the killer signals later begins a kill again."""
    ended = _last(told, events.ENDED, events.LIVES)
    outcomes = [entry.own("OUTCOME") for entry in told if entry.kind is events.ANSWERED]
    if ended is not None:
        return StoryEnd.DIED if ended.kind is events.ENDED else StoryEnd.LIVES
    if "signalled" in outcomes:
        return StoryEnd.SIGNALLED
    if outcomes:
        return _BY_OUTCOME.get(outcomes[-1], StoryEnd.UNKNOWN)
    if any(entry.message == connection.DRY_RUN for entry in told):
        return StoryEnd.DRY_RUN
    if any(entry.kind is events.DECIDED for entry in told):
        return StoryEnd.UNKNOWN
    return next((end for kind, end in _WITHOUT_A_VICTIM.items() if _last(told, kind)), StoryEnd.UNKNOWN)


def _victim(told: list[Entry]) -> int | None:
    """The process that was asked for last: after a refusal the next one is."""
    named = [(entry, pid) for entry in told if (pid := entry.own_number("VICTIM_PID")) is not None]
    asked = [pid for entry, pid in named if entry.kind is events.DECIDED]
    return next(iter(reversed(asked or [pid for _, pid in named])), None)


def _next_ones(decided: list[Entry]) -> tuple[NextOne, ...]:
    """Those of the last decision that has any, the next first. A value: PID START_TICKS UID HELD_BYTES COMM."""
    for entry in reversed(decided):
        values = [value.split(" ", 4) for value in entry.all_own("CANDIDATE")]
        whole = [parts for parts in values if len(parts) == 5 and all(_is_number(part) for part in parts[:4])]
        if whole:
            return tuple(NextOne(int(pid), int(uid), int(held), comm) for pid, _, uid, held, comm in whole)
    return ()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20


def _came_back(of_it: list[Entry], available: int | None, ended: Entry | None) -> int | None:
    counted = _last(of_it, events.CAME_BACK)
    if counted is not None:
        return counted.own_number("CAME_BACK_BYTES")
    now = ended.own_number("AVAILABLE_BYTES") if ended is not None and ended.kind is events.ENDED else None
    return max(now - available, 0) if now is not None and available is not None else None


def _signal(about: list[Entry]) -> str:
    """SIGKILL, if the process got that too."""
    signals = [signal for entry in about if (signal := entry.own("SIGNAL"))]
    return Signal.KILL.name if Signal.KILL.name in signals else "".join(signals[:1])


def _last(told: list[Entry], *kinds: Kind) -> Entry | None:
    return next((entry for entry in reversed(told) if entry.kind in kinds), None)


def _text(told: list[Entry], name: str) -> str:
    return next((text for entry in told if (text := entry.own(name))), "")


def _number(told: list[Entry], name: str) -> int | None:
    return next((number for entry in told if (number := entry.own_number(name)) is not None), None)
