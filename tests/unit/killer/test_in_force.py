"""The first line of the killer's log."""

from bustd_killer.start import in_force
from bustd_shared import __version__
from bustd_shared.rules.killer_toml import SCHEMA, config_of
from bustd_shared.rules.schema import keys_of

LIMITS = [key for key, _ in keys_of(SCHEMA) if key.startswith(("limits.", "rate."))]


def test_it_has_the_version_and_the_limits_of_an_untouched_configuration():
    assert in_force(config_of({})) == (
        f"bustd {__version__} kills at 40 % of available memory or less; "
        "a victim holds at least 16 MiB, or 1 % of memory if that is less, and 50 % of what the monitor claims; "
        "at most 3 kills at once, then one every 500 ms, and 60 a minute"
    )


def test_it_has_every_limit_and_every_rate_that_is_in_force():
    values = {"limits": {}, "rate": {}}
    for number, key in enumerate(LIMITS, 71):
        table, _, name = key.partition(".")
        values[table][name] = number
    told = in_force(config_of(values))
    assert [number for number in range(71, 71 + len(LIMITS)) if str(number) not in told] == []
