"""What the scenes have in common: a machine with the programs that are everywhere, and the judgement of an outcome."""

from __future__ import annotations

import random

from . import reclaim
from .machine import Machine
from .memory import MIB
from .processes import Plan, saw
from .running import Simulation

SESSION = "/user.slice/user-1000.slice"
_LONG_S = 3600.0


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


def any_machine(dice: random.Random, ram: float = 0.0) -> tuple[Machine, str]:
    """A machine with 0.5 to 64 GiB, with its services; and its kind of swap: "none", "disk" or "zram".

    `ram`: it has so much instead.
    """
    ram = ram or 2 ** dice.uniform(9, 16) * MIB
    swap = dice.choice(("none", "none", "disk", "zram"))
    machine = Machine(
        ram,
        swap=ram * dice.uniform(0.1, 0.8) if swap != "none" else 0.0,
        zram_ratio=dice.uniform(2.0, 3.5) if swap == "zram" else 0.0,
        cpus=dice.choice((2, 4, 8, 16)),
        disk_per_s=dice.uniform(40, 1500) * MIB,
        cache=ram * dice.uniform(0.02, 0.3),
    )
    return furnished(machine), swap


def furnish(machine: Machine, dice: random.Random, held: float) -> None:
    """Programs that hold so much together: a few large ones and many small ones; some work, some share memory."""
    count = dice.randint(4, 24)
    weights = [dice.lognormvariate(0, 1.2) for _ in range(count)]
    for number, weight in enumerate(weights):
        size = held * weight / sum(weights)
        busy = dice.random() < 0.3
        kind = dice.choices(("plain", "saw", "shared", "workers"), (70, 10, 10, 10))[0]
        private = (
            saw(0.9 * size, size, dice.uniform(2, 9)) if kind == "saw" else 0.4 * size if kind == "shared" else size
        )
        plan = Plan(
            f"{kind}-{number}",
            private,
            shared=0.6 * size if kind == "shared" else 0.0,
            files=dice.uniform(2, 40) * MIB,
            busy=dice.uniform(0.05, 0.6) if busy else 0.0,
            touches=dice.uniform(0.02, 0.5) if busy else 0.0,
            group=any_group(dice, f"{kind}-{number}"),
            adj=dice.choice((0, 0, 0, 0, 0, 100, 200, 300, -100)),
        )
        machine.start(fitting(plan, machine.ram))
        if kind == "workers":
            parent = next(reversed(machine.processes.values()))
            for _ in range(dice.randint(1, 4)):
                worker = Plan(f"{kind}-{number}", 0.02 * size, parent=parent, copies=True, group=parent.group.path)
                machine.start(fitting(worker, machine.ram))
    fit(machine)


def fit(machine: Machine) -> None:
    """What has run for long fits into memory: cache that does not fit beside the programs was dropped long ago."""
    missing = machine.high_mark - machine.free
    if missing > 0:
        reclaim.take(machine, missing, _LONG_S)


def any_group(dice: random.Random, name: str) -> str:
    """A service, a scope of a desktop, or a login session in which many things run."""
    place = dice.random()
    if place < 0.4:
        return f"/system.slice/{name}.service"
    if place < 0.8:
        return f"{SESSION}/user@1000.service/app.slice/app-{name}.scope"
    return f"{SESSION}/session-2.scope"


def assert_dies_alone(run: Simulation, name: str, *, by_s: float) -> None:
    """Just this one has died, of bustd, by this time."""
    assert run.killed == [name], run.report()
    death = run.machine.deaths[0]
    assert death.cause != "the kernel", run.report()
    assert death.at_s <= by_s, run.report()
