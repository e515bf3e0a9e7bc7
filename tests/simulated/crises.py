"""Random crises: machines of all sizes, programs of many kinds, one culprit or none; the same for seed and number."""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, ramp, steps
from .programs import forks
from .scenes import any_group, any_machine, fit, fitting, furnish

KINDS = {
    "private": 34,
    "shared": 14,
    "tables": 5,
    "hands": 12,
    "steps": 10,
    "old": 10,
    "newborn": 5,
    "none": 10,
}
"""What runs away, and how often. `old`: a program that was there before; `newborn`: it takes much at once."""
STARTS_S = 2.0
_STEP_S = 0.02
"""Twice the usual: thousands of crises are to be judged."""


class Crisis(NamedTuple):
    """`swap`: "none", "disk" or "zram". `lasts_s`: so long it is followed at most."""

    number: int
    kind: str
    swap: str
    machine: Machine
    lasts_s: float


def crisis(seed: int, number: int) -> Crisis:
    """The same for the same seed and number, whatever judges it."""
    dice = random.Random(f"{seed} {number}")
    kind = dice.choices(list(KINDS), list(KINDS.values()))[0]
    machine, swap = any_machine(dice)
    ram, size = machine.ram, machine.swap_total
    machine.shortest_s = _STEP_S
    filled = dice.uniform(0.25, 0.65)
    furnish(machine, dice, ram * filled)
    room = max(machine.available, 0.05 * ram)
    seconds = 2 ** dice.uniform(1.5, 4.5)
    rate = room / seconds
    start_culprit(machine, dice, kind, rate, room)
    fit(machine)
    to_swap = 1.5 * size / min(rate, machine.swap_per_s) if size else 0.0
    return Crisis(number, kind, swap, machine, STARTS_S + seconds + min(to_swap, 90.0) + 15.0)


def start_culprit(machine: Machine, dice: random.Random, kind: str, rate: float, room: float) -> None:
    """What runs away: so many bytes a second, on a machine that has so much room."""
    group = any_group(dice, "culprit")
    plan = fitting(
        Plan("culprit", busy=0.5, touches=0.05, starts_s=STARTS_S, group=group, is_culprit=True), machine.ram
    )
    before = room * dice.uniform(0.05, 0.4)
    if kind == "none":
        _start_healthy(machine, dice, rate, room)
    elif kind == "shared":
        machine.start(plan._replace(private=0.02 * room, shared=ramp(rate)))
    elif kind == "tables":
        machine.start(plan._replace(private=0.02 * room, tables=ramp(rate)))
    elif kind == "steps":
        machine.start(plan._replace(private=steps(rate, 1.0)))
    elif kind == "old":
        machine.start(plan._replace(private=ramp(rate, start=before, after_s=STARTS_S), starts_s=None))
    elif kind == "newborn":
        machine.start(plan._replace(private=ramp(rate * 20)))
    elif kind == "hands":
        count = dice.randint(12, 80)
        child = plan._replace(private=ramp(rate / count), starts_s=None, busy=0.2, files=MIB)
        machine.start(plan._replace(private=ramp(rate / count), does=forks(child, count)))
    else:
        machine.start(plan._replace(private=ramp(rate)))


def _start_healthy(machine: Machine, dice: random.Random, rate: float, room: float) -> None:
    """A program that takes a good part of what is available, and stops."""
    left = max(0.16 * machine.ram, min(2 * GIB, 0.3 * machine.ram))
    most = max(room - left, 0.0) * dice.uniform(0.5, 1.0)
    machine.start(fitting(Plan("starts-up", ramp(rate, most=most), busy=0.5, starts_s=STARTS_S), machine.ram))


def describe(one: Crisis) -> str:
    """For a reader who looks for what went wrong."""
    machine = one.machine
    return (
        f"crisis {one.number}: {one.kind}, {machine.ram / GIB:.2f} GiB, swap {one.swap} "
        f"{machine.swap_total / GIB:.2f} GiB, {len(machine.processes)} processes, {math.ceil(one.lasts_s)} s"
    )
