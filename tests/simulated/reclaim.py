"""What the kernel takes memory back from: cold page cache first, then swap and the page cache that programs use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from .memory import Block, Kind

if TYPE_CHECKING:
    from .groups import Group
    from .machine import Machine

CACHE_PER_S = 3 * 2**30
"""How fast clean page cache is dropped."""
USED_CACHE_PER_S = 2**29
"""The same of pages that programs have mapped and use: they are looked at twice before they are dropped."""
_USED_CACHE_SHARE = 0.1
"""So much of the work goes to page cache in use while there is anonymous memory to swap out."""
_LOVED = 10
"""What is touched once a second is swapped out this much later than what is idle."""


def take(machine: Machine, wanted: float, duration_s: float) -> float:
    """Reclaim for the machine; returns the bytes that are free by it. Less than `wanted` where it is too slow."""
    freed = min(wanted, machine.cold, CACHE_PER_S * duration_s)
    machine.cold -= freed
    if freed < wanted:
        held_back = protection(machine)
        swapped = swap_out(machine, wanted - freed, duration_s, machine.blocks, held_back)
        share = _USED_CACHE_SHARE if swapped else 1.0
        left = min((wanted - freed - swapped) * share, USED_CACHE_PER_S * duration_s)
        freed += swapped + drop_used_cache(left, machine.blocks, held_back)
    return freed


def swap_out(
    machine: Machine, wanted: float, duration_s: float, blocks: Iterable[Block], protection: dict[Group, float]
) -> float:
    """Swap out as much as the device takes in this time; returns the bytes that are free by it (less with zram)."""
    room = min(machine.swap_free, machine.swap_per_s * duration_s)
    if room <= 0:
        return 0.0
    rate = 1 - 1 / machine.zram_ratio if machine.zram_ratio else 1.0
    weights = [
        (block, block.resident / (1 + _LOVED * block.touched) * (1 - protection.get(block.group, 0.0)))
        for block in blocks
        if block.resident > 0 and block.is_swappable and not block.is_locked
    ]
    total = sum(weight for _, weight in weights)
    if total <= 0:
        return 0.0
    goal, moved = min(wanted / rate, room), 0.0
    for block, weight in weights:
        part = min(goal * weight / total, block.resident)
        block.resident -= part
        block.swapped += part
        moved += part
    machine.swapped_out += moved
    return moved * rate


def drop_used_cache(wanted: float, blocks: Iterable[Block], protection: dict[Group, float]) -> float:
    """Drop page cache that programs use; returns how much. What is read again after that is a refault."""
    parts = [
        (block, block.resident * (1 - protection.get(block.group, 0.0)))
        for block in blocks
        if block.kind is Kind.FILE and block.resident > 0
    ]
    total = sum(part for _, part in parts)
    if total <= 0 or wanted <= 0:
        return 0.0
    share, dropped = min(wanted / total, 1.0), 0.0
    for block, part in parts:
        block.resident -= part * share
        block.swapped += part * share
        dropped += part * share
    return dropped


def protection(machine: Machine) -> dict[Group, float]:
    """By group: which part of what is charged to it memory.min and memory.low hold back, where any group has them."""
    found: dict[Group, float] = {}
    for group in machine.bounded:
        held_back = max(group.min, group.low)
        if held_back and group.usage:
            share = min(held_back / group.usage, 1.0)
            found |= dict.fromkeys(group.subtree(), share)
    return found
