"""The kernel's own OOM killer: when it comes, and whom it takes (mm/oom_kill.c)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from . import reclaim
from .memory import MIB, SHMEM, Kind

if TYPE_CHECKING:
    from .groups import Group
    from .machine import Machine
    from .processes import Process

KERNEL = "the kernel"
_FRUITLESS_S = 0.1
"""So long reclaim finds nothing before the kernel gives up: 16 rounds (MAX_RECLAIM_RETRIES)."""


def points(machine: Machine, process: Process) -> float | None:
    """oom_badness() in bytes; None: never this one."""
    if process.plan.adj <= -1000 or process.pid == 1 or process.is_exiting:
        return None
    space = process.space
    held = space.resident(Kind.PRIVATE, Kind.TABLES, *SHMEM) + space.mapped_files + space.swapped_private
    return held + process.plan.adj * (machine.ram + machine.swap_total) / 1000


def judge(machine: Machine, *, is_unmet: bool, step_s: float) -> None:
    """Count the time in which nothing could be reclaimed, and kill when it is too long."""
    if not is_unmet or not _is_exhausted(machine):
        machine.oom_s = 0.0
        return
    machine.oom_s += step_s
    dying = any(process.is_exiting and process.cause == KERNEL for process in machine.processes.values())
    if machine.oom_s >= _FRUITLESS_S and not dying:
        machine.oom_s = 0.0
        machine.kernel_kills += _kill(machine, machine.processes.values())


def kill_in(machine: Machine, group: Group) -> None:
    """A control group has met memory.max, and nothing of it can be reclaimed."""
    members = [one for one in machine.processes.values() if one.group.is_within(group)]
    if any(one.is_exiting for one in members):
        return
    group.met["oom"] += 1
    killed = members if group.is_indivisible else ()
    for process in killed:
        machine.signal(process.pid, 9, KERNEL)
    group.met["oom_kill"] += len(killed) or _kill(machine, members)


def _is_exhausted(machine: Machine) -> bool:
    """Whether no cache is left, and nothing can be swapped out."""
    used_cache = wanted_cache = swappable = 0.0
    held_back = reclaim.protection(machine)
    for block in machine.blocks:
        if block.kind is Kind.FILE:
            used_cache += block.resident * (1 - held_back.get(block.group, 0.0))
            wanted_cache += block.total
        elif block.is_swappable and not block.is_locked:
            swappable += block.resident
    if machine.cold > MIB or used_cache > wanted_cache * 0.05 + 2 * MIB:
        return False
    return machine.swap_free < MIB or swappable < MIB


def _kill(machine: Machine, among: Iterable[Process]) -> int:
    """Kill the worst; how many were killed."""
    worst, most = None, -float("inf")
    for process in among:
        badness = points(machine, process)
        if badness is not None and process.plan.is_origin:
            worst = process
            break
        if badness is not None and badness > most:
            worst, most = process, badness
    if worst is None:
        return 0
    machine.signal(worst.pid, 9, KERNEL)
    return 1
