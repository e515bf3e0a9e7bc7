"""What the guest makes of its probe and of the kernel's trace: its pure parts, imported as the guest imports them."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.vm import scenarios

GUEST = Path(scenarios.__file__).parent / "guest"
EVENTS = """# tracer: nop
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
         python3-412     [001] d..1.   123.456789: signal_generate: sig=15 errno=0 code=0 comm=leak pid=900 grp=1 res=0
 a-7 b] [0] c: d-99      [000] d..2.   124.000001: signal_generate: sig=9 errno=0 code=128 comm= pid=1 pid=9 grp=1 res=0
          <idle>-0       [000] d..2.   125.000000: sched_switch: prev_comm=x
"""


@pytest.fixture
def guest(monkeypatch):
    """Modules of the guest by name; none of them stays imported."""
    monkeypatch.syspath_prepend(str(GUEST))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if str(GUEST) in (getattr(sys.modules[name], "__file__", None) or ""):
            del sys.modules[name]


def test_the_kernel_says_who_signalled_whom_whatever_they_are_called(guest):
    assert guest("signals").parse(EVENTS) == [(123.456789, 412, 15, 900), (124.000001, 99, 9, 9)]


def series(*available: int, anonymous: int = 800 << 10, swap_free: int = 0, swap_total: int = 0) -> dict:
    """Samples 20 ms apart; what is available in MiB."""
    count = len(available)
    return {
        "ns": [20_000_000 * n for n in range(count)],
        "available": [mib << 10 for mib in available],
        "anonymous": [anonymous] * count,
        "swap_free": [swap_free] * count,
        "swap_total": swap_total,
    }


@pytest.mark.parametrize(
    ("samples", "signal_ms", "expected_ms"),
    [
        (series(200, 100, 80, 70), 65, 25.0),
        (series(80, 200, 80, 70), 65, 25.0),
        (series(80, 80, 80, 70), 65, 65.0),
        (series(200, 100, 100, 100), 65, None),
        (series(200, 100, 100, 80), 55, None),
        (series(200, 80, swap_free=60, swap_total=512), 30, None),
        (series(200, 80, swap_free=51, swap_total=512), 30, 10.0),
        (series(200, 1500, anonymous=64 << 20), 30, None),
        (series(200, 1000, anonymous=64 << 20), 30, 30.0),
    ],
)
def test_a_reaction_counts_from_where_the_last_row_below_the_floor_began(guest, samples, signal_ms, expected_ms):
    found = guest("reaction").reaction(samples, signal_ms * 1_000_000)
    assert found["reaction_ms"] == expected_ms


def test_a_reaction_says_what_was_available_at_the_signal(guest):
    reaction = guest("reaction").reaction
    assert reaction(series(200, 100, 80), 39 * 1_000_000)["available_at_signal_mib"] == 100
    assert reaction(series(), 5) == {"reaction_ms": None, "stood_ms": 0, "available_at_signal_mib": None}


def test_a_reaction_tells_how_long_the_machine_itself_stood_still_meanwhile(guest):
    samples = series(200, 200, 80, 80, 80)
    samples["ns"] = [number * 1_000_000 for number in (0, 900, 920, 1020, 1060)]
    found = guest("reaction").reaction(samples, 1160 * 1_000_000)
    assert (found["reaction_ms"], found["stood_ms"]) == (240, 60 + 60)
