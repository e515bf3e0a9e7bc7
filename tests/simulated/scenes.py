"""What the scenes have in common: a machine with the programs that are everywhere, and the judgement of an outcome."""

from __future__ import annotations

from .machine import Machine
from .memory import MIB
from .processes import Plan
from .running import Simulation


def furnished(machine: Machine) -> Machine:
    """With the services that every machine has, which are small."""
    share = min(machine.ram / 2**30, 4.0) * MIB
    services = (
        Plan("systemd", 8 * share, group="/init.scope", uid=0),
        Plan("systemd-journal", 10 * share, group="/system.slice/systemd-journald.service", uid=0, adj=-250),
        Plan("dbus-daemon", 3 * share, group="/system.slice/dbus.service", uid=100, adj=-900),
        Plan("sshd", 5 * share, group="/system.slice/ssh.service", uid=0, adj=-1000),
    )
    for plan in services:
        machine.start(fitting(plan, machine.ram))
    return machine


def fitting(plan: Plan, ram: float) -> Plan:
    """The plan for a machine of this size: on a small one the programs are small too."""
    return plan._replace(files=min(plan.files, ram / 150))


def assert_dies_alone(run: Simulation, name: str, *, by_s: float) -> None:
    """Just this one has died, of bustd, by this time."""
    assert run.killed == [name], run.report()
    death = run.machine.deaths[0]
    assert death.cause != "the kernel", run.report()
    assert death.at_s <= by_s, run.report()
