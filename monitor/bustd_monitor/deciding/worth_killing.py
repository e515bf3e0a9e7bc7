"""Would a death help? Some memory belongs to no process: tmpfs, shared memory, huge pages, the kernel's own. Pure."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple

from ..conditions.finding import Finding
from ..conditions.floor import Floor, floor_bytes
from ..ranking.order import Candidate, grows
from ..ranking.what_may_die import Cause, Shield, Spared
from ..sensing.preferences import OWN_AVOID
from ..sensing.processes import Process
from ..sensing.reading import Reading
from .still_deaths import Again

_ALWAYS_NOTICEABLE = 2**30
"""However high the floor is set: a share of this much is help on any machine."""

_NOTICEABLY_GAINED = 256 * 2**20
_DEMANDS_IT = 500
"""Who gives a process this oom_score_adj wants it to die first. With less it may be a default."""
_LITTLE_AIR_PART = 16
_LONG_LIST = 16
"""A ranking of this length may have been cut: then many more of the same size may come after it."""


class Relief(Enum):
    """What the death of the first of a choice brings."""

    WHOLE = "it ends the shortage"
    PART = "it does not end the shortage alone"
    MANY_HANDS = "hardly anything: many processes hold a little each"
    NONE = "no death would help"


class Choice(NamedTuple):
    """The candidates that are worth asking for, in the order of the ranking, and what the death of the first brings."""

    candidates: tuple[Candidate, ...]
    relief: Relief
    needed_bytes: int


def needed_bytes(reading: Reading, floor: Floor) -> int:
    """What must come back for the shortage to be over: up to the floor, and half of it again, to have some air."""
    least = floor_bytes(reading, floor)
    return least // 2 + max(least - reading.available, 0)


def enough_of_the_cause(reading: Reading, floor: Floor) -> int:
    """What must come back by the death of what runs away: nothing else grows, so hardly any air is needed."""
    least = floor_bytes(reading, floor)
    return least // _LITTLE_AIR_PART + max(least - reading.available, 0)


def worth_asking_for(candidates: tuple[Candidate, ...], reading: Reading, floor: Floor) -> Choice:
    """Leave out the candidates whose death would be in vain.

    None is moved up, except by `in_their_turn` and `as_its_user_asks`.

    What takes swap away stays first, whatever it holds.

    `relief_percent` of what is needed is noticeable. Where no candidate holds that there are two cases. If all of them
    together hold what is needed, or are so many that more may follow, memory is in many hands: then the first of them
    is right, and after it the next. If not, no process holds the memory, and one innocent after another would die for
    nothing.
    """
    needed = needed_bytes(reading, floor)
    if candidates and candidates[0].takes_swap_away:
        return Choice(candidates, Relief.WHOLE, needed)
    noticeable = min(needed, _ALWAYS_NOTICEABLE) * floor.relief_percent // 100
    candidates = in_their_turn(candidates, reading, floor)
    enough = enough_of_the_cause(reading, floor)
    helpful = tuple(one for one in candidates if one.brings_bytes >= noticeable or _is_the_cause(one, enough))
    if helpful:
        helpful = as_its_user_asks(helpful, needed)
        return Choice(helpful, Relief.WHOLE if helpful[0].brings_bytes >= needed else Relief.PART, needed)
    together = sum(one.brings_bytes for one in candidates)
    if candidates and (together >= needed or len(candidates) >= _LONG_LIST):
        return Choice(candidates, Relief.MANY_HANDS, needed)
    return Choice((), Relief.NONE, needed)


def first_worth_asking_for(
    firing: list[Finding],
    candidates: tuple[Candidate, ...],
    reading: Reading,
    floor: Floor,
    again: Again | None,
) -> tuple[Finding, Choice]:
    """The first finding with a candidate that is worth asking for, and the choice; else the last, and an empty choice.

    `again`: see worth_a_second; None where this death is not such a one.
    """
    short = [one for one in firing if one.filled_ahead is None]
    is_urgent = any(one.signal is Signal.KILL or one.condition.needs_time for one in short)
    for finding in firing:
        worthy = candidates if finding.filled_ahead is None else worth_it_ahead(candidates, finding.filled_ahead)
        choice = worth_asking_for(worthy, reading, floor)
        if again is not None and floor.relief_percent > 0:
            choice = worth_a_second(choice, again, reading.ram, is_urgent=is_urgent)
        if choice.candidates:
            break
    return finding, choice


def still_small(
    firing: list[Finding],
    candidates: tuple[Candidate, ...],
    spared: tuple[Spared, ...],
    enough: int,
    filled_bytes: int,
) -> Process | None:
    """The process that takes the memory, and that is spared only because it holds too little yet; None if none does.

    On a small machine that has lived close to the floor, a leak needs little to make memory short. It has gained more
    than all others together, and than what no process holds (`filled_bytes`), and its death would bring `enough`. There
    is time to wait for it while there would be for SIGTERM, and no condition fires that has seen memory fill up or
    programs stall.
    """
    is_urgent = any(one.signal is Signal.KILL or one.condition.needs_time for one in firing)
    if is_urgent or (candidates and candidates[0].takes_swap_away):
        return None
    too_small = [one.process for one in spared if one.shield is Shield.TOO_SMALL]
    small = max(too_small, key=lambda one: one.gained_bytes, default=None)
    if small is None or small.held_bytes < enough or not grows(small):
        return None
    gained = [*(one.process.gained_bytes for one in candidates), *(one.process.gained_bytes for one in spared)]
    others = sum([amount for amount in gained if amount > 0]) - small.gained_bytes
    return small if small.gained_bytes > max(others, filled_bytes) else None


def in_their_turn(candidates: tuple[Candidate, ...], reading: Reading, floor: Floor) -> tuple[Candidate, ...]:
    """The order in which they are asked for: that of the ranking, with two exceptions.

    oom_score_adj puts no candidate that holds less than what is needed before one that does. Any user may raise the
    oom_score_adj of small programs: a leak could hide behind hundreds of them. And a leak whose oom_score_adj was
    lowered would see every small program die before it.

    What runs away, and holds what is missing and a little more, comes before what does not run away, however much that
    holds: its death ends the shortage, and any other would only feed it. This is not so where a rule or an
    oom_score_adj of 500 or more wants the other to die first, or wants this one to die later. Desktops give 100 to 300
    to nearly everything that they start.
    """
    needed, enough = needed_bytes(reading, floor), enough_of_the_cause(reading, floor)
    candidates = _moved_up(candidates, lambda one: one.brings_bytes >= needed, _only_by_adj)
    return _moved_up(
        candidates,
        lambda one: _is_the_cause(one, enough),
        lambda one, _: not (one.runs_away or _is_demanded(one)),
    )


def as_its_user_asks(candidates: tuple[Candidate, ...], needed: int) -> tuple[Candidate, ...]:
    """The same order, but another process of the same user comes before the first, if that user asks for it.

    Only one that brings as much, or all that is needed: else a leak could hide behind its user's small programs, while
    memory runs out for all. One that is held back itself, as a compositor is, or that others die with, is not taken.
    No process of another user changes its place.
    """
    first = candidates[0]
    if first.process.preference != OWN_AVOID:
        return candidates
    enough = min(first.brings_bytes, needed)
    for place, other in enumerate(candidates):
        is_own = other.process.uid == first.process.uid and other.process.preference != OWN_AVOID
        if is_own and other.known == 1 and not other.is_held_back and other.brings_bytes >= enough:
            return (other, *candidates[:place], *candidates[place + 1 :])
    return candidates


def _moved_up(
    candidates: tuple[Candidate, ...],
    is_meant: Callable[[Candidate], bool],
    gives_way: Callable[[Candidate, Candidate], bool],
) -> tuple[Candidate, ...]:
    """The same order, but each that is meant comes before those that give way to it."""
    places = range(len(candidates))
    meant = [place for place in places if is_meant(candidates[place])]
    others = [place for place in places if place not in meant]
    order: list[int] = []
    while meant:
        behind = [candidates[place] for place in meant]
        while others and others[0] < meant[0] and not any(gives_way(candidates[others[0]], one) for one in behind):
            order.append(others.pop(0))
        order.append(meant.pop(0))
    return tuple(candidates[place] for place in order + others)


def _is_the_cause(one: Candidate, enough: int) -> bool:
    return one.brings_bytes >= enough and one.runs_away and not one.is_held_back


def _is_demanded(candidate: Candidate) -> bool:
    is_preferred = any(move.cause is Cause.PREFERRED for move in candidate.moves)
    return is_preferred or candidate.process.oom_score_adj >= _DEMANDS_IT


def _only_by_adj(first: Candidate, second: Candidate) -> bool:
    """Whether the first of two comes before the second because of their oom_score_adj alone."""
    first_moved, second_moved = _moved_by_adj(first), _moved_by_adj(second)
    return first_moved > second_moved and first.badness - first_moved <= second.badness - second_moved


def _moved_by_adj(candidate: Candidate) -> int:
    return sum(move.moved_bytes for move in candidate.moves if move.cause is Cause.OOM_SCORE_ADJ)


def takes_memory(process: Process, ram: int) -> bool:
    """Whether it grows; of a very large process a sixteenth in ten seconds is too much to ask."""
    return grows(process) or process.gained_bytes >= max(_NOTICEABLY_GAINED, ram >> 10)


def most_gained(candidates: tuple[Candidate, ...], ram: int) -> int:
    """What the one gained that takes memory fastest, 0 if none does."""
    return max((one.process.gained_bytes for one in candidates if takes_memory(one.process, ram)), default=0)


def worth_a_second(choice: Choice, again: Again, ram: int, *, is_urgent: bool) -> Choice:
    """What is left of a choice where a process has died already that did not take memory.

    Then what fills memory is probably held by no process, and one innocent program after another would die for it. So
    of those that do not take memory only one dies that holds half of what is missing. Where it is seen that something
    else fills memory, it dies only if the machine would not live on without that (`is_urgent`), and if what it holds
    lasts long enough: see still_deaths.
    """
    if choice.candidates and choice.candidates[0].takes_swap_away:
        return choice
    least, least_ms = choice.needed_bytes // 2, again.must_last_ms if again.is_filled else 0
    may_die = is_urgent or not again.is_filled

    def is_worth_it(one: Candidate) -> bool:
        lasts = one.brings_bytes >= least and again.lasts_ms(one.brings_bytes) >= least_ms
        return takes_memory(one.process, ram) or (may_die and lasts)

    left = tuple(one for one in choice.candidates if is_worth_it(one))
    return choice._replace(candidates=left, relief=choice.relief if left else Relief.NONE)


def worth_it_ahead(candidates: tuple[Candidate, ...], filled_ahead: int) -> tuple[Candidate, ...]:
    """Before memory is short only processes that take it may die, however much others hold.

    One takes it that grows, or that has gained `filled_ahead` in the last ten seconds: of a process of a terabyte that
    is less than what counts as growth. A tmpfs that fills up belongs to no process: any that died for it would have
    died in vain.
    """
    least = max(filled_ahead, 1)
    return tuple(
        one for one in candidates if one.takes_swap_away or grows(one.process) or one.process.gained_bytes >= least
    )
