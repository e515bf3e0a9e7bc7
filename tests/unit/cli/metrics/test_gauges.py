"""What is true now, as a server is told it."""

from __future__ import annotations

import math

import pytest

from bustd_monitor.cli.memory_now import MemoryNow
from bustd_monitor.cli.metrics import gauges
from bustd_monitor.cli.protection import ProtectionNow
from bustd_monitor.conditions.filling import Filling, Rate
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from bustd_monitor.conditions.trends import Trends
from bustd_shared import __version__
from tests.unit.monitor.making import DEFAULTS, GIB, reading

WELL = ProtectionNow("watching", True)


def told(protection: ProtectionNow = WELL, memory: MemoryNow | None = None) -> dict[str, float]:
    families = gauges.families(protection, memory or MemoryNow(trouble="x"))
    return {name: value for family in families for name, value in family.samples.items()}


def memory(available: float = 8 * GIB, *, per_second: int = 0, seen_ms: int = 2000, oom_kills: int = 0) -> MemoryNow:
    rate = Rate(per_second, seen_ms)
    seen = Seen(reading(available)._replace(oom_kills=oom_kills), Trends(filling=Filling(short=rate, long=rate)))
    return MemoryNow(seen, DEFAULTS.conditions, findings(seen, DEFAULTS.conditions))


@pytest.mark.parametrize(
    ("protection", "value"),
    [
        (WELL, 1),
        (ProtectionNow("NOT PROTECTED", False), 0),
        (ProtectionNow("dry run", False, dry_run=True), 0),
        (ProtectionNow("can't be asked", None), None),
    ],
)
def test_protected_is_one_or_zero_or_not_there_where_it_can_not_be_told(protection, value):
    assert told(protection).get("bustd_protected", "absent") == ("absent" if value is None else value)
    assert told(protection)[f'bustd_build_info{{version="{__version__}"}}'] == 1


def test_memory_that_could_not_be_read_has_no_series():
    assert set(told()) == {f'bustd_build_info{{version="{__version__}"}}', "bustd_protected"}


def test_what_is_available_is_a_share():
    assert told(memory=memory(4 * GIB))["bustd_available_ratio"] == 0.25


def test_a_condition_is_active_while_it_fires():
    names = {name: f'bustd_condition_active{{condition="{name}"}}' for name in DEFAULTS.conditions._fields}
    quiet, short = told(memory=memory()), told(memory=memory(GIB / 8))
    assert [quiet[one] for one in names.values()] == [0] * 5
    assert short[names["floor"]] == 1 and short[names["pressure"]] == 0


def test_the_time_to_exhaustion_is_infinite_unless_it_is_foreseen():
    assert told(memory=memory())["bustd_seconds_to_exhaustion"] == math.inf
    assert told(memory=memory(8 * GIB, per_second=GIB // 4))["bustd_seconds_to_exhaustion"] == 32
    assert told(memory=memory(8 * GIB, per_second=GIB // 4, seen_ms=900))["bustd_seconds_to_exhaustion"] == math.inf


def test_the_kernels_kills_are_its_own_count():
    assert told(memory=memory(oom_kills=7))["bustd_kernel_oom_kills_total"] == 7
