"""Leaks as fast as the machine lets them, where the monitor reckons with just that rate: none gets away.

The real rate has a margin on top (bustd_monitor/sensing/fill_rate.py). Here there is none.
"""

import pytest

from . import machine as machine_module
from .killing import Killer
from .machine import Machine
from .memory import GIB
from .processes import Plan, ramp
from .running import Simulation, simulated
from .scenes import fitting, furnished

_STARTS_S = 12.0
_DECISION_S = 0.03
"""A decision and its verdict take no time in the simulation: here the killer hears of each this much later."""
_EMPTIED_PER_S = 8 * GIB
"""An exit is no slower."""


class NoTrigger:
    """As on a kernel without PSI triggers."""

    def fires(self, *_: float) -> bool:
        return False


def leak_of(monkeypatch, ram: float, per_s: float, reckoned_per_s: float, phase_s: float, *, triggers: bool):
    """A machine in calm, on which a program then takes memory at this rate; until it is full and has been emptied."""
    monkeypatch.setattr(machine_module, "FILLS_PER_S", 2 * per_s)
    machine = furnished(Machine(ram, cache=0.02 * ram))
    machine.start(fitting(Plan("database", 0.05 * ram), ram))
    machine.start(fitting(Plan("leak", ramp(per_s), busy=1.0, starts_s=_STARTS_S + phase_s), ram))
    hear = Killer.hear

    def later(killer: Killer, packet: bytes) -> None:
        machine.advance(_DECISION_S)
        hear(killer, packet)

    with simulated(machine, measured_per_s=reckoned_per_s) as run:
        run.sleep.has_triggers = triggers
        if not triggers:
            run.sleep._some = run.sleep._full = NoTrigger()  # type: ignore[assignment]
        run.run(_STARTS_S - 0.5)
        with monkeypatch.context() as patch:
            patch.setattr(Killer, "hear", later)
            run.run(0.5 + phase_s + ram / per_s + ram / _EMPTIED_PER_S + 2.0)
    return run


def leak_has_won(run: Simulation) -> bool:
    return bool(run.machine.kernel_kills) or run.killed != ["leak"]


@pytest.mark.parametrize("phase_s", [0.23, 1.3, 3.7])
@pytest.mark.parametrize(
    ("gib", "per_s_gib", "triggers"),
    [
        (1, 1, True),
        (1, 4, True),
        (1, 4, False),
        (4, 2, True),
        (4, 4, True),
        (4, 12, False),
        (16, 4, True),
        (16, 4, False),
        (64, 6, True),
        (64, 24, False),
        (256, 24, False),
    ],
)
def test_no_leak_wins_that_is_as_fast_as_was_measured(monkeypatch, gib, per_s_gib, triggers, phase_s):
    run = leak_of(monkeypatch, gib * GIB, per_s_gib * GIB, per_s_gib * GIB, phase_s, triggers=triggers)
    assert not leak_has_won(run), run.report()


@pytest.mark.parametrize("gib", [64, 256])
@pytest.mark.parametrize("per_s_gib", [24, 48])
def test_with_triggers_many_threads_that_fill_a_large_machine_faster_are_no_matter(monkeypatch, gib, per_s_gib):
    run = leak_of(monkeypatch, gib * GIB, per_s_gib * GIB, 24 * GIB, 1.3, triggers=True)
    assert not leak_has_won(run), run.report()


@pytest.mark.parametrize(("gib", "per_s_gib"), [(2, 2), (4, 4)])
def test_half_of_the_true_rate_would_be_too_low(monkeypatch, gib, per_s_gib):
    runs = [
        leak_of(monkeypatch, gib * GIB, per_s_gib * GIB, per_s_gib * GIB / 2, phase_s, triggers=False)
        for phase_s in (0.23, 1.3, 3.7)
    ]
    assert any(leak_has_won(run) for run in runs)
