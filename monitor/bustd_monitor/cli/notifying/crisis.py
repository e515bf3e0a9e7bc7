"""From events, the clock and the user's answers to what should be on the screen. Pure.

`Crisis` is what the agent remembers, and `wanted` is what follows from it: a warning, and what has died. Nothing here
knows a server: `desk` compares what is wanted with what is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ...reporting import events
from ..entries import Entry
from . import texts
from .candidates import MOST_OFFERED, Glance, NamedProcess, offers_of, targets_of
from .texts import Death, Note, Shortage

FRESH_WARNING_US = 5_000_000
"""The socket begins with what the monitor remembers: an older warning is over."""
FRESH_DEATH_US = 300_000_000
"""A death of this age is still told: the session may have ended with it, and the user has just logged in again."""
STALE_MS = 300_000
"""A warning that is not repeated for this time, or for twice the time that it gave, is taken back."""
TOGETHER_MS = 60_000
"""A death within this time after the last one is told in the same notification."""
BACK_PART = 20
"""Memory is back when this part of it is available beyond what the warning said."""
END, SPARE = "end", "spare"
"""What the user can choose for a process."""
_MOST_DECIDED = 16
_MOST_DEATHS = 64


class Alarm(NamedTuple):
    """The warning that is on. `targets`: the candidates that the event named, without those that the user chose.

    `answer`: what has become of the last button. `is_dismissed`: the user has closed it, and does not see it again.
    """

    shortage: Shortage
    targets: tuple[NamedProcess, ...]
    stale_at_ms: int
    answer: str = ""
    is_dismissed: bool = False


class Decided(NamedTuple):
    """What a decision said of its victim: the event of its end has only some of it."""

    pid: int
    held_bytes: int


class Crisis(NamedTuple):
    """What the agent remembers. `story`: how many notifications of deaths there were; the last one tells `died`.

    `heard_us`: when the last event was made, by CLOCK_MONOTONIC; what is not after `since_us` was heard before.
    """

    uid: int
    alarm: Alarm | None = None
    decided: tuple[Decided, ...] = ()
    died: tuple[Death, ...] = ()
    died_at_ms: int = 0
    story: int = 0
    heard_us: int = 0
    since_us: int = 0


class Wanted(NamedTuple):
    """What should be on the screen. A new `story` does not replace the notification of the last one."""

    warning: Note | None
    deaths: Note | None
    story: int


def wanted(crisis: Crisis) -> Wanted:
    """What should be on the screen now."""
    alarm = crisis.alarm
    is_on = alarm is not None and not alarm.is_dismissed
    return Wanted(
        texts.warning(alarm.shortage, crisis.uid, alarm.answer) if alarm is not None and is_on else None,
        texts.deaths(crisis.died) if crisis.died else None,
        crisis.story,
    )


# --- events


def reconnected(crisis: Crisis) -> Crisis:
    """The socket tells from its beginning again: what was heard is not heard twice."""
    return crisis._replace(since_us=crisis.heard_us)


def heard(crisis: Crisis, entry: Entry, now_us: int, look: Callable[[NamedProcess], Glance]) -> Crisis:
    """An event has come. `now_us`: CLOCK_MONOTONIC. `look`: what the user may do with a process of theirs."""
    made_us = entry.number("__MONOTONIC_TIMESTAMP") or 0
    if made_us <= crisis.since_us:
        return crisis
    crisis = crisis._replace(heard_us=max(crisis.heard_us, made_us))
    age_us, now_ms, kind = now_us - made_us, now_us // 1000, entry.kind
    if kind == events.SHORT_SOON and age_us <= FRESH_WARNING_US:
        return _warned(crisis, entry, now_ms, look)
    if kind == events.DECIDED:
        return _decided(crisis, entry)
    if kind in (events.ENDED, events.LIVES) and age_us <= FRESH_DEATH_US:
        return _ended(crisis, entry, now_ms)
    return crisis._replace(alarm=None) if kind == events.NO_SHORTAGE else crisis


def _warned(crisis: Crisis, entry: Entry, now_ms: int, look: Callable[[NamedProcess], Glance]) -> Crisis:
    """A warning that says the same again only lasts longer: each notification that changes disturbs the user."""
    alarm, targets = crisis.alarm, targets_of(entry)
    short_in_ms = entry.own_number("SHORT_IN_MS") or 0
    stale_at_ms = now_ms + max(STALE_MS, 2 * short_in_ms)
    if alarm is not None and (alarm.is_dismissed or _are_same(alarm.targets, targets)):
        return crisis._replace(alarm=alarm._replace(stale_at_ms=stale_at_ms))
    available, total = entry.own_number("AVAILABLE_BYTES") or 0, entry.own_number("TOTAL_BYTES") or 0
    offers = offers_of(targets, crisis.uid, look)
    shortage = Shortage(short_in_ms, available, total, targets[0] if targets else None, offers)
    return crisis._replace(alarm=Alarm(shortage, targets, stale_at_ms, alarm.answer if alarm is not None else ""))


def _are_same(before: tuple[NamedProcess, ...], now: tuple[NamedProcess, ...]) -> bool:
    """Whether the same processes come first, in the same order."""
    first = [[(one.pid, one.start_ticks) for one in some[:MOST_OFFERED]] for some in (before, now)]
    return first[0] == first[1]


def _decided(crisis: Crisis, entry: Entry) -> Crisis:
    pid, held_bytes = entry.own_number("VICTIM_PID"), entry.own_number("VICTIM_BYTES")
    if pid is None or held_bytes is None:
        return crisis
    others = tuple(one for one in crisis.decided if one.pid != pid)
    return crisis._replace(decided=(*others, Decided(pid, held_bytes))[-_MOST_DECIDED:])


def _ended(crisis: Crisis, entry: Entry, now_ms: int) -> Crisis:
    """A victim is gone, or lives on. With its death memory is back, and the warning is over."""
    pid, uid = entry.own_number("VICTIM_PID"), entry.own_number("VICTIM_UID")
    if pid is None:
        return crisis
    lives = entry.kind == events.LIVES
    death = Death(
        entry.own("VICTIM_COMM"),
        is_own=uid == crisis.uid,
        held_bytes=next((one.held_bytes for one in crisis.decided if one.pid == pid), 0),
        condition=entry.own("CONDITION"),
        available_bytes=entry.own_number("AVAILABLE_BYTES") or 0,
        total_bytes=entry.own_number("TOTAL_BYTES") or 0,
        lives=lives,
    )
    is_new = now_ms - crisis.died_at_ms > TOGETHER_MS or not crisis.died
    died = (death,) if is_new else (*crisis.died, death)[-_MOST_DEATHS:]
    alarm = crisis.alarm if lives else None
    story = crisis.story + is_new
    decided = tuple(one for one in crisis.decided if one.pid != pid)
    return crisis._replace(alarm=alarm, decided=decided, died=died, died_at_ms=now_ms, story=story)


# --- time, memory, and the user


def passed(crisis: Crisis, now_ms: int) -> Crisis:
    """Time has passed."""
    alarm = crisis.alarm
    return crisis._replace(alarm=None) if alarm is not None and now_ms >= alarm.stale_at_ms else crisis


def available(crisis: Crisis, available_bytes: int) -> Crisis:
    """This much is available now: with clearly more than the warning said, memory is back."""
    alarm = crisis.alarm
    if alarm is None:
        return crisis
    shortage = alarm.shortage
    is_back = available_bytes > shortage.available_bytes + shortage.total_bytes // BACK_PART
    return crisis._replace(alarm=None) if is_back else crisis


def dismissed_warning(crisis: Crisis) -> Crisis:
    """The user has closed the warning: no answer, and bustd chooses."""
    alarm = crisis.alarm
    return crisis if alarm is None else crisis._replace(alarm=alarm._replace(is_dismissed=True))


def dismissed_deaths(crisis: Crisis) -> Crisis:
    """The user has read what died: a later death is a story of its own."""
    return crisis._replace(died=())


def offered(crisis: Crisis, key: str) -> tuple[NamedProcess, str] | None:
    """The process and the choice (END or SPARE) that a button means; None if it is not offered (any more)."""
    if crisis.alarm is None:
        return None
    for offer in crisis.alarm.shortage.offers:
        if offer.look.may_end and key == texts.end_key(offer.target):
            return offer.target, END
        if offer.look.may_spare and key == texts.spare_key(offer.target):
            return offer.target, SPARE
    return None


def answered(crisis: Crisis, target: NamedProcess, answer: str, look: Callable[[NamedProcess], Glance]) -> Crisis:
    """A choice was carried out, or failed: the warning says so, and offers the others."""
    alarm = crisis.alarm
    if alarm is None:
        return crisis
    left = tuple(one for one in alarm.targets if (one.pid, one.start_ticks) != (target.pid, target.start_ticks))
    first = left[0] if left else None
    shortage = alarm.shortage._replace(first=first, offers=offers_of(left, crisis.uid, look))
    return crisis._replace(alarm=alarm._replace(shortage=shortage, targets=left, answer=answer))
