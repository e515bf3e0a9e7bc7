"""Deaths for which no process grew, and what one more has to be worth. Pure.

Where a tmpfs, the kernel or a balloon fills memory, each death only feeds it: the next shortage comes as soon as it has
taken what came back, and a whole desktop would die for it, one program after another. So these deaths are remembered,
however long that takes: until what fills memory has given back half of what it took, ten minutes after the last of them
or later. What dies because it takes memory itself is not counted, and may always die.

Until then another one dies only where the machine would not live on without that (SIGKILL is due, or programs stall),
and only if it brings half of what is missing, and if that lasts: half a minute for the second, and ten times as long
for each further one. Nobody can tell whether what fills memory will ever stop. If it stops soon, the second death
mostly ends it, and without it the kernel would have to kill. If it does not stop, it gets everything in the end, and
each death only puts that off; so it must put it off for long enough that a person can do something about it. Meanwhile
the log says what fills memory, and what to do.

Simulated: ten idle programs that hold two thirds of RAM, and a tmpfs that takes nine tenths in 5 to 40 minutes. bustd
killed up to ten of them, and now kills one or two. Both don't fit into RAM: where nobody acts, the kernel kills those
that bustd killed before. Where the tmpfs stops at a third, bustd kills one to three (it was two to four), and the
kernel none; except in 5 minutes on 4 GiB, where each kills one, as the second would have lasted just under 30 s.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..conditions import filled
from ..conditions.filled import NOTHING, UNKNOWN, Filled, Fillers, Unheld
from ..ranking.growth import WINDOW_MS
from ..sensing.reading import Reading

RECENT_MS = 60_000
"""For so long one more must bring half of what is missing, even if nothing is seen that fills memory."""
_SECOND_LASTS_MS, _DEARER = 30_000, 10
"""How long the second must last at the rate of filling, and how many times as long each further one."""
_RELIEF_MS = 600_000
"""What is deleted sooner may come again in a moment, and cost a program each time."""
_NOTICEABLE_PART = 4
"""What has filled this part of what is missing is what fills memory."""
_GIVEN_BACK_PART = 64
"""A smaller part of RAM than this comes and goes in any tmpfs: it is not counted as given back."""


class StillDeaths(NamedTuple):
    """The deaths for which no process grew; `number` 0: there are none to remember.

    `last_ms`: when the last victim was chosen. `amounts`: what no process held then, and `most_bytes`: the most that it
    has come to since. `left_bytes`: what was left of memory and swap then, and what that death was to bring.
    """

    number: int = 0
    last_ms: int = 0
    amounts: Filled = NOTHING
    most_bytes: int = 0
    left_bytes: int = 0


NONE = StillDeaths()


class Again(NamedTuple):
    """What one more death for which no process grows is measured by.

    `deaths`: how many there were, the last `elapsed_ms` ago. `filled`: what has grown since, and is held by no process.
    `per_second`: how fast. `is_filled`: that is what memory went to; then one more must last for `must_last_ms`.
    """

    deaths: int
    elapsed_ms: int
    filled: Filled
    per_second: int
    is_filled: bool
    must_last_ms: int

    def lasts_ms(self, bytes_brought: int) -> int:
        """How long it takes until this much is filled as well."""
        return bytes_brought * 1000 // max(self.per_second, 1)


class Stillness(NamedTuple):
    """What is seen at a ranking of what no process holds.

    `unheld`: what fills memory, UNKNOWN where a process does. `again`: what the death of one that does not take memory
    is measured by, None if it costs no more than the first. `deaths`: with that one; what it brings is still to be
    added.
    """

    unheld: Unheld = UNKNOWN
    again: Again | None = None
    deaths: StillDeaths = NONE
    ram: int = 0


def seen(
    deaths: StillDeaths, fillers: Fillers, reading: Reading, needed_bytes: int, gained_bytes: int, now_ms: int
) -> Stillness:
    """What is seen at a ranking. `needed_bytes`: what is missing; `gained_bytes`: by the one that gained most.

    Programs always come and go. One that gained less than half of what is filled in the same ten seconds, by no
    process, is not what fills memory.
    """
    unheld, amounts = filled.unheld(fillers, reading), filled.amounts(reading)
    one_more = StillDeaths(deaths.number + 1, now_ms, amounts, amounts.together, reading.unheld_bytes)
    over_ms = max(now_ms - fillers[0][0], RECENT_MS) if fillers else RECENT_MS
    again = _again(deaths, unheld.grown, over_ms, reading, needed_bytes, now_ms)
    is_by_process = gained_bytes and gained_bytes * over_ms * 2 >= unheld.grown.together * WINDOW_MS
    return Stillness(UNKNOWN if is_by_process else unheld, again, one_more, reading.ram)


def bringing(stillness: Stillness, bytes_brought: int) -> StillDeaths:
    """The deaths with the one that is asked for, which brings this much."""
    return stillness.deaths._replace(left_bytes=stillness.deaths.left_bytes + bytes_brought)


def advanced(deaths: StillDeaths, reading: Reading, now_ms: int) -> StillDeaths:
    """They are forgotten when what fills memory has given back half of what it took since the last of them.

    Not within ten minutes of it, in which it may come and go.
    """
    if not deaths.number or not reading.is_whole:
        return deaths
    held = filled.amounts(reading).together
    most = max(deaths.most_bytes, held)
    given_back = most - held if now_ms - deaths.last_ms >= _RELIEF_MS else 0
    if given_back >= reading.ram // _GIVEN_BACK_PART and given_back * 2 >= most - deaths.amounts.together:
        return NONE
    return deaths._replace(most_bytes=most)


def _again(
    deaths: StillDeaths, last_minute: Filled, over_ms: int, reading: Reading, needed_bytes: int, now_ms: int
) -> Again | None:
    """What one more is measured by. `over_ms`: how long that last minute was.

    What fills memory must have taken a good part of what is missing, and at least half of what was lost since the last
    death: else programs took it, however slowly.
    """
    if not deaths.number:
        return None
    elapsed_ms = max(now_ms - deaths.last_ms, 1)
    is_recent = elapsed_ms < RECENT_MS
    since = filled.difference(reading, deaths.amounts)
    per_second = max(since.together * 1000 // elapsed_ms, last_minute.together * 1000 // over_ms)
    took = max(since, last_minute, key=lambda one: one.together) if is_recent else since
    is_most = is_recent or took.together * 2 >= deaths.left_bytes - reading.unheld_bytes
    is_filled = is_most and took.together >= needed_bytes // _NOTICEABLE_PART
    if not is_filled and not is_recent:
        return None
    must_last_ms = _SECOND_LASTS_MS * _DEARER ** min(deaths.number - 1, 9)
    return Again(deaths.number, elapsed_ms, took, per_second, is_filled, must_last_ms)
