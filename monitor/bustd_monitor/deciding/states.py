"""The monitor's state machine: what it does on each reading and on each word of the killer. Pure.

Each function takes the state and what happened, and returns the state after it and the actions to perform. The table
of phases is the documentation; what a function does beyond it is who is asked for, and how long to hold back.
"""

from __future__ import annotations

from enum import Enum

from bustd_protocol.messages import Exited, Fate, KillerHello, Reason, Scope, Signal, Verdict
from bustd_protocol.reactions import REACTIONS, Reaction
from bustd_shared.daemon.record import NamedTuple

from ..conditions import table, trends
from ..conditions.finding import Finding, Seen
from ..conditions.table import Conditions, findings, grounds
from ..conditions.trends import Trends
from ..ranking.order import Candidate
from ..sensing.reading import Reading
from .worth_killing import NOBODY_GROWS, what_fills_memory, worth_asking_for, worth_it_ahead

READINGS_BEFORE_A_KILL = 2
"""A program that has just come up kills nobody before it has seen so many."""

_HOLD_MS = {Reaction.RANK_AGAIN: 100, Reaction.STAND_DOWN: 1000, Reaction.ALARM: 1000}
_NOBODY_HOLD_MS, _AHEAD_HOLD_MS = 1000, 200
_NOBODY_SAID_MS = 10_000
"""So long the same is not said again."""
_MOST_STUCK = 64
_REFUSES_THE_COMPANY = (Reaction.NEXT_CANDIDATE, Reaction.ALARM)
"""Then the process that was asked for may still die alone: or anybody could spare it with a protected name beside it,
or with more processes than the killer has descriptors."""
_LONGEST_QUEUE = 16
_QUEUE_HOLD_MS = 500
"""The killer hangs up on more than 50 messages a second: so many candidates at most in so long."""
_BUSY_HOLD_MS = 200


class Phase(Enum):
    """What the monitor is at."""

    CALM = "calm"
    WATCH = "watch"
    ACT = "act"
    SETTLE = "settle"


class Cue(Enum):
    """What can change that."""

    QUIET = "no condition is scarce"
    SCARCE = "a condition is scarce"
    FIRES = "a condition fires"
    OVER = "the second look, or the killer, says no"
    NEXT = "refused; there is another candidate"
    FLYING = "a kill is in flight"
    EXITED = "the kill in flight is over"
    LOST = "the killer is gone, or does not answer"


TRANSITIONS: dict[Phase, dict[Cue, Phase]] = {
    Phase.CALM: {
        Cue.QUIET: Phase.CALM,
        Cue.SCARCE: Phase.WATCH,
        Cue.FIRES: Phase.ACT,
        Cue.FLYING: Phase.SETTLE,
        Cue.LOST: Phase.CALM,
    },
    Phase.WATCH: {
        Cue.QUIET: Phase.CALM,
        Cue.SCARCE: Phase.WATCH,
        Cue.FIRES: Phase.ACT,
        Cue.FLYING: Phase.SETTLE,
        Cue.LOST: Phase.WATCH,
    },
    Phase.ACT: {Cue.NEXT: Phase.ACT, Cue.FLYING: Phase.SETTLE, Cue.OVER: Phase.WATCH, Cue.LOST: Phase.WATCH},
    Phase.SETTLE: {Cue.FLYING: Phase.SETTLE, Cue.EXITED: Phase.WATCH, Cue.LOST: Phase.WATCH},
}
"""After SETTLE comes a fresh reading before anything else: WATCH asks for nobody by itself. After LOST the killer's
next Hello tells whether a kill is in flight."""


class Flight(NamedTuple):
    """The kill in flight, as the killer told it."""

    pid: int
    start_ticks: int
    signal: int


class Asked(NamedTuple):
    """What the killer was asked last."""

    candidate: Candidate
    signal: Signal


class Rank(NamedTuple):
    """Rank the processes, read once more, and come back with `on_ranking`."""

    finding: Finding


class Ask(NamedTuple):
    """Ask the killer for this candidate. `remark`: what else there is to say of the choice, "" if nothing."""

    candidate: Candidate
    finding: Finding
    runners_up: tuple[Candidate, ...]
    remark: str = ""


class Escalate(NamedTuple):
    """Ask for SIGKILL for the process in flight."""

    flight: Flight
    finding: Finding


class Say(NamedTuple):
    """A sentence for the log."""

    sentence: str


Action = Rank | Ask | Escalate | Say


class State(NamedTuple):
    """Everything that the monitor remembers between two events.

    `ahead_hold_until_ms`: no process was worth it, so until then the conditions that fire ahead of a shortage are held
    back, and they alone.
    `refused` are not asked for before it is quiet again. The `stuck` among them are not for as long as they live.
    """

    phase: Phase = Phase.CALM
    trends: Trends = Trends()
    readings: int = 0
    hold_until_ms: int = 0
    ahead_hold_until_ms: int = 0
    finding: Finding | None = None
    queue: tuple[Candidate, ...] = ()
    refused: frozenset[tuple[int, int]] = frozenset()
    stuck: tuple[tuple[int, int], ...] = ()
    nobody_said_ms: int | None = None
    flight: Flight | None = None
    found: tuple[Finding, ...] = ()


Step = tuple[State, tuple[Action, ...]]


def on_reading(state: State, reading: Reading, now_ms: int, conditions: Conditions) -> Step:
    """A reading has come: maybe somebody must die, maybe the one in flight must die faster."""
    advanced = table.advanced(state.trends, reading, now_ms, conditions)
    found = findings(Seen(reading, advanced), conditions)
    if now_ms < state.ahead_hold_until_ms and state.phase is not Phase.SETTLE:
        found = tuple(one if one.filled_ahead is None else one._replace(fires=False) for one in found)
    readings = min(state.readings + 1, READINGS_BEFORE_A_KILL)
    state = state._replace(trends=advanced, found=found, readings=readings)
    firing = firing_now(state)
    if state.phase is Phase.SETTLE:
        return _maybe_escalated(state, firing)
    if state.phase is Phase.ACT:
        return state, ()
    may_act = state.readings >= READINGS_BEFORE_A_KILL and now_ms >= state.hold_until_ms
    if firing and may_act:
        return _moved(state, Cue.FIRES)._replace(finding=firing[0]), (Rank(firing[0]),)
    if any(finding.is_scarce for finding in found):
        return _moved(state, Cue.SCARCE), ()
    state, set_aside = _moved(state, Cue.QUIET), frozenset(state.stuck)
    return (state if state.refused == set_aside else state._replace(refused=set_aside)), ()


def on_ranking(
    state: State, candidates: tuple[Candidate, ...], reading: Reading, now_ms: int, conditions: Conditions
) -> Step:
    """The ranking is done, and the readings were taken once more: ask, unless the shortage is over."""
    seen = Seen(reading, state.trends)
    state = state._replace(found=findings(seen, conditions))
    firing = firing_now(state)
    if not firing:
        return _over(state, now_ms), (Say("the second look at the readings says that it is over: nobody is killed"),)
    for finding in firing:
        worthy = candidates if finding.filled_ahead is None else worth_it_ahead(candidates, finding.filled_ahead)
        choice = worth_asking_for(worthy, reading, conditions.floor)
        if choice.candidates:
            break
    else:
        if any(one.filled_ahead is None for one in firing):
            return _nobody(state, what_fills_memory(candidates, reading), now_ms, _NOBODY_HOLD_MS)
        state = state._replace(ahead_hold_until_ms=now_ms + _AHEAD_HOLD_MS)
        why = NOBODY_GROWS if candidates else what_fills_memory(candidates, reading)
        return _nobody(state, why, now_ms, 0)  # memory is not short yet: whatever else fires must not wait
    first, *others = choice.candidates
    state = state._replace(finding=finding, queue=tuple(others[: _LONGEST_QUEUE - 1]), nobody_said_ms=None)
    beyond = grounds(finding, seen, conditions)
    remarks = "; ".join(words for words in (beyond, choice.remark) if words)
    return state, (Ask(first, finding, tuple(others[:3]), remarks),)


def on_verdict(state: State, asked: Asked, verdict: Verdict, now_ms: int) -> Step:
    """The killer's answer: do what SPEC.md says for its reason, and nothing else."""
    if state.phase is not Phase.ACT:  # an escalation's
        return state, ()
    process, reaction = asked.candidate.process, REACTIONS[verdict.reason]
    if verdict.reason is Reason.NONE:
        flight = Flight(process.pid, process.start_ticks, asked.signal)
        return _moved(state, Cue.FLYING)._replace(flight=flight, queue=()), ()
    if asked.candidate.scope is not Scope.PROCESS and reaction in _REFUSES_THE_COMPANY and state.finding is not None:
        alone = asked.candidate._replace(scope=Scope.PROCESS, held_bytes=process.held_bytes)
        return _moved(state, Cue.NEXT), (Ask(alone, state.finding, state.queue[:3]),)
    if reaction is Reaction.NEXT_CANDIDATE:
        state = state._replace(refused=state.refused | {(process.pid, process.start_ticks)})
        if state.queue and state.finding is not None:
            ask = Ask(state.queue[0], state.finding, state.queue[1:4])
            return _moved(state, Cue.NEXT)._replace(queue=state.queue[1:]), (ask,)
        return _over(state, now_ms + _QUEUE_HOLD_MS), ()
    if reaction is Reaction.AWAIT_EXIT:
        return _over(state, now_ms + _BUSY_HOLD_MS), ()
    if reaction is Reaction.AWAIT_RATE:
        return _over(state, now_ms + verdict.retry_after_ms), ()
    said: tuple[Action, ...] = ()
    if reaction is Reaction.ALARM:
        said = (Say(f"CANNOT PROTECT THIS MACHINE: the killer says {verdict.reason.name.lower()}"),)
    return _over(state, now_ms + _HOLD_MS[reaction]), said


def on_exited(state: State, exited: Exited) -> State:
    """The kill in flight is over. A victim that is stuck is not asked for again as long as it lives.

    With its start time it can be remembered for ever: whoever gets its PID after it is somebody else.
    """
    if state.phase is not Phase.SETTLE:
        return state
    flight, refused, stuck = state.flight, state.refused, state.stuck
    if flight is not None and exited.fate is Fate.STUCK:
        victim = (flight.pid, flight.start_ticks)
        refused, stuck = refused | {victim}, (*stuck, victim)[-_MOST_STUCK:]
    after = state._replace(flight=None, refused=refused, stuck=stuck, trends=trends.after_death(state.trends))
    return _moved(after, Cue.EXITED)


def on_hello(state: State, hello: KillerHello) -> State:
    """A killer answers: it may have a kill in flight from before."""
    if hello.flight_id == 0:
        return state
    flight = Flight(hello.flight_pid, hello.flight_start_ticks, hello.flight_signal)
    return _moved(state, Cue.FLYING)._replace(flight=flight)


def on_lost(state: State, hold_until_ms: int) -> State:
    """The killer is gone or does not answer: what was asked for is void, and what is in flight its Hello will tell."""
    return _held(_moved(state, Cue.LOST)._replace(flight=None, queue=(), finding=None), hold_until_ms)


def firing_now(state: State) -> list[Finding]:
    """Those that fire."""
    return [one for one in state.found if one.fires]


def _maybe_escalated(state: State, firing: list[Finding]) -> Step:
    flight = state.flight
    urgent = [finding for finding in firing if finding.signal is Signal.KILL]
    if not urgent or flight is None or flight.signal == Signal.KILL:
        return state, ()
    flight = flight._replace(signal=Signal.KILL)
    return state._replace(flight=flight), (Escalate(flight, urgent[0]),)


def _nobody(state: State, why: str, now_ms: int, hold_ms: int) -> Step:
    """Nobody is asked for. It is tried again soon, but not said again so soon."""
    said_ms = state.nobody_said_ms
    is_news = said_ms is None or now_ms - said_ms >= _NOBODY_SAID_MS
    state = _over(state, now_ms + hold_ms)
    return (state._replace(nobody_said_ms=now_ms), (Say(why),)) if is_news else (state, ())


def _over(state: State, hold_until_ms: int) -> State:
    return _held(_moved(state, Cue.OVER)._replace(queue=(), finding=None), hold_until_ms)


def _held(state: State, until_ms: int) -> State:
    """Nobody is asked for before `until_ms`, nor before what was held already."""
    return state._replace(hold_until_ms=max(state.hold_until_ms, until_ms))


def _moved(state: State, cue: Cue) -> State:
    phase = TRANSITIONS[state.phase][cue]
    return state if phase is state.phase else state._replace(phase=phase)
