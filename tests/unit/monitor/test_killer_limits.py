"""Monitor and killer together: what the monitor was not warned of, the killer agrees with."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_killer.checks import Ruling, judge_shortage
from bustd_killer.stage1.handing_on import LIMITS
from bustd_monitor.conditions.killer_limits import KillerLimits, limits_in
from bustd_monitor.conditions.stalled_seconds import Stalls
from bustd_monitor.conditions.table import killer_warnings
from bustd_monitor.config import config_of
from bustd_monitor.sensing.reading import Reading
from bustd_protocol.messages import Reason
from bustd_shared.kernel.procfs import Meminfo
from bustd_shared.rules import killer_toml
from tests.unit.killer.making import case
from tests.unit.monitor.making import psi
from tests.unit.monitor.test_conditions import ANY_STALLS, any_conditions
from tests.unit.monitor.trends import filling_at, found_in, stalls_of, thrashing


@st.composite
def machines(draw) -> tuple[Meminfo, float]:
    """Memory of one moment, and PSI some avg10, mostly near to where a daemon decides."""
    ram = draw(st.integers(2**24, 2**44))
    user_space = draw(st.integers(ram // 8, ram))
    percent = draw(st.one_of(st.sampled_from([1, 5, 10, 15, 25, 40, 90]), st.floats(0, 100)))
    available = int(user_space * percent / 100)
    free = draw(st.integers(0, ram // 4))
    some = draw(st.one_of(st.sampled_from([0, 9, 10, 25, 100]), st.floats(0, 100)))
    return Meminfo(ram, free, available, user_space - available, 0, 0), some


KILLERS = st.builds(
    lambda available: killer_toml.config_of({})._replace(available_percent=available), st.integers(1, 100)
)


def killers_ruling(reading: Meminfo, config: killer_toml.KillerConfig) -> Ruling:
    """Check 9 of a killer with this configuration on a machine with this reading."""
    return judge_shortage(case(reading=reading, **{name: getattr(config, name) for name in LIMITS}))


@given(machines(), ANY_STALLS, any_conditions(), KILLERS)
@settings(deadline=None, max_examples=200)
def test_a_condition_of_which_there_is_no_warning_never_fires_where_the_killer_refuses(machine, stalls, some, killer):
    meminfo, some_avg10 = machine
    warned = [sentence.split()[0] for sentence in killer_warnings(some, limits_in(killer))]
    total = meminfo.available + meminfo.anonymous
    a_reading = Reading(meminfo.total, meminfo.free, total, meminfo.available, 0, 0, psi(some_avg10))
    filling = filling_at(2**45)
    ruling = killers_ruling(meminfo, killer)
    for found in found_in(a_reading, stalls, some, filling):
        if found.fires and f"conditions.{found.name}" not in warned:
            assert ruling.reason is Reason.NONE, f"{found.name} fires and the killer says: {ruling.why}"


def test_by_default_the_killer_agrees_with_each_condition_where_it_begins_to_fire():
    killer, total = killer_toml.config_of({}), 2**34
    defaults = config_of({}).conditions
    thrash = thrashing(file=90)
    for available, some, stalls, rate in (
        (2**30, 0, Stalls(), 0),
        (total * 15 // 100, 0, stalls_of(*[300] * 10), 0),
        (total * 25 // 100, 0, thrash, 0),
        (total * 8 // 100, 0, Stalls(), total),
        (total * 15 // 100, 25, thrash, 0),
        (total * 35 // 100, 0, thrash._replace(seconds=thrash.seconds * 5), 0),
    ):
        meminfo = Meminfo(total, total // 10, available, total - available, 0, 0)
        a_reading = Reading(total, total // 10, total, available, 0, 0, psi(some))
        assert any(found.fires for found in found_in(a_reading, stalls, defaults, filling_at(rate)))
        assert killers_ruling(meminfo, killer).reason is Reason.NONE


@pytest.mark.parametrize(
    ("tables", "condition"),
    [
        ({"forecast": {"available_percent": 26}}, "forecast"),
        ({"stall": {"thrash_available_percent": 26}}, "stall"),
        ({"stall": {"available_percent": 26}}, "stall"),
        ({"floor": {"available_percent": 26}}, "floor"),
    ],
)
def test_a_condition_that_can_fire_where_the_killer_refuses_is_told_with_both_figures(tables, condition):
    monitor = config_of({"conditions": tables | {"emergency": {"enabled": False}}})
    assert killer_warnings(monitor.conditions, KillerLimits(25)) == [
        f"conditions.{condition} can fire at 26 % of available memory, where the killer still refuses: it kills at "
        "25 % or less (limits.available_percent in killer.toml)"
    ]
    assert killer_warnings(monitor.conditions, KillerLimits(26)) == []


def test_of_a_condition_that_is_switched_off_there_is_no_warning():
    off = config_of(
        {"conditions": {name: {"enabled": False} for name in ("forecast", "stall", "pressure", "emergency")}}
    )
    assert killer_warnings(off.conditions, KillerLimits(10)) == []
