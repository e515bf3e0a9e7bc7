"""The monitor's state machine: what it does on each reading and on each answer of the killer. Pure.

Each function takes the state and what happened, and returns the state after it and the actions to perform. The table
in `stages` is the documentation; beyond it a function only says which process is asked for, and how long to hold back.
"""

from __future__ import annotations

from bustd_protocol.messages import Exited, Fate, KillerHello, Reason, Scope, Signal, Verdict
from bustd_protocol.reactions import REACTIONS, Reaction
from bustd_shared.daemon.record import NamedTuple

from ..conditions import table, trends
from ..conditions.finding import Finding, Seen
from ..conditions.table import Conditions, findings
from ..conditions.trends import Trends
from ..ranking.books import Shortfall
from ..ranking.order import Candidate
from ..ranking.what_may_die import Spared
from ..sensing.reading import Reading
from . import outlook, returning, still_deaths, worth_killing
from .actions import (
    MOST_CANDIDATES,
    Action,
    Ask,
    Asked,
    Basis,
    CannotKill,
    Escalate,
    Flight,
    LessCameBack,
    News,
    NothingGrows,
    Rank,
    ShortageIsOver,
    StillSmall,
    none_would_help,
)
from .happened import happened
from .outlook import Outlook
from .requests import finding_for
from .returning import Claim
from .stages import Event, Stage, next_phase
from .still_deaths import StillDeaths, Stillness
from .worth_killing import enough_of_the_cause, first_worth_asking_for, needed_bytes, still_small

READINGS_BEFORE_A_KILL = 2
"""A monitor that has just come up asks for no kill before it has seen this many."""

_HOLD_MS = {Reaction.RANK_AGAIN: 100, Reaction.STAND_DOWN: 1000, Reaction.ALARM: 1000}
_NO_VICTIM_HOLD_MS, _AHEAD_HOLD_MS, _STILL_SMALL_HOLD_MS = 1000, 200, 100
_NO_VICTIM_SAID_MS = 10_000
"""The same is not said again within this time."""
_MOST_STUCK = 64
_REFUSES_THE_COMPANY = (Reaction.NEXT_CANDIDATE, Reaction.ALARM)
"""Then the process that was asked for may still die alone: else a protected name beside it would spare it, or more
processes than the killer has descriptors."""
_LONGEST_QUEUE = 16
_QUEUE_HOLD_MS = 500
"""The killer hangs up on more than 40 messages a second: at most a queue of candidates in this time."""
_BUSY_HOLD_MS, _RETURN_LOOK_MS = 200, 50
_SPARED_MS, _MOST_SPARED = 600_000, 64
"""A process that SIGTERM did not end, and that lived because memory was no longer short, gets SIGKILL the next time."""


class State(NamedTuple):
    """Everything that the monitor remembers between two events.

    `ahead_hold_until_ms`: until then the conditions that fire ahead of a shortage are held back, and they alone, as no
    process was worth it. `refused` (PID, start time) are not asked for before it is quiet again; the `stuck` among them
    are not asked for as long as they live. `spared` (PID, start time, until when) get SIGKILL at once. `chosen`
    (ms, bytes): when the last victim had been read, and what was left then. `claim`: what its death was to bring, until
    that is back. `books`: the deaths that brought less. `still`: the deaths of those that did not grow.
    `stillness`: what fills memory, as it was at the last ranking. `outlook`: for warnings.
    """

    stage: Stage = Stage.CALM
    trends: Trends = Trends()
    readings: int = 0
    hold_until_ms: int = 0
    ahead_hold_until_ms: int = 0
    finding: Finding | None = None
    queue: tuple[Candidate, ...] = ()
    refused: frozenset[tuple[int, int]] = frozenset()
    stuck: tuple[tuple[int, int], ...] = ()
    spared: tuple[tuple[int, int, int], ...] = ()
    no_victim_said_ms: int | None = None
    flight: Flight | None = None
    still: StillDeaths = still_deaths.NONE
    stillness: Stillness = Stillness()
    found: tuple[Finding, ...] = ()
    chosen: tuple[int, int] | None = None
    claim: Claim | None = None
    books: tuple[Shortfall, ...] = ()
    outlook: Outlook = Outlook()


Step = tuple[State, tuple[Action, ...]]


def on_reading(state: State, reading: Reading, now_ms: int, conditions: Conditions) -> Step:
    """A reading has come: maybe a process must die, or the one in flight faster; if none, maybe one must die soon."""
    state, said = _awaited(state, reading, now_ms)
    state, actions = _looked_at(state, reading, now_ms, conditions)
    ahead, warnings = outlook.advanced(state.outlook, reading, now_ms, conditions.floor)
    is_late = state.stage in (Stage.ACT, Stage.SETTLE) or firing_now(state)
    return state._replace(outlook=ahead), (*said, *actions, *(() if is_late else warnings))


def _looked_at(state: State, reading: Reading, now_ms: int, conditions: Conditions) -> Step:
    advanced = table.advanced(state.trends, reading, now_ms, conditions)
    found = findings(Seen(reading, advanced), conditions)
    told = happened(state.trends, advanced, reading)
    if now_ms < state.ahead_hold_until_ms and state.stage is not Stage.SETTLE:
        found = tuple(one if one.filled_ahead is None else one._replace(fires=False) for one in found)
    readings = min(state.readings + 1, READINGS_BEFORE_A_KILL)
    still = still_deaths.advanced(state.still, reading, now_ms)
    state = state._replace(trends=advanced, found=found, readings=readings, still=still)
    state, actions = _on_findings(state, now_ms)
    return state, (*told, *actions)


def _on_findings(state: State, now_ms: int) -> Step:
    firing = firing_now(state)
    if state.stage is Stage.SETTLE:
        return _maybe_escalated(state, firing, now_ms)
    if state.stage is Stage.ACT:
        return state, ()
    may_act = state.readings >= READINGS_BEFORE_A_KILL and now_ms >= state.hold_until_ms
    if firing and may_act:
        return _moved(state, Event.FIRES)._replace(finding=firing[0]), (Rank(firing[0]),)
    if any(finding.is_scarce for finding in state.found):
        return _moved(state, Event.SCARCE), ()
    state, set_aside = _moved(state, Event.QUIET), frozenset(state.stuck)
    return (state if state.refused == set_aside else state._replace(refused=set_aside)), ()


def on_ranking(
    state: State,
    candidates: tuple[Candidate, ...],
    reading: Reading,
    now_ms: int,
    conditions: Conditions,
    spared: tuple[Spared, ...] = (),
) -> Step:
    """The ranking is done, and the readings were taken once more: ask, unless the shortage is over."""
    seen = Seen(reading, state.trends)
    state = state._replace(found=findings(seen, conditions))
    firing = firing_now(state)
    if not firing:
        return _over(state, now_ms), (ShortageIsOver(),)
    floor, gained, fillers = conditions.floor, worth_killing.most_gained(candidates, reading.ram), state.trends.fillers
    still = still_deaths.seen(state.still, fillers, reading, needed_bytes(reading, floor), gained, now_ms)
    state, unheld = state._replace(stillness=still), still.unheld
    small = still_small(firing, candidates, spared, enough_of_the_cause(reading, floor), unheld.grown.together)
    if small is not None:
        return _no_victim(state, StillSmall(small, reading.available), now_ms, _STILL_SMALL_HOLD_MS)
    finding, choice = first_worth_asking_for(firing, candidates, reading, floor, still.again)
    if not choice.candidates:
        news = none_would_help(candidates, reading, unheld, still.again)
        if any(one.filled_ahead is None for one in firing):
            return _no_victim(state, news, now_ms, _NO_VICTIM_HOLD_MS)
        # Memory is not short yet: whatever else fires must not wait.
        state = state._replace(ahead_hold_until_ms=now_ms + _AHEAD_HOLD_MS)
        return _no_victim(state, NothingGrows() if candidates else news, now_ms, 0)
    first, queue = choice.candidates[0], choice.candidates[1:_LONGEST_QUEUE]
    state = state._replace(finding=finding, queue=queue, no_victim_said_ms=None, chosen=(now_ms, reading.unheld_bytes))
    basis, finding = Basis(seen, choice.relief, choice.needed_bytes), finding_for(first, finding, state.spared, now_ms)
    return state, (Ask(first, finding, queue[:MOST_CANDIDATES], basis, unheld),)


def on_verdict(state: State, asked: Asked, verdict: Verdict, now_ms: int) -> Step:
    """The killer's answer: do what SPEC.md says for its reason, and nothing else."""
    if state.stage is not Stage.ACT:  # an escalation's
        return _escalation_answered(state, verdict, now_ms), ()
    process, reaction = asked.candidate.process, REACTIONS[verdict.reason]
    if verdict.reason is Reason.NONE:
        flight = Flight(process.pid, process.start_ticks, asked.signal)
        is_still = not worth_killing.takes_memory(process, state.stillness.ram)
        still = still_deaths.bringing(state.stillness, asked.candidate.brings_bytes) if is_still else state.still
        claim = returning.claim_of(asked.candidate, state.chosen, state.trends)
        return _moved(state, Event.FLYING)._replace(flight=flight, queue=(), still=still, claim=claim), ()
    if asked.candidate.scope is not Scope.PROCESS and reaction in _REFUSES_THE_COMPANY and state.finding is not None:
        ask = _next(state, asked.candidate.alone(), state.finding, state.queue, now_ms)
        if asked.candidate.family is not None:  # alone it may hold too little: then the next family is one without it
            state = state._replace(refused=state.refused | {(process.pid, process.start_ticks)})
        return _moved(state, Event.NEXT), (ask,)
    if reaction is Reaction.NEXT_CANDIDATE:
        state = state._replace(refused=state.refused | {(process.pid, process.start_ticks)})
        if state.queue and state.finding is not None:
            first, left = state.queue[0], state.queue[1:]
            return _moved(state, Event.NEXT)._replace(queue=left), (_next(state, first, state.finding, left, now_ms),)
        return _over(state, now_ms + _QUEUE_HOLD_MS), ()
    if reaction is Reaction.AWAIT_EXIT:
        return _over(state, now_ms + _BUSY_HOLD_MS), ()
    if reaction is Reaction.AWAIT_RATE:
        return _over(state, now_ms + verdict.retry_after_ms), ()
    said: tuple[Action, ...] = (CannotKill(verdict.reason, verdict.errno),) if reaction is Reaction.ALARM else ()
    return _over(state, now_ms + _HOLD_MS[reaction]), said


def on_exited(state: State, exited: Exited, now_ms: int) -> State:
    """The kill in flight is over. A victim that is stuck is not asked for again as long as it lives.

    With its start time it can be remembered for ever: a later process with its PID is another one.
    """
    if state.stage is not Stage.SETTLE:
        return state
    flight, refused, stuck = state.flight, state.refused, state.stuck
    if flight is not None and exited.fate is Fate.STUCK:
        victim = (flight.pid, flight.start_ticks)
        refused, stuck = refused | {victim}, (*stuck, victim)[-_MOST_STUCK:]
    if flight is not None and exited.fate is Fate.SPARED:
        spared = (*state.spared, (flight.pid, flight.start_ticks, now_ms + _SPARED_MS))
        state = state._replace(spared=spared[-_MOST_SPARED:])
    claim = returning.awaited_from(state.claim, exited.fate, now_ms) if state.claim else None
    after, ahead = trends.after_death(state.trends), outlook.after_death(state.outlook)
    state = state._replace(flight=None, claim=claim, trends=after, outlook=ahead, refused=refused, stuck=stuck)
    return _moved(state, Event.EXITED)


def on_hello(state: State, hello: KillerHello) -> State:
    """A killer answers: it may have a kill in flight from before."""
    flight = Flight(hello.flight_pid, hello.flight_start_ticks, hello.flight_signal)
    return state if hello.flight_id == 0 else on_resumed(state, flight)


def on_resumed(state: State, flight: Flight) -> State:
    """A kill is in flight that the last verdict did not begin: an earlier one, or one whose end crossed a request."""
    claim = state.claim._replace(until_ms=None) if state.claim is not None else None
    return _moved(state, Event.FLYING)._replace(flight=flight, claim=claim)


def on_lost(state: State, hold_until_ms: int) -> State:
    """The killer is gone or does not answer: what was asked for is void, and what is in flight its Hello will tell."""
    return _held(_moved(state, Event.LOST)._replace(flight=None, queue=(), finding=None, claim=None), hold_until_ms)


def _next(state: State, first: Candidate, finding: Finding, left: tuple[Candidate, ...], now_ms: int) -> Ask:
    """Ask for this one after a refusal."""
    its, others = finding_for(first, finding, state.spared, now_ms), left[:MOST_CANDIDATES]
    return Ask(first, its, others, None, state.stillness.unheld)


def firing_now(state: State) -> list[Finding]:
    """The findings that fire, the most urgent first."""
    return [one for one in state.found if one.fires]


def _awaited(state: State, reading: Reading, now_ms: int) -> Step:
    """No process is asked for while the memory of the last victim is still to come back. What came back is booked."""
    claim = state.claim
    if claim is None or claim.until_ms is None:
        return state, ()
    if returning.is_awaited(claim, state.trends, reading, now_ms):
        return _held(state, min(now_ms + _RETURN_LOOK_MS, claim.until_ms)), ()
    state, short = state._replace(claim=None), returning.shortfall_of(claim, state.trends, reading, now_ms)
    if short is None:
        return state, ()
    less = LessCameBack(claim.process, short.claimed_bytes, short.came_back_bytes)
    return state._replace(books=returning.booked(state.books, short, now_ms)), (less,)


def _maybe_escalated(state: State, firing: list[Finding], now_ms: int) -> Step:
    flight = state.flight
    urgent = [finding for finding in firing if finding.signal is Signal.KILL]
    if not urgent or flight is None or flight.signal == Signal.KILL or now_ms < state.hold_until_ms:
        return state, ()
    flight = flight._replace(signal=Signal.KILL)
    return state._replace(flight=flight), (Escalate(flight, urgent[0], state.stillness.unheld),)


def _escalation_answered(state: State, verdict: Verdict, now_ms: int) -> State:
    """The killer sees no shortage: the process in flight keeps its SIGTERM, and is asked for again after a while."""
    flight, reaction = state.flight, REACTIONS[verdict.reason]
    if state.stage is not Stage.SETTLE or flight is None or reaction is not Reaction.STAND_DOWN:
        return state
    return _held(state._replace(flight=flight._replace(signal=Signal.TERM)), now_ms + _HOLD_MS[reaction])


def _no_victim(state: State, news: News, now_ms: int, hold_ms: int) -> Step:
    """No process is asked for. It is tried again soon, but not said again so soon."""
    said_ms = state.no_victim_said_ms
    is_news = said_ms is None or now_ms - said_ms >= _NO_VICTIM_SAID_MS
    state = _over(state, now_ms + hold_ms)
    return (state._replace(no_victim_said_ms=now_ms), (news,)) if is_news else (state, ())


def _over(state: State, hold_until_ms: int) -> State:
    return _held(_moved(state, Event.OVER)._replace(queue=(), finding=None), hold_until_ms)


def _held(state: State, until_ms: int) -> State:
    """No process is asked for before `until_ms`, nor before the end of an earlier hold."""
    return state._replace(hold_until_ms=max(state.hold_until_ms, until_ms))


def _moved(state: State, cue: Event) -> State:
    stage = next_phase(state.stage, cue)
    return state if stage is state.stage else state._replace(stage=stage)
