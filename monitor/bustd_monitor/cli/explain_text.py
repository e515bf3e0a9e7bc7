"""`bustd explain` for people: conditions, victims, what is left out, and rules, in lines that fit the screen."""

from __future__ import annotations

from collections.abc import Iterator

from bustd_shared.daemon.log import printable

from ..conditions.finding import Finding
from ..conditions.table import demands, rests_on, unable
from ..reporting import one_process, reasons, sentences
from ..reporting.describe import describe
from ..reporting.rules import rule_match
from .look import Look
from .screen import Column, Screen, Tone
from .seen_now import state

_SHOWN = 10
_NAME_COLUMNS = 24
_AFTER_NAME = 12
"""Where the text of a condition begins."""
_TONES = {"fires": Tone.ALARM, "scarce": Tone.DOUBT, "quiet": Tone.GOOD}

_VICTIMS = (
    Column("", is_number=True),
    Column("PID", is_number=True),
    Column("NAME", _NAME_COLUMNS),
    Column("HOLDS", is_number=True),
    Column("UNIT"),
)
_LEFT_OUT = (
    Column("PID", is_number=True),
    Column("NAME", _NAME_COLUMNS),
    Column("HOLDS", is_number=True),
    Column("WHY"),
)


def lines(look: Look, screen: Screen, *, with_descriptions: bool = True) -> list[str]:
    """Each is printable, except for colours where the screen has them. A long one may be several, with newlines.

    `with_descriptions`: user, age, command line and parents of each victim, which are read now.
    """
    shown = [*_machine(look, screen), *_conditions(look, screen)]
    if look.pid is not None:
        return [*shown, *_one_process(look, screen)]
    return [
        *shown,
        *_victims(look, screen, with_descriptions=with_descriptions),
        *_left_out(look, screen),
        *_rules(look, screen),
    ]


def _machine(look: Look, screen: Screen) -> Iterator[str]:
    reading = look.seen.reading
    yield screen.folded(f"{look.watching[0].upper()}{look.watching[1:]}", hanging=2)
    if look.dry_run:
        yield screen.painted(screen.folded(f"{sentences.DRY_RUN[0].upper()}{sentences.DRY_RUN[1:]}"), Tone.DOUBT)
    yield screen.folded(f"Now: {sentences.readings(reading)}", hanging=5)
    unmovable = f"a tmpfs ({sentences.size(reading.tmpfs)}) and huge pages ({sentences.size(reading.hugetlb)})"
    yield screen.folded(f"No death frees what is in {unmovable}", hanging=2)


def _conditions(look: Look, screen: Screen) -> Iterator[str]:
    yield ""
    yield screen.painted("Conditions:", Tone.HEADING)
    for finding in look.found:
        yield from _condition(finding, look, screen)
    for name in look.conditions._fields:
        if name not in [finding.name for finding in look.found]:
            yield f"  {name:9} off"
    for warning in look.warnings:
        yield screen.folded(f"warning: {warning}", 2, 4)
    yield f"  the next look would be in {look.next_look_ms} ms, or when PSI says so"
    yield screen.folded(sentences.fill_rate(look.fill_per_second, look.fill_why), 2, 4)


def _condition(finding: Finding, look: Look, screen: Screen) -> Iterator[str]:
    """Its name and state, and what it demands; below that, how far away it is, and what else it rests on."""
    reading = look.seen.reading
    asks = demands(finding.condition, reading, look.conditions)
    why_not = unable(finding.condition, look.seen, look.conditions, look.pressure_trouble)
    if why_not:
        yield _with_state(screen, finding.name, "can't fire", Tone.DOUBT, why_not)
        yield screen.folded(f"it would: {asks}", _AFTER_NAME)
        return
    word = f"FIRES, SIG{finding.signal.name}" if finding.fires else state(finding)
    yield _with_state(screen, finding.name, word, _TONES[state(finding)], asks)
    if not finding.is_scarce:
        yield screen.folded(f"{sentences.size(finding.headroom)} away", _AFTER_NAME)
    if grounds := rests_on(finding.condition, look.seen, look.conditions):
        yield screen.folded(grounds, _AFTER_NAME)


def _with_state(screen: Screen, name: str, word: str, tone: Tone, text: str) -> str:
    folded = screen.folded(f"{name:9} {word}: {text}", 2, _AFTER_NAME)
    return folded.replace(word, screen.painted(word, tone), 1)


def _one_process(look: Look, screen: Screen) -> Iterator[str]:
    if look.standing is None:
        return
    yield ""
    process = look.standing.process
    yield screen.folded(sentences.holder(process), hanging=4)
    yield screen.cut(describe(process.pid), 4)
    for line in one_process.lines(look.standing):
        indent = len(line) - len(line.lstrip())
        yield screen.folded(line.lstrip(), indent, indent + 2)


def _victims(look: Look, screen: Screen, *, with_descriptions: bool) -> Iterator[str]:
    """Two lines below each row say why it has its place, and what it is."""
    yield ""
    yield screen.painted("The most likely victims, the first to die first:", Tone.HEADING)
    shown = look.candidates[:_SHOWN]
    if not shown:
        yield "  none: no process may be killed whose death would help"
        return
    rows = [
        (
            f"{place}.",
            str(candidate.process.pid),
            printable(candidate.process.comm),
            sentences.size(candidate.process.held_bytes),
            printable(candidate.process.unit) or "none",
        )
        for place, candidate in enumerate(shown, 1)
    ]
    head, *lines = screen.table(_VICTIMS, rows, 1)
    yield head
    for line, candidate in zip(lines, shown, strict=True):
        yield line
        yield screen.folded(reasons.place(candidate), 6, 8)
        if with_descriptions:
            yield screen.cut(describe(candidate.process.pid), 6)


def _left_out(look: Look, screen: Screen) -> Iterator[str]:
    if not look.left_out:
        return
    yield ""
    yield screen.painted("Left out:", Tone.HEADING)
    yield from screen.table(
        _LEFT_OUT,
        [
            (
                str(left.process.pid),
                printable(left.process.comm),
                sentences.size(left.process.held_bytes),
                reasons.left_out(left),
            )
            for left in look.left_out[:_SHOWN]
        ],
        2,
    )


def _rules(look: Look, screen: Screen) -> Iterator[str]:
    if not look.matches:
        return
    yield ""
    yield screen.painted("Rules, and what each of them matches now:", Tone.HEADING)
    for match in look.matches:
        yield screen.folded(rule_match(match), 2, 4)
