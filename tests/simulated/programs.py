"""Programs that do more than to want memory: they fork, read files, and take swap away."""

from __future__ import annotations

from collections.abc import Callable

from .machine import Machine
from .processes import Plan, Process

Does = Callable[[Machine, Process], None]


def _now(_machine: Machine) -> bool:
    return True


def forks(child: Plan, count: int, every_s: float = 0.0, *, when: Callable[[Machine], bool] = _now) -> Does:
    """Forks so many children, from `when` on, all at once or one after the other.

    They are in its control group, process group and session.
    """
    begun: dict[int, int] = {}
    since_s: dict[int, float] = {}

    def fork(machine: Machine, process: Process) -> None:
        if process.pid not in since_s:
            if not when(machine):
                return
            since_s[process.pid] = process.ran_s
        ran_s = process.ran_s - since_s[process.pid]
        due = count if not every_s else min(count, int(ran_s / every_s) + 1)
        for _ in range(due - begun.get(process.pid, 0)):
            machine.start(child._replace(parent=process, group=process.group.path, starts_s=machine.now_s))
        begun[process.pid] = max(due, begun.get(process.pid, 0))

    return fork


def reads_files(per_s: float) -> Does:
    """Reads files once, as a backup does: they are page cache that no program uses any more."""

    def read(machine: Machine, _process: Process) -> None:
        room = machine.free - (machine.min_mark + machine.low_mark) / 2
        machine.cold += max(min(per_s * machine.step_s, room), 0.0)

    return read


def swaps_off(after_s: float) -> Does:
    """swapoff(8): what is swapped out is read back, as fast as the disk reads; no more is swapped out meanwhile.

    If it is killed before all is read back, swap is as it was.
    """
    begun: set[int] = set()

    def read_back(machine: Machine, process: Process) -> None:
        if process.ran_s < after_s:
            return
        if process.pid not in begun:
            begun.add(process.pid)
            process.at_exit = lambda size=machine.swap_total: setattr(machine, "swap_total", size)  # type: ignore[misc]
        left = machine.disk_per_s * machine.step_s
        machine.swap_total = machine.swap_used  # SwapTotal counts what is still in use (si_swapinfo)
        for block in machine.blocks:
            part = min(block.swapped, left) if block.is_swappable else 0.0
            if part > 0:
                machine.ask(process, block, part, is_refault=True)
                left -= part

    return read_back
