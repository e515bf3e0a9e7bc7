"""A machine that lives at 11 % available for months: how often it wakes up, and that a fast leak is not missed."""

import pytest

from .killing import Killer
from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp
from .running import Simulation, simulated
from .scenes import fitting, furnished

_STARTS_S = 3.0
_DECISION_S = 0.03
"""A decision and its verdict take no time in the simulation: here the killer hears of each this much later."""


def lives_close(ram: float, *, leak_per_s: float = 0.0) -> Machine:
    """Nothing moves until the leak starts, if there is one."""
    machine = furnished(Machine(ram, cache=0.02 * ram))
    machine.start(fitting(Plan("database", 0.3 * ram), ram))
    total = machine.available + machine.totals().private
    machine.start(Plan("browser", machine.available - 0.11 * total, files=0.0))
    if leak_per_s:
        machine.start(fitting(Plan("leak", ramp(leak_per_s), busy=1.0, starts_s=_STARTS_S), ram))
    return machine


def leaks(monkeypatch, ram: float, per_s: float, phase_s: float, **measured: float) -> Simulation:
    """A leak on such a machine, which begins at different moments of a sleep."""
    machine = lives_close(ram, leak_per_s=per_s)
    hear = Killer.hear

    def later(killer: Killer, packet: bytes) -> None:
        machine.advance(_DECISION_S)
        hear(killer, packet)

    with simulated(machine, **measured) as run:
        run.run(_STARTS_S - 0.5 + phase_s)
        with monkeypatch.context() as patch:
            patch.setattr(Killer, "hear", later)
            run.run(2.5)
    return run


@pytest.mark.parametrize(("gib", "most_per_s"), [(1, 21), (4, 16), (8, 8), (16, 5)])
def test_it_wakes_up_a_few_times_a_second_and_on_a_small_machine_twenty_times(gib, most_per_s):
    with simulated(lives_close(gib * GIB)) as run:
        run.run(2.0)
        before = run.sleep.count
        run.run(4.0)
    assert 0 < (run.sleep.count - before) / 4 <= most_per_s


@pytest.mark.parametrize(
    ("gib", "measured_gib_per_s", "most_per_s"), [(1, 1, 11), (2, 1, 5.5), (4, 1, 4), (4, 2, 5), (8, 2, 4), (8, 4, 5)]
)
def test_a_machine_that_fills_slowly_is_measured_and_wakes_up_less_often(gib, measured_gib_per_s, most_per_s):
    with simulated(lives_close(gib * GIB), measured_per_s=measured_gib_per_s * GIB) as run:
        run.run(2.0)
        before = run.sleep.count
        run.run(4.0)
    assert 0 < (run.sleep.count - before) / 4 <= most_per_s


@pytest.mark.parametrize("phase_s", [0.0, 0.02, 0.04])
@pytest.mark.parametrize(("gib", "per_s_gib"), [(1, 1), (2, 2), (4, 2), (4, 4), (8, 4)])
def test_nor_does_a_leak_win_there_that_is_as_fast_as_was_measured(monkeypatch, gib, per_s_gib, phase_s):
    run = leaks(monkeypatch, gib * GIB, per_s_gib * GIB, phase_s, measured_per_s=per_s_gib * GIB)
    assert run.killed[:1] == ["leak"], run.report()
    assert not run.machine.kernel_kills, run.report()


@pytest.mark.parametrize("phase_s", [0.0, 0.02, 0.04])
@pytest.mark.parametrize("per_s", [256 * MIB, GIB, 4 * GIB])
def test_a_leak_that_takes_the_rest_of_a_small_machine_at_once_dies_before_the_kernel_kills(
    monkeypatch, per_s, phase_s
):
    run = leaks(monkeypatch, GIB, per_s, phase_s)
    assert run.killed == ["leak"], run.report()
    assert not run.machine.kernel_kills, run.report()
