"""The three pictures: memory over time, what each condition said, and the order of the victims."""

from __future__ import annotations

from bustd_monitor.ranking.order import Candidate

from . import svg
from .crisis import Crisis
from .svg import BLUE, FAINT, GREEN, GRID, INK, ORANGE, RED, WIDTH, Scale

MIB = 2**20
LEFT, RIGHT = 58, WIDTH - 96


def memory(crisis: Crisis) -> str:
    """What is available, and what the two programs hold."""
    top, bottom = 48, 318
    x = Scale(0, crisis.end_ms, LEFT, RIGHT)
    y = Scale(0, 800, bottom, top)
    parts = [svg.text(16, 26, "Memory (MiB) over the seconds of the trace", bold=True)]
    for mib in range(0, 801, 200):
        parts += [svg.line(LEFT, y(mib), RIGHT, y(mib)), svg.text(LEFT - 8, y(mib) + 4, f"{mib}", anchor="end")]
    for second in range(0, crisis.end_ms // 1000 + 1, 10):
        parts.append(svg.text(x(second * 1000), bottom + 20, f"{second} s", anchor="middle", colour=FAINT))
    least = crisis.reading_at(crisis.killed_ms).total // 10
    parts += [
        svg.line(LEFT, y(least / MIB), RIGHT, y(least / MIB), colour=RED, dashed=True),
        svg.text(x(11_000), y(least / MIB) - 6, f"floor: {least // MIB} MiB available", colour=RED),
        svg.line(x(crisis.killed_ms), top, x(crisis.killed_ms), bottom, colour=INK, dashed=True),
        svg.text(x(crisis.killed_ms) - 6, top + 12, "SIGTERM for leak", anchor="end"),
    ]
    available = [(x(at_ms), y(reading.available / MIB)) for at_ms, reading in crisis.readings]
    parts += [svg.curve(available, BLUE), svg.text(RIGHT + 6, available[-1][1] + 4, "available", colour=BLUE)]
    for name, colour in (("hold", GREEN), ("leak", ORANGE)):
        points = [(x(at_ms), y(held / MIB)) for at_ms, held in crisis.sizes[name]]
        if name == "leak":  # what it held when it was chosen is in no table
            chosen = crisis.ask.candidate.held_bytes / MIB
            points = [*points, (x(crisis.killed_ms), y(chosen)), (x(crisis.gone_ms), y(0))]
        parts.append(svg.curve(points, colour))
    hold = crisis.sizes["hold"][-1]
    parts.append(svg.text(RIGHT + 6, y(hold[1] / MIB) + 4, "hold, idle", colour=GREEN))
    leak = crisis.sizes["leak"][0]
    parts.append(svg.text(x(leak[0]) - 8, y(leak[1] / MIB) + 8, "leak, grows", anchor="end", colour=ORANGE))
    return svg.picture(350, "Available memory falls while leak grows, and comes back when leak dies", parts)


STATES = {
    "quiet": (GRID, "quiet: enough memory"),
    "scarce": ("#e6a817", "memory is short enough, but no program stalls"),
    "fires": (RED, "fires"),
}


def conditions(crisis: Crisis) -> str:
    """For each condition a bar of what it said in the last seconds."""
    x = Scale(crisis.killed_ms - 10_000, crisis.killed_ms + 4_000, 110, WIDTH - 24)
    parts = [svg.text(16, 26, "What each condition said, from 10 s before the signal to 4 s after it", bold=True)]
    for row, (name, told) in enumerate(crisis.states.items()):
        top = 46 + row * 34
        parts.append(svg.text(98, top + 17, name, anchor="end"))
        for start_ms, end_ms, state in spans(told, int(x.low), int(x.high)):
            parts.append(svg.box(x(start_ms), top, x(end_ms) - x(start_ms), 24, STATES[state][0]))
    bottom = 46 + len(crisis.states) * 34
    parts += [
        svg.line(x(crisis.killed_ms), 40, x(crisis.killed_ms), bottom, colour=INK, dashed=True),
        svg.text(x(crisis.killed_ms), bottom + 14, "SIGTERM", anchor="middle"),
    ]
    for after in (-10, -5, 4):
        at = x(crisis.killed_ms + after * 1000)
        anchor = "middle" if after == -5 else "start" if after < 0 else "end"
        parts.append(svg.text(at, bottom + 14, f"{after:+d} s", anchor=anchor, colour=FAINT))
    place = 110.0
    for colour, words in STATES.values():
        parts += [svg.box(place, bottom + 30, 14, 14, colour), svg.text(place + 20, bottom + 42, words)]
        place += 44 + 7.2 * len(words)
    return svg.picture(bottom + 58, "Only floor fires; the others are quiet or wait for stalls", parts)


def spans(told: list[tuple[int, str]], low_ms: int, high_ms: int) -> list[tuple[int, int, str]]:
    """From and until when a state was said, within these times: each holds until the next reading."""
    found: list[tuple[int, int, str]] = []
    for (at_ms, state), (until_ms, _) in zip(told, [*told[1:], (high_ms, "")], strict=True):
        start_ms, end_ms = max(at_ms, low_ms), min(until_ms, high_ms)
        if start_ms >= end_ms:
            continue
        if found and found[-1][2] == state:
            start_ms = found.pop()[0]
        found.append((start_ms, end_ms, state))
    return found


def order(crisis: Crisis) -> str:
    """For each candidate what its death gives back, and what its growth adds."""
    ranked = [crisis.ask.candidate, *crisis.ask.runners_up]
    x = Scale(0, max(one.badness for one in ranked) / MIB, 110, WIDTH - 110)
    parts = [svg.text(16, 26, "Who dies first: badness in MiB", bold=True)]
    for row, candidate in enumerate(ranked):
        parts += _bar(candidate, 46 + row * 46, x)
    bottom = 46 + len(ranked) * 46
    parts += [
        *[svg.box(110, bottom + 4, 14, 14, BLUE), svg.text(130, bottom + 16, "what its death gives back")],
        *[svg.box(330, bottom + 4, 14, 14, ORANGE, faint=True), svg.text(350, bottom + 16, "bonus: it runs away")],
    ]
    return svg.picture(bottom + 34, "leak comes first because it runs away, although hold is larger", parts)


def _bar(candidate: Candidate, top: float, x: Scale) -> list[str]:
    held, badness = candidate.held_bytes / MIB, candidate.badness / MIB
    parts = [
        svg.text(98, top + 20, candidate.process.comm.decode(), anchor="end"),
        svg.box(x(0), top, x(held) - x(0), 30, BLUE),
        svg.text(x(badness) + 8, top + 20, f"{badness:.0f}", bold=True),
    ]
    if x(held) - x(0) > 40:
        parts.append(svg.text(x(0) + 8, top + 20, f"{held:.0f}", colour="#ffffff"))
    if badness - held > 1:
        parts += [
            svg.box(x(held), top, x(badness) - x(held), 30, ORANGE, faint=True),
            svg.text(x(held) + 8, top + 20, f"+{badness - held:.0f}"),
        ]
    return parts


PICTURES = {"memory": memory, "conditions": conditions, "order": order}
