"""What the monitor does on each reason of a Verdict.

Asking for the next candidate where this table does not say so would kill an innocent process (SPEC.md, section 5).
"""

from __future__ import annotations

from enum import Enum

from .messages import Reason


class Reaction(Enum):
    """The monitor's next step."""

    AWAIT_EXIT = "wait for Exited"
    NEXT_CANDIDATE = "ask for the next candidate"
    RANK_AGAIN = "take a fresh reading and rank again"
    AWAIT_RATE = "wait the time given"
    STAND_DOWN = "go back to watch"
    ALARM = "say loudly that bustd can't protect this machine, and go back to watch"


REACTIONS: dict[Reason, Reaction] = {
    Reason.NONE: Reaction.AWAIT_EXIT,
    Reason.BUSY: Reaction.AWAIT_EXIT,
    Reason.PID1: Reaction.NEXT_CANDIDATE,
    Reason.SELF: Reaction.NEXT_CANDIDATE,
    Reason.PARENT: Reaction.NEXT_CANDIDATE,
    Reason.MONITOR: Reaction.NEXT_CANDIDATE,
    Reason.KERNEL_THREAD: Reaction.NEXT_CANDIDATE,
    Reason.ADJ: Reaction.NEXT_CANDIDATE,
    Reason.PROTECTED: Reaction.NEXT_CANDIDATE,
    Reason.OUTSIDE: Reaction.NEXT_CANDIDATE,
    Reason.GONE: Reaction.RANK_AGAIN,
    Reason.SHRUNK: Reaction.RANK_AGAIN,
    Reason.START_TIME: Reaction.RANK_AGAIN,
    Reason.NOT_LEADER: Reaction.RANK_AGAIN,
    Reason.RATE: Reaction.AWAIT_RATE,
    Reason.NOT_SHORT: Reaction.STAND_DOWN,
    Reason.HIDDEN: Reaction.ALARM,
    Reason.UNSUPPORTED: Reaction.ALARM,
    Reason.EPERM: Reaction.ALARM,
    Reason.KERNEL: Reaction.ALARM,
}
