"""Warnings before a process must die: memory is scarce, or will be short in so many seconds. Pure.

They rest on the readings that are made anyway, at most one a second, and on `floor`: what slow leaks end with. Each is
told once, and again only after memory was back for a while. A program that starts takes memory as fast as a leak does,
and a heap that is collected takes it again and again. So memory must have gone down without a rest for many seconds,
to less than there was at any time in the last minutes.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..conditions.floor import CONDITION, Floor, floor_bytes, left_bytes
from ..sensing.reading import Reading
from .actions import News, Scarce, ShortSoon

_APART_MS = 1000
_SPELL_MS, _SPELLS, _LONGEST_MS = 5000, 5, 60_000
"""In each of so many spells, the last ones, memory went down; together they are no longer than this."""
_UNEVEN = 2
"""In none of them by less than half of what it was on the average: a step, or what slows down, is no rate."""
_LOWS_MS = 600_000
AHEAD_MS = 20_000
"""So long before memory is short it is told, if it goes on as it goes."""
_NEAR_PART = 8
"""But not before less than this part of RAM is left: what is taken fast mostly stops before that."""
_SCARCE_PART = 2
"""Memory is scarce where no more is left than this part of what `floor` calls short."""
_BACK_PART, _BACK_MS = 16, 30_000
"""Memory is back when this part of what programs can use is left beyond what was left, for so long without a break."""


class Low(NamedTuple):
    """The least of a spell that began at `since_ms`: of memory and usable swap, and of what was left until `floor`."""

    since_ms: int
    room_bytes: int
    left_bytes: int


class Outlook(NamedTuple):
    """`lows`: of the spells of the last ten minutes; `low`: of the one that goes on.

    `told_scarce`, `told_short`: what was told since memory was back last. It is back with `back_bytes`, 0 if nothing
    was told; `back_ms`: since when that is so, -1 if it is not.
    """

    latest_ms: int = -_APART_MS
    lows: tuple[Low, ...] = ()
    low: Low | None = None
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
        return outlook, ()
    outlook = _with_low(outlook, Low(now_ms, reading.available + reading.swap_usable, left))
    told: list[News] = []
    per_second = 0 if outlook.told_scarce and outlook.told_short else _rate(outlook.lows, now_ms)
    short_ms = max(left, 0) * 1000 // per_second if per_second else None
    scarce_bytes = floor_bytes(reading, floor) // _SCARCE_PART
    if left <= scarce_bytes and not outlook.told_scarce:
        told.append(Scarce(reading, CONDITION, left, short_ms))
        outlook = outlook._replace(told_scarce=True)
    is_near = 0 < left <= reading.ram // _NEAR_PART
    if is_near and short_ms is not None and short_ms <= AHEAD_MS and not outlook.told_short:
        told.append(ShortSoon(reading, CONDITION, left, short_ms, per_second))
        outlook = outlook._replace(told_short=True)
    if told:
        back_bytes = max(left, scarce_bytes, 0) + reading.total // _BACK_PART
        outlook = outlook._replace(back_bytes=max(outlook.back_bytes, back_bytes))
    return outlook, tuple(told)


def after_death(outlook: Outlook) -> Outlook:
    """What memory came to before a death says nothing about what comes after it."""
    return outlook._replace(lows=(), low=None)


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


def _with_low(outlook: Outlook, now: Low) -> Outlook:
    """The spell that goes on with what is left now, or the next one."""
    low = outlook.low
    if low is None:
        return outlook._replace(low=now)
    if now.since_ms - low.since_ms < _SPELL_MS:
        least = (min(low.room_bytes, now.room_bytes), min(low.left_bytes, now.left_bytes))
        return outlook._replace(low=Low(low.since_ms, *least))
    lows = tuple([one for one in outlook.lows if one.since_ms >= now.since_ms - _LOWS_MS])
    return outlook._replace(lows=(*lows, low), low=now)


def _rate(lows: tuple[Low, ...], now_ms: int) -> int:
    """Bytes a second at which memory has filled up without a rest; 0 if it has not, or if that is nothing new."""
    last = lows[-_SPELLS:]
    if len(last) < _SPELLS or now_ms - last[0].since_ms > _LONGEST_MS:
        return 0
    lost = [last[at].room_bytes - last[at + 1].room_bytes for at in range(_SPELLS - 1)]
    if min(lost) * len(lost) * _UNEVEN <= sum(lost) or min(lost) <= 0:
        return 0
    if any(one.left_bytes <= last[-1].left_bytes for one in lows[:-_SPELLS]):
        return 0
    return (last[0].room_bytes - last[-1].room_bytes) * 1000 // (last[-1].since_ms - last[0].since_ms)
