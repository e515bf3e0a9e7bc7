"""What a condition looks at, what it says of it, and what it is: one file beside this one for each."""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Schema

from ..sensing.reading import Reading
from .killer_limits import KillerLimits, refused_above
from .trends import Trends

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any


class Seen(NamedTuple):
    """Everything that a condition may look at."""

    reading: Reading
    trends: Trends = Trends()


class Finding(NamedTuple):
    """What one condition says of a reading.

    `is_scarce`: memory is as short as the condition demands. `fires`: so is everything else that it demands.
    `headroom`: bytes that must be taken before it can be scarce. `look_again_ms`: it needs another reading after this
    time; None: no hurry.

    `filled_ahead`: the condition fires before memory is short, and this many bytes will be filled in the time that it
    looks ahead. Then only a process that takes memory is worth killing; and where there is none, this condition is held
    back alone. None: it fires when memory is short.
    """

    condition: Condition
    is_scarce: bool
    fires: bool
    headroom: int
    signal: Signal
    look_again_ms: int | None = None
    filled_ahead: int | None = None

    @property
    def name(self) -> str:
        """The condition's name: in the log, in a trace and in the request to the killer."""
        return self.condition.name


def no_grounds(_seen: Seen, _settings: object) -> str:
    """For a condition that rests on the reading alone."""
    return ""


def killer_warning(condition: Condition, settings: object, limits: KillerLimits) -> str:
    """A sentence if the condition fires with more available than the killer kills at; "" if it does not."""
    percent = condition.most_available_percent(settings)
    is_above = percent > limits.available_percent
    return refused_above(condition.name, percent, limits.available_percent) if is_above else ""


class Condition(NamedTuple):
    """All that there is to know of one condition.

    `settings`: the record of its keys in bustd.toml. `judge`: what it says. `most_available_percent`: with more
    available it is never scarce. In words: `demands`, what it demands; `grounds`, what it rests on beyond the reading
    ("": nothing); `unable`, what this machine lacks beside PSI without which it never fires ("": nothing).

    `needs_psi`: without PSI it never fires. `needs_time`: no single reading makes it fire; PSI, or the rate of filling,
    must say so over time. `rests_on_average`: it looks at an average that lags, so it is ignored after a death until a
    second of stalls was measured. `margin_percent`: the readings that it rests on begin with this much more available
    than it can be scarce with. `longest_apart_ms`: readings that are further apart tell it nothing; None: they do.
    `most_free_percent`: with more free it is never scarce either; None: it does not ask what is free.
    """

    name: str
    settings: Callable[..., Any]
    keys: Schema
    judge: Callable[[Seen, Any], Finding]
    most_available_percent: Callable[[Any], float]
    demands: Callable[[Reading, Any], str]
    grounds: Callable[[Seen, Any], str] = no_grounds
    unable: Callable[[Seen, Any], str] = no_grounds
    needs_psi: bool = False
    needs_time: bool = False
    rests_on_average: bool = False
    margin_percent: float = 0
    longest_apart_ms: int | None = None
    most_free_percent: Callable[[Any], float] | None = None

    def __repr__(self) -> str:
        """Its name alone: the rest is the same in every run."""
        return f"<condition {self.name}>"
