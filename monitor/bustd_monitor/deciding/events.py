"""Everything that the monitor tells: a closed set of values. `reporting.events` has their words, levels and fields.

What a decision comes to is in `actions`, and is told as it is. The rest is here.
"""

from __future__ import annotations

from bustd_protocol.messages import Exited, KillRequest, Verdict
from bustd_shared.daemon.record import NamedTuple

from ..conditions.table import Conditions
from ..ranking.what_may_die import Spared
from ..sensing.reading import Reading
from ..sensing.unread import Unread
from .actions import Ask, Escalate, News
from .stages import Stage


class Started(NamedTuple):
    """The monitor watches by these conditions. `reading`: the first one, None if memory could not be read.

    `dry_run`: no process is killed.
    """

    reading: Reading | None
    conditions: Conditions
    dry_run: bool = False


class ReadAgain(NamedTuple):
    """The configuration was read again, and these conditions are in force now. `dry_run`: no process is killed."""

    reading: Reading | None
    conditions: Conditions
    dry_run: bool = False


class Stopping(NamedTuple):
    """A signal has told the monitor to stop."""


class Ready(NamedTuple):
    """From now on this killer can be asked: it has said Hello, or memory can be read again."""

    killer_pid: int


class NotProtected(NamedTuple):
    """No process can be killed, or nothing can be decided; `why` is a sentence."""

    why: str


class Warned(NamedTuple):
    """Something that an administrator should change, as a sentence."""

    sentence: str


class Noted(NamedTuple):
    """How the monitor works on this machine, as a sentence."""

    sentence: str


class Chosen(NamedTuple):
    """A condition has fired, and this is the first choice of a ranking, which took `took_us`."""

    ask: Ask
    conditions: Conditions
    took_us: int


class NextAsked(NamedTuple):
    """The killer has refused, and is asked for the next process."""

    ask: Ask


class Answered(NamedTuple):
    """The killer's answer. `request`: what it was asked last, None if nothing since it was connected to."""

    verdict: Verdict
    request: KillRequest | None


class Ended(NamedTuple):
    """The kill in flight is over. `request`: see Answered. `reading`: what is available now, None if unreadable."""

    exited: Exited
    request: KillRequest | None
    reading: Reading | None


class Unjudged(NamedTuple):
    """These processes are spared because a rule can't be judged. There is at least one."""

    spared: tuple[Spared, ...]


class NotRead(NamedTuple):
    """A process was chosen although these could not be read: one of them might have come first."""

    unread: Unread


class StageChanged(NamedTuple):
    """The decisions are at another stage after this reading. Told only if `verbose` is set."""

    before: Stage
    after: Stage
    reading: Reading


class FillRateMeasured(NamedTuple):
    """The monitor reckons with programs that take so many bytes a second. Told only if `verbose` is set."""

    per_second: int


class Sleeping(NamedTuple):
    """The monitor sleeps for this long. Told only if `verbose` is set."""

    wait_ms: int


Event = (
    Started
    | ReadAgain
    | Stopping
    | Ready
    | NotProtected
    | Warned
    | Noted
    | Chosen
    | NextAsked
    | Escalate
    | Answered
    | Ended
    | Unjudged
    | NotRead
    | StageChanged
    | FillRateMeasured
    | Sleeping
    | News
)
