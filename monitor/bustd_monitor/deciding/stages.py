"""What the monitor is at, and what can change that: the table is the documentation of the state machine. Pure."""

from __future__ import annotations

from enum import Enum


class Stage(Enum):
    """What the monitor is at."""

    CALM = "calm"
    WATCH = "watch"
    ACT = "act"
    SETTLE = "settle"


class Event(Enum):
    """What can change that."""

    QUIET = "no condition is scarce"
    SCARCE = "a condition is scarce"
    FIRES = "a condition fires"
    OVER = "the second look, or the killer, says no"
    NEXT = "refused; there is another candidate"
    FLYING = "a kill is in flight"
    EXITED = "the kill in flight is over"
    LOST = "the killer is gone, or does not answer"


TRANSITIONS: dict[Stage, dict[Event, Stage]] = {
    Stage.CALM: {
        Event.QUIET: Stage.CALM,
        Event.SCARCE: Stage.WATCH,
        Event.FIRES: Stage.ACT,
        Event.FLYING: Stage.SETTLE,
        Event.LOST: Stage.CALM,
    },
    Stage.WATCH: {
        Event.QUIET: Stage.CALM,
        Event.SCARCE: Stage.WATCH,
        Event.FIRES: Stage.ACT,
        Event.FLYING: Stage.SETTLE,
        Event.LOST: Stage.WATCH,
    },
    Stage.ACT: {Event.NEXT: Stage.ACT, Event.FLYING: Stage.SETTLE, Event.OVER: Stage.WATCH, Event.LOST: Stage.WATCH},
    Stage.SETTLE: {Event.FLYING: Stage.SETTLE, Event.EXITED: Stage.WATCH, Event.LOST: Stage.WATCH},
}
"""After SETTLE a fresh reading comes before anything else: WATCH asks for no process by itself. After LOST the killer's
next Hello tells whether a kill is in flight."""


def next_phase(stage: Stage, cue: Event) -> Stage:
    """The stage that this cue leads to. Raises KeyError for a step that is not in the table."""
    return TRANSITIONS[stage][cue]
