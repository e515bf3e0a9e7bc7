"""Shared memory that is swapped out, beside programs that look worse: found, and nothing else dies for it."""

import pytest

from bustd_monitor.sensing.sensor import Sensor

from .files import shown
from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp
from .running import simulated
from .scenes import assert_dies_alone, furnished

SESSION = "/user.slice/user-1000.slice/session-2.scope"
SWAPS = {"zram 2:1": 2.0, "zram 3:1": 3.0, "disk": 0.0}


def machine_with(ratio: float, *plans: Plan, ram: float = 2 * GIB) -> Machine:
    machine = furnished(Machine(ram, swap=ram / 2, zram_ratio=ratio, cache=0.05 * ram, disk_per_s=200 * MIB))
    for plan in plans:
        machine.start(plan)
    return machine


def leak(ram: float = 2 * GIB, **changed) -> Plan:
    return Plan("leak", 5 * MIB, shared=ramp(ram / 100), busy=0.5, touches=0.05, starts_s=2.0)._replace(**changed)


def outcome(machine: Machine, seconds: float):
    with simulated(machine) as run:
        run.run(seconds)
    return run


@pytest.mark.parametrize("ratio", SWAPS.values(), ids=SWAPS)
@pytest.mark.parametrize("group", ["/system.slice/leak.service", SESSION])
def test_a_leak_of_which_half_is_in_swap_dies_and_not_what_a_desktop_lets_die_first(ratio, group):
    desktop = [Plan(f"tab-{number}", 150 * MIB, adj=300, group=SESSION) for number in range(4)]
    machine = machine_with(ratio, *desktop, leak(group=group))
    assert_dies_alone(outcome(machine, 260), "leak", by_s=240)


@pytest.mark.parametrize("ratio", SWAPS.values(), ids=SWAPS)
def test_an_idle_server_whose_buffers_are_swapped_out_by_a_leak_beside_it_is_not_what_grows(ratio):
    server = Plan("server", 20 * MIB, shared=500 * MIB, group="/system.slice/server.service")
    machine = machine_with(ratio, server, leak(shared=0, private=ramp(20 * MIB)))
    assert_dies_alone(outcome(machine, 260), "leak", by_s=240)


def test_swapping_out_to_zram_is_no_loss_of_what_nobody_holds():
    """What zram takes is no program's: else the loss is more than all programs gain, and none of them runs away."""
    machine = machine_with(2.0, Plan("idle", 600 * MIB), leak())
    machine.advance(120, lambda: machine.swap_used > 100 * MIB)
    with shown(machine):
        sensor = Sensor(clock_ns=lambda: 10**12)
        before, swapped = sensor.read(), machine.swap_used
        assert swapped
        machine.advance(20)
        after = sensor.read()
        sensor.close()
    grew = 20 * machine.ram / 100
    assert machine.swap_used - swapped > 0.5 * grew
    assert before.unheld_bytes - after.unheld_bytes == pytest.approx(grew, rel=0.1)
    assert before.room_bytes - after.room_bytes > 1.3 * grew
