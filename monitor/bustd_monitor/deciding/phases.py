"""What the monitor is at, and what can change that: the table is the documentation of the state machine. Pure."""

from __future__ import annotations

from enum import Enum


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
"""After SETTLE a fresh reading comes before anything else: WATCH asks for no process by itself. After LOST the killer's
next Hello tells whether a kill is in flight."""


def next_phase(phase: Phase, cue: Cue) -> Phase:
    """The phase that this cue leads to. Raises KeyError for a step that is not in the table."""
    return TRANSITIONS[phase][cue]
