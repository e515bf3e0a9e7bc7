"""What the scenes have in common: a machine with the programs that are everywhere, and the judgement of an outcome."""

from __future__ import annotations

from .machine import Machine
from .memory import MIB
from .processes import Plan
from .running import Simulation


def furnished(machine: Machine) -> Machine:
    """With the services that every machine has, which are small."""
    share = min(machine.ram / 2**30, 4.0)
    machine.start(Plan("systemd", 8 * MIB * share, group="/init.scope", uid=0))
    machine.start(
        Plan("systemd-journal", 10 * MIB * share, group="/system.slice/systemd-journald.service", uid=0, adj=-250)
    )
    machine.start(Plan("dbus-daemon", 3 * MIB * share, group="/system.slice/dbus.service", uid=100, adj=-900))
    machine.start(Plan("sshd", 5 * MIB * share, group="/system.slice/ssh.service", uid=0, adj=-1000))
    return machine


def assert_dies_alone(run: Simulation, name: str, *, by_s: float) -> None:
    """Just this one has died, of bustd, by this time."""
    assert run.killed == [name], run.report()
    death = run.machine.deaths[0]
    assert death.cause != "the kernel", run.report()
    assert death.at_s <= by_s, run.report()
