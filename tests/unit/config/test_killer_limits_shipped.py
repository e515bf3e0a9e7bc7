import pytest

from bustd_monitor.conditions.killer_limits import KillerLimits, limits_in
from bustd_monitor.conditions.table import killer_warnings
from bustd_monitor.config import config_of
from bustd_shared.rules.killer_toml import config_of as killer_config_of


def sentences(condition: str, killer=25, **keys) -> list[str]:
    """About a monitor that has only this condition enabled."""
    tables: dict = {name: {"enabled": False} for name in ("pressure", "floor", "stall", "emergency")}
    tables[condition] = keys
    return killer_warnings(config_of({"conditions": tables}).conditions, KillerLimits(killer))


def test_the_defaults_of_the_two_agree():
    assert killer_warnings(config_of({}).conditions, limits_in(killer_config_of({}))) == []


@pytest.mark.parametrize("condition", ["floor", "stall", "pressure", "emergency"])
@pytest.mark.parametrize(("percent", "count"), [(24.9, 0), (25, 0), (25.1, 1), (100, 1)])
def test_each_condition_is_outside_above_what_the_killer_takes(condition, percent, count):
    found = sentences(condition, available_percent=percent)
    assert len(found) == count
    assert all(f"conditions.{condition} can fire at {percent:g} %" in sentence for sentence in found)


def test_a_condition_that_is_switched_off_is_not_outside():
    for condition in ("pressure", "floor", "stall"):
        others = {"pressure": "floor", "floor": "stall", "stall": "pressure"}
        assert sentences(others[condition]) == []
        assert sentences(condition, available_percent=100) != []
        off = {"emergency": {"enabled": False}, condition: {"enabled": False, "available_percent": 100}}
        monitor = config_of({"conditions": off})
        assert killer_warnings(monitor.conditions, KillerLimits(25)) == []


def test_a_sentence_names_both_numbers_and_the_key_that_would_move_the_killers():
    assert sentences("floor", available_percent=30) == [
        "conditions.floor can fire at 30 % of available memory, where the killer still refuses: "
        "it kills at 25 % or less (limits.available_percent in killer.toml)"
    ]


def test_each_condition_has_its_own_sentence():
    everything = {name: {"available_percent": 90} for name in ("pressure", "floor", "stall", "emergency")}
    assert len(killer_warnings(config_of({"conditions": everything}).conditions, KillerLimits(25))) == 4
