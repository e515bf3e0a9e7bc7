"""What the conditions rest on, in words."""

import pytest

from bustd_monitor.conditions.filling import UNKNOWN, Filling, Rate
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.forecast import of_filling
from bustd_monitor.conditions.stall import of_stalls
from bustd_monitor.conditions.stalled_seconds import Stalls
from bustd_monitor.conditions.table import grounds
from bustd_monitor.conditions.trends import Trends
from bustd_protocol.messages import Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, reading
from tests.unit.monitor.trends import filling_at, stalls_of, the

STALL = DEFAULTS.conditions.stall


def told_of(filling: Filling) -> str:
    """With 3 GiB left."""
    return of_filling(Seen(reading(3 * GIB), Trends(filling=filling)))


def test_a_machine_that_fills_up_tells_how_fast_and_how_soon():
    told = told_of(Filling(short=Rate(300 * MIB, 600), long=Rate(100 * MIB, 2000)))
    assert told == "memory and swap fill at 300 MiB a second (over the last 0.6 s) and would be gone in 10.2 s"


def test_one_that_does_not_is_told_from_one_of_which_too_little_is_known():
    assert told_of(UNKNOWN) == "too few readings to say how fast memory fills"
    assert told_of(Filling(short=Rate(0, 600))) == "memory is not filling up"


@pytest.mark.parametrize(("per_second", "told"), [(0.6 * GIB, ""), (2 * GIB, "gone in 0.2 s")])
def test_a_rate_is_named_for_a_sigkill_only_where_it_asks_for_it_and_not_half_of_the_floor_alone(per_second, told):
    filling, short = filling_at(per_second, seen_ms=500), reading(0.5 * GIB)
    floor = the("floor", short, filling=filling)
    assert floor.signal is Signal.KILL
    words = grounds(floor, Seen(short, Trends(filling=filling)), DEFAULTS.conditions)
    assert words.endswith(told)
    assert bool(words) is bool(told)


def test_stalls_are_told_as_far_as_they_are_known():
    assert of_stalls(Stalls(), STALL) == (
        "PSI full unknown and some unknown ms in the last seconds, refaulted of what was reclaimed: unknown"
    )
    assert of_stalls(stalls_of(5, some_ms=6), STALL).startswith("PSI full 5 and some 6 ms in the last seconds")
