"""One crisis end to end, and an hour without one."""

import time

import pytest

from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp, saw
from .running import simulated
from .scenes import assert_dies_alone, furnished

LEAST_SPEED = 30
"""Simulated seconds in one real second: a machine that does much besides still manages that."""


def desktop(ram=8 * GIB, **more) -> Machine:
    machine = furnished(Machine(ram, **more))
    for number in range(20):
        machine.start(Plan(f"idle-{number}", (30 + 20 * number) * ram / 8192))
    return machine


def test_a_leak_beside_idle_programs_dies_and_nothing_else():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0, is_culprit=True))
    with simulated(machine) as run:
        run.run(60)
    assert_dies_alone(run, "leak", by_s=25)
    assert machine.least_available > 0.05 * machine.ram


def test_a_leak_that_ignores_sigterm_dies_of_sigkill_at_once():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0, term_s=None))
    with simulated(machine) as run:
        run.run(60)
    assert_dies_alone(run, "leak", by_s=30)
    assert machine.deaths[0].cause.endswith("SIGKILL")
    assert machine.deaths[0].at_s < run.killer.asked[0].at_s + 1


def test_without_bustd_the_same_leak_meets_the_kernel():
    machine = desktop()
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5, starts_s=5.0))
    machine.advance(60)
    assert [death.cause for death in machine.deaths] == ["the kernel"]
    assert machine.least_available == 0


def test_in_a_healthy_hour_nothing_dies_and_a_second_of_it_takes_little_time():
    machine = desktop()
    machine.start(Plan("busy", saw(200 * MIB, 600 * MIB, 7), busy=0.5))
    started_s = time.monotonic()
    with simulated(machine) as run:
        run.run(3600)
    assert run.killed == []
    assert run.killer.asked == []
    assert 3600 / (time.monotonic() - started_s) > LEAST_SPEED


@pytest.mark.parametrize("name", ["memory", "swap"])
def test_bytes_are_neither_lost_nor_made(name):
    """What is resident, cached and free is RAM at any time, and swap holds what was swapped out."""
    machine = desktop(2 * GIB, swap=1 * GIB)
    machine.start(Plan("leak", ramp(100 * MIB), busy=0.5, starts_s=1.0))
    machine.start(Plan("touches", 200 * MIB, files=100 * MIB, busy=0.3, touches=0.2))
    for _ in range(300):
        machine.advance(0.1)
        if name == "memory":
            assert machine.free > 0
            assert all(block.resident >= 0 and block.swapped >= -1 for block in machine.blocks)
        else:
            assert 0 <= machine.swap_used <= machine.swap_total + 1
            assert machine.swap_used <= machine.swapped_out + 1
