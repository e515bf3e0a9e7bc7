"""What a condition looks at, what it says of it, and what it is: one file beside this one for each."""

from __future__ import annotations

from collections.abc import Callable

from bustd_protocol.messages import Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.schema import Schema

from ..sensing.reading import Reading
from .filling import Filling
from .stalled_seconds import Stalls

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any


class Seen(NamedTuple):
    """Everything that a condition may look at."""

    reading: Reading
    stalls: Stalls
    filling: Filling


class Finding(NamedTuple):
    """What one condition says of a reading.

    `is_scarce`: memory is as short as the condition demands. `fires`: so is everything else that it demands.
    `headroom`: bytes that must be taken before it can be scarce. `needs_time`: no single reading makes it fire; PSI, or
    the rate of filling, must say so over time. `look_again_ms`: so soon it wants another reading, None: no hurry.
    """

    name: str
    is_scarce: bool
    fires: bool
    headroom: int
    signal: Signal
    needs_time: bool
    look_again_ms: int | None = None


class Condition(NamedTuple):
    """All that there is to know of one condition.

    `settings`: the record of its keys in bustd.toml. `judge`: what it says. `most_available_percent`: with more
    available it is never scarce. `demands` and `grounds`: in words, what it demands, and what it rests on beyond the
    reading.
    """

    name: str
    settings: Callable[..., Any]
    keys: Schema
    judge: Callable[[Seen, Any], Finding]
    most_available_percent: Callable[[Any], float]
    demands: Callable[[Reading, Any], str]
    grounds: Callable[[Seen, Any], str]


def no_grounds(_seen: Seen, _settings: object) -> str:
    """For a condition that rests on the reading alone."""
    return ""
