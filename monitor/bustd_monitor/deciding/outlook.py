"""Warnings before a process must die: memory is scarce, or will be short in so many seconds. Pure.

They rest on the readings that are made anyway, at most one a second, and on `floor`: what slow leaks end with. Each is
told once, and again only after memory was back for a while. A program that starts takes memory as fast as a leak does,
and one that collects garbage again and again. So a warning needs a rate that has held for many seconds, and less memory
than there was in any of the last minutes.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..conditions import filling
from ..conditions.filling import Sample
from ..conditions.floor import CONDITION, Floor, floor_bytes, left_bytes
from ..sensing.reading import Reading
from .actions import News, Scarce, ShortSoon

_APART_MS = 1000
_SEEN_MS, _LEAST_SEEN_MS = 20_000, 10_000
_LATEST = 6
"""Memory must still fill up in so many of the last samples."""
AHEAD_MS = 20_000
"""So long before memory is short it is told, if it goes on as it goes."""
_LOWS_MS = 600_000
_SCARCE_PART = 2
"""Memory is scarce where no more is left than this part of what `floor` calls short."""
_BACK_PART, _BACK_MS = 16, 30_000
"""Memory is back when this part of what programs can use is left beyond what was left, for so long without a break."""


class Outlook(NamedTuple):
    """`rooms`: what was available, with usable swap, in the last 20 s. `lows`: since when, and the least that was left.

    `lows` has an entry for each 20 s of the last ten minutes. `told_scarce`, `told_short`: what was told since memory
    was back last. It is back with `back_bytes`, 0 if nothing was told; `back_ms`: since when that is so, -1 if it is
    not.
    """

    latest_ms: int = -_APART_MS
    rooms: tuple[Sample, ...] = ()
    lows: tuple[Sample, ...] = ()
    told_scarce: bool = False
    told_short: bool = False
    back_bytes: int = 0
    back_ms: int = -1


def advanced(outlook: Outlook, reading: Reading, now_ms: int, floor: Floor) -> tuple[Outlook, tuple[News, ...]]:
    """The outlook after one more reading, and what it gives warning of: each counts as told from now on."""
    if not floor.enabled or 0 <= now_ms - outlook.latest_ms < _APART_MS:
        return outlook, ()
    if now_ms < outlook.latest_ms:
        outlook = Outlook()
    left = left_bytes(reading, floor)
    outlook = _after_memory_was_back(outlook._replace(latest_ms=now_ms), left, now_ms)
    if not reading.is_whole:
        return outlook._replace(rooms=()), ()
    outlook = outlook._replace(
        rooms=(*_since(outlook.rooms, now_ms - _SEEN_MS), (now_ms, reading.available + reading.swap_usable)),
        lows=_with_low(outlook.lows, left, now_ms),
    )
    told: list[News] = []
    per_second = _rate(outlook, left, now_ms)
    short_ms = left * 1000 // per_second if per_second else None
    scarce_bytes = floor_bytes(reading, floor) // _SCARCE_PART
    if left <= scarce_bytes and not outlook.told_scarce:
        told.append(Scarce(reading, CONDITION, left, short_ms))
        outlook = outlook._replace(told_scarce=True)
    if short_ms is not None and short_ms <= AHEAD_MS and not outlook.told_short:
        told.append(ShortSoon(reading, CONDITION, left, short_ms, per_second))
        outlook = outlook._replace(told_short=True)
    if told:
        back_bytes = max(left, scarce_bytes, 0) + reading.total // _BACK_PART
        outlook = outlook._replace(back_bytes=max(outlook.back_bytes, back_bytes))
    return outlook, tuple(told)


def after_death(outlook: Outlook) -> Outlook:
    """What memory came to before a death says nothing about what comes after it."""
    return outlook._replace(rooms=(), lows=())


def _after_memory_was_back(outlook: Outlook, left: int, now_ms: int) -> Outlook:
    """Everything may be told again, once so much is left for so long."""
    if not outlook.back_bytes:
        return outlook
    if left < outlook.back_bytes:
        return outlook._replace(back_ms=-1)
    if outlook.back_ms < 0:
        return outlook._replace(back_ms=now_ms)
    if now_ms - outlook.back_ms < _BACK_MS:
        return outlook
    return outlook._replace(told_scarce=False, told_short=False, back_bytes=0, back_ms=-1)


def _rate(outlook: Outlook, left: int, now_ms: int) -> int:
    """Bytes a second at which memory fills up; 0 if it does not, if that was not seen for long, or is no news."""
    rooms, lows = outlook.rooms, outlook.lows
    if left <= 0 or rooms[-1][0] - rooms[0][0] < _LEAST_SEEN_MS:
        return 0
    if any(left >= low for since_ms, low in lows if since_ms + _SEEN_MS <= now_ms - _SEEN_MS):
        return 0
    return min(filling.sustained(rooms).per_second, filling.sustained(rooms[-_LATEST:]).per_second)


def _with_low(lows: tuple[Sample, ...], left: int, now_ms: int) -> tuple[Sample, ...]:
    if not lows or not 0 <= now_ms - lows[-1][0] < _SEEN_MS:
        return (*_since(lows, now_ms - _LOWS_MS), (now_ms, left))
    since_ms, low = lows[-1]
    return lows if low <= left else (*lows[:-1], (since_ms, left))


def _since(samples: tuple[Sample, ...], from_ms: int) -> tuple[Sample, ...]:
    return tuple([sample for sample in samples if sample[0] >= from_ms])
