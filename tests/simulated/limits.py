"""Control groups at a limit of their own: they reclaim among themselves, stall, and at memory.max lose a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import oom, reclaim
from .memory import Block

if TYPE_CHECKING:
    from .groups import Group
    from .machine import Machine, Wish

_THROTTLED = 0.9
"""Above memory.high a task sleeps up to two seconds each time that it returns to user space."""
_HARDLY = 0.1


def charged(machine: Machine, group: Group) -> list[Block]:
    """The blocks that count for a group: its own and those of the groups below it."""
    return [block for block in machine.blocks if block.group.is_within(group)]


def measure(machine: Machine, group: Group) -> None:
    """Work out what the group uses: memory.current and memory.swap.current."""
    blocks = charged(machine, group)
    group.usage = sum(block.resident for block in blocks)
    group.swapped = sum(block.swapped for block in blocks if block.is_swappable)


def hold_to_limits(machine: Machine, wishes: list[Wish], step_s: float) -> None:
    """Cut the wishes of those whose group has no room, after the group has reclaimed what it can."""
    for group in machine.bounded:
        measure(machine, group)
        if group.usage <= 0 and group.limit == float("inf"):
            continue
        own = [wish for wish in wishes if wish.block.group.is_within(group)]
        wanted = sum(wish.wanted for wish in own)
        over = group.usage + wanted - group.limit
        if not own or over <= 0:
            continue
        group.met["high" if group.high <= group.max else "max"] += 1
        blocks = charged(machine, group)
        freed = reclaim.drop_used_cache(over, blocks, {})
        if freed < over and group.swapped < group.swap_max:
            freed += reclaim.swap_out(machine, over - freed, step_s, blocks, {})
        group.reclaimed += freed
        is_soft = group.high < group.max and group.usage + wanted <= group.max
        granted = min(max(1 - (over - freed) / wanted, _HARDLY if is_soft else 0.0), 1.0) if over > freed else 1.0
        for wish in own:
            wish.wanted *= granted
        if granted < 1:
            for process in {wish.process for wish in own}:
                machine.stall(process, _THROTTLED if is_soft else 1 - granted)
                process.ran_s -= step_s * (1 - granted)
            if not is_soft and freed <= 0:
                oom.kill_in(machine, group)
