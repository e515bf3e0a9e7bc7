"""Random slow crises: 8 GiB, and 5 to 50 MiB a second that run away: there is time for a warning. See crises."""

from __future__ import annotations

import random

from .crises import STARTS_S, Crisis, start_culprit
from .memory import GIB, MIB
from .scenes import any_machine, furnish

RAM = 8 * GIB
KINDS = ("private", "shared", "tables", "hands", "steps", "old")
"""What runs away. A newborn that takes much at once is not slow."""
_RATES = 5 * MIB, 50 * MIB
_STEP_S = 0.05


def slow_crisis(seed: int, number: int) -> Crisis:
    """The same for the same seed and number."""
    dice = random.Random(f"slow {seed} {number}")
    kind = dice.choice(KINDS)
    machine, swap = any_machine(dice, RAM)
    machine.shortest_s = _STEP_S
    furnish(machine, dice, RAM * dice.uniform(0.25, 0.65))
    slowest, fastest = _RATES
    rate = slowest * (fastest / slowest) ** dice.random()
    room = machine.available
    start_culprit(machine, dice, kind, rate, room)
    return Crisis(number, kind, swap, machine, STARTS_S + 2 * (room + machine.swap_total) / rate + 60.0)
