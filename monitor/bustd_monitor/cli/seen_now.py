"""What the conditions see of this machine now, in a second of readings as the monitor takes them."""

from __future__ import annotations

import time

from ..conditions.finding import Finding, Seen
from ..conditions.table import Conditions, advanced
from ..conditions.trends import Trends
from ..sensing.cgroup_sensor import AnySensor
from ..sensing.reading import Reading
from ..sensing.sensor import Unreadable

_READINGS, _BETWEEN_READINGS_S = 11, 0.1


def seen_in_a_second(sensor: AnySensor, conditions: Conditions) -> Seen:
    """Stalls are judged by their growth over a second, and the rate of filling over some readings.

    Raises Unreadable.
    """
    seen = Seen(read(sensor))
    trends = advanced(Trends(), seen.reading, now_ms(), conditions)
    for _ in range(_READINGS - 1):
        time.sleep(_BETWEEN_READINGS_S)
        reading = read(sensor)
        trends = advanced(trends, reading, now_ms(), conditions)
        seen = Seen(reading, trends)
    return seen


def read(sensor: AnySensor) -> Reading:
    """One reading. Raises Unreadable."""
    reading = sensor.read()
    if reading is None:
        raise Unreadable("/proc/meminfo makes no sense")
    return reading


def now_ms() -> int:
    """The time: monotonic milliseconds."""
    return time.monotonic_ns() // 1_000_000


def state(finding: Finding) -> str:
    """What a condition says of it, in one word."""
    return "fires" if finding.fires else "scarce" if finding.is_scarce else "quiet"
