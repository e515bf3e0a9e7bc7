"""The history for people: a table that fits 80 columns, and the whole of one story."""

from __future__ import annotations

import textwrap
import time
import unicodedata
from collections.abc import Iterator

from bustd_monitor.amounts import size
from bustd_shared.daemon.log import printable

from ...reporting import events
from .boots import BootEnd
from .facts import Facts, NextOne, StoryEnd, facts
from .lines import KILLER, MONITOR
from .stories import Moment, Story, is_killers

COLUMNS = 79
MOST_ROWS = 999
_NUMBER, _WHEN, _NAME, _SIZE, _CONDITION, _NEXT, _END = 3, 16, 15, 8, 9, 13, 9
_HEAD = ("", "when", "who", "held", "why", "next", "end")
_SHORT = {
    StoryEnd.DIED: "died",
    StoryEnd.LIVES: "lives",
    StoryEnd.SIGNALLED: "signalled",
    StoryEnd.WAS_GONE: "was gone",
    StoryEnd.REFUSED: "refused",
    StoryEnd.FAILED: "failed",
    StoryEnd.DRY_RUN: "dry run",
    StoryEnd.NOBODY: "nobody",
    StoryEnd.KERNEL: "kernel",
    StoryEnd.UNKNOWN: "?",
}
_NOTHING = "Nothing was killed, and memory was never short, as far as this goes back."
_LEGEND = (
    "end: +SIZE is what came back when it died; `bustd history 1` tells the whole story of the last one, by its "
    "number in the first column."
)
_UNCLEAN = "the boot ended without a shutdown: the last minutes of its journal may be missing"


def table(told: list[Story], unclean: dict[str, BootEnd], boots: list[str]) -> Iterator[str]:
    """The lines of all stories, the newest last and number 1: it stands next to the prompt. `boots`: in their order."""
    if not told:
        yield from _folded(_NOTHING)
    rows: list[tuple[str, str]] = [
        (story.boot, _row(number, story, facts(story)))
        for number, story in zip(range(len(told), 0, -1), told, strict=True)
        if number <= MOST_ROWS
    ]
    if rows:
        yield _columns(*_HEAD)
    if len(told) > MOST_ROWS:
        yield f"({len(told) - MOST_ROWS} older ones are left out: --json has them)"
    for boot in boots:
        yield from (row for its, row in rows if its == boot)
        if boot in unclean:
            yield from _folded(f"{_end_of(unclean[boot])}: {_UNCLEAN}", " " * (_NUMBER + 1))
    if rows:
        yield ""
        yield from _folded(_LEGEND)


def whole(number: int, story: Story, unclean: BootEnd | None) -> Iterator[str]:
    """One story: what it comes to, then each entry with its time after the decision."""
    its = facts(story)
    yield from _folded(f"{number}. {_local(story.began.entry.time_us, '%Y-%m-%d %H:%M:%S %Z')}: {_headline(its)}")
    yield ""
    for name, text in _details(its):
        yield from textwrap.wrap(f"  {name:10}{text}", COLUMNS, subsequent_indent=" " * 12, break_on_hyphens=False)
    yield ""
    for moment in story.moments:
        writer = KILLER if is_killers(moment.entry) else MONITOR
        at = _after(story.began, moment)
        said = printable(moment.entry.message)
        yield from textwrap.wrap(
            f"{at:>12}  {writer}: {said}", COLUMNS, subsequent_indent=" " * 14, break_on_hyphens=False
        )
    if unclean is not None:
        yield ""
        yield from _folded(f"{_end_of(unclean)}: {_UNCLEAN}.")


# --- the table


def _row(number: int, story: Story, its: Facts) -> str:
    back = its.end is StoryEnd.DIED and its.came_back
    return _columns(
        str(number),
        _local(story.began.entry.time_us),
        _who(its),
        "" if its.held_bytes is None else size(its.held_bytes),
        its.condition,
        its.next_ones[0].comm if its.next_ones else "",
        f"+{size(back)}" if back else _SHORT[its.end],
    )


def _who(its: Facts) -> str:
    if its.pid is not None:
        return its.comm or f"PID {its.pid}"
    return "(nobody)" if its.end is StoryEnd.NOBODY else f"(kernel: {its.killed_by_kernel or 0})"


def _columns(number: str, when: str, who: str, held: str, why: str, then: str, end: str) -> str:
    cells = (
        *(f"{number:>{_NUMBER}}", _fitted(when, _WHEN), _fitted(who, _NAME), f"{held:>{_SIZE}}"),
        *(_fitted(why, _CONDITION), _fitted(then, _NEXT), _fitted(end, _END)),
    )
    return " ".join(cells).rstrip()


def _fitted(text: str, columns: int) -> str:
    """Exactly so many columns: what no terminal shows is escaped, what is too long is cut, and says so."""
    shown = printable(text)
    if _width(shown) > columns:
        while _width(shown) > columns - 1:
            shown = shown[:-1]
        shown += "…"
    return shown + " " * (columns - _width(shown))


def _width(text: str) -> int:
    """The columns that it takes on a terminal."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _end_of(end: BootEnd) -> str:
    return f"{_local(end.last_us)} {'or soon after' if end.is_of_all else 'or later'}"


# --- one story


def _headline(its: Facts) -> str:
    who = f"{its.pid} ({printable(its.comm)})" if its.comm else str(its.pid)
    if its.pid is None:
        if its.killed_by_kernel:
            count = its.killed_by_kernel
            return f"the kernel was first, and killed {count} {'process' if count == 1 else 'processes'}"
        return "memory was short, and no death would have helped"
    said = {
        StoryEnd.DIED: f"{who} died",
        StoryEnd.LIVES: f"{who} was signalled, and lives",
        StoryEnd.SIGNALLED: f"{who} was signalled; its end is not in the log",
        StoryEnd.WAS_GONE: f"{who} was to die, and was gone before",
        StoryEnd.REFUSED: f"{who} was to die, and the killer refused",
        StoryEnd.FAILED: f"{who} was to die, and the signal failed",
        StoryEnd.DRY_RUN: f"{who} would have died: this was a dry run",
    }
    return said.get(its.end, f"{who} was to die; what came of it is not in the log")


def _details(its: Facts) -> Iterator[tuple[str, str]]:
    if its.pid is not None:
        parts = [
            f"PID {its.pid}",
            printable(its.comm),
            "" if its.uid is None else f"uid {its.uid}",
            f"unit {printable(its.unit)}" if its.unit else "",
            "" if its.held_bytes is None else f"holding {size(its.held_bytes)}",
        ]
        yield "who", ", ".join(part for part in parts if part)
    if its.condition:
        seen = f", {size(its.available)} available" if its.available is not None else ""
        of = f" of {size(its.total)}" if seen and its.total is not None else ""
        signal = f"; SIG{printable(its.signal)}" if its.signal else ""
        yield "why", f"{printable(its.condition)}{seen}{of}{signal}"
    if its.reason:
        yield "refused", printable(its.reason)
    if its.next_ones:
        yield "next", "; ".join(_next(one) for one in its.next_ones)
    if its.end in (StoryEnd.DIED, StoryEnd.LIVES) and its.elapsed_ms is not None:
        yield "end", f"{'gone' if its.end is StoryEnd.DIED else 'alive'} after {its.elapsed_ms} ms"
    if its.came_back is not None:
        yield "came back", size(its.came_back)
    if its.killed_by_kernel:
        yield "kernel", f"killed {its.killed_by_kernel} for want of memory (journalctl -k says which)"


def _next(one: NextOne) -> str:
    return f"{one.pid} ({printable(one.comm)}, uid {one.uid}, {size(one.held_bytes)})"


def _after(began: Moment, moment: Moment) -> str:
    """The time after the decision, in seconds."""
    elapsed_us = moment.at_us - began.at_us
    return f"{elapsed_us / 1e6:+.3f} s" if moment.entry.kind is not events.DECIDED or elapsed_us else "0 s"


def _local(time_us: int, form: str = "%Y-%m-%d %H:%M") -> str:
    return time.strftime(form, time.localtime(time_us // 1_000_000))


def _folded(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(text, COLUMNS, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
