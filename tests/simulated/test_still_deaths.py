"""A tmpfs that fills slowly, beside ten idle programs: how many die for it, and how many the kernel kills."""

import pytest

from .machine import Machine
from .memory import GIB, MIB
from .oom import KERNEL
from .processes import Plan, ramp, saw
from .running import Simulation, simulated
from .table import beside

MINUTES = 20
"""In so many it would have filled 90 % of RAM."""


def filling(ram: float, share: float, **more: float) -> Machine:
    programs = (Plan(f"program-{number}", (0.10 - 0.007 * number) * ram) for number in range(10))
    machine = beside(ram, *programs, **more)
    machine.start(Plan("writer", MIB, tmpfs=ramp(0.9 * ram / MINUTES / 60, most=share * ram), busy=0.3, starts_s=2.0))
    return machine


def by_bustd(run: Simulation) -> int:
    return sum(death.cause != KERNEL for death in run.machine.deaths)


@pytest.mark.parametrize("ram", [1 * GIB, 4 * GIB, 16 * GIB])
def test_a_tmpfs_that_takes_nearly_all_of_ram_costs_two_programs_and_the_log_says_what_to_do(ram):
    machine = filling(ram, 0.7)
    with simulated(machine) as run:
        run.run(MINUTES * 60)
    assert 1 <= by_bustd(run) <= 2, run.report()
    told = [line for _, line in run.said if "no more are killed for it" in line]
    assert "tmpfs and shared memory took" in told[-1]
    assert "delete files of a tmpfs (df -t tmpfs): the fullest is /dev/shm" in told[-1]
    assert all("no process grows: " in line for _, line in run.said if " fires: " in line)


def test_small_programs_that_breathe_change_nothing_for_the_idle_ones():
    machine = filling(16 * GIB, 0.7)
    for number in range(3):
        machine.start(Plan(f"tab-{number}", saw(100 * MIB, 250 * MIB, 36.0 + 6 * number), busy=0.1))
    with simulated(machine) as run:
        run.run(MINUTES * 60)
    idle = [death for death in machine.deaths if death.cause != KERNEL and death.process.plan.name[:7] == "program"]
    assert len(idle) <= 2, run.report()


@pytest.mark.parametrize("ram", [4 * GIB, 16 * GIB])
def test_of_one_that_stops_at_a_third_of_ram_the_kernel_kills_nothing(ram):
    machine = filling(ram, 0.35)
    with simulated(machine) as run:
        run.run(MINUTES * 60)
    assert by_bustd(run) <= 2, run.report()
    assert machine.kernel_kills == 0


def test_a_tmpfs_that_goes_to_swap_is_named_and_not_fed_either():
    machine = filling(4 * GIB, 1.1, swap=2 * GIB)
    with simulated(machine) as run:
        run.run(1.2 * MINUTES * 60)
    assert 1 <= by_bustd(run) <= 2, run.report()
    assert all("tmpfs and shared memory" in line for _, line in run.said if " fires: " in line)
