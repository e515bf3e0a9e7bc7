"""The machine: what happens to its memory in a step of time."""

from __future__ import annotations

import heapq
from collections.abc import Callable

from . import limits, oom, reclaim
from .groups import Group
from .lives import Lives
from .memory import GIB, Block, Kind
from .pressure import Task, shares
from .processes import Process, amount_at

_SCARCE = 0.02
SHORTEST_S, LONGEST_S = 0.01, 0.25
FILLS_PER_S = 24 * GIB
"""No program takes memory faster: that is the most that bustd reckons with (bustd_monitor/sensing/fill_rate.py)."""
_GROUPS_EVERY_S = 0.1
_KSWAPD = (0.0, 0.5)
"""While the machine reclaims, this task of the kernel runs half of the time, and never counts as stalled."""


class Wish:
    """Bytes that a process wants in one step."""

    __slots__ = ("block", "is_refault", "process", "wanted")

    def __init__(self, process: Process, block: Block, wanted: float, *, is_refault: bool = False) -> None:
        self.process = process
        self.block = block
        self.wanted = wanted
        self.is_refault = is_refault


class Machine(Lives):
    """See State for what it is made of."""

    def __init__(self, ram: float, **more: float) -> None:
        super().__init__(ram, **more)
        self._is_reclaiming = False
        self._growth = 0.0
        self._room = 0.0
        self._uncounted_s = 0.0
        self.shortest_s, self.longest_s = SHORTEST_S, LONGEST_S
        self._asked: list[Wish] = []
        self.step_s = 0.0
        self._stalled: list[Process] = []

    def advance(self, duration_s: float, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Let this time go by, in steps that are short where memory is. True: `is_over` has ended it early."""
        end_s = self.now_s + duration_s
        while self.now_s < end_s - 1e-9:
            step_s = min(self._step_s(), end_s - self.now_s)
            if self._events:
                step_s = min(step_s, max(self._events[0][0] - self.now_s, 1e-4))
            self._step(step_s)
            if is_over():
                return True
        return False

    def ask(self, process: Process, block: Block, wanted: float, *, is_refault: bool = False) -> None:
        """What a program does beyond its plan (Plan.does): it wants so many bytes in this step."""
        self._asked.append(Wish(process, block, wanted, is_refault=is_refault))

    def _step_s(self) -> float:
        room = self._room
        if self._is_reclaiming or self._stalled or self.exiting or room <= 0:
            return self.shortest_s
        longest_s = self.longest_s
        return max(min(longest_s, room / self._growth / 4 if self._growth > 0 else longest_s), self.shortest_s)

    def _step(self, step_s: float) -> None:
        self.now_s += step_s
        self.step_s = step_s
        while self._events and self._events[0][0] <= self.now_s + 1e-9:
            heapq.heappop(self._events)[2]()
        if self.exiting:
            self.clear(step_s)
        for process in self._stalled:
            process.stalled = 0.0
        self._stalled = []
        wishes, demand = self._wishes(step_s)
        self._slow_down_by_disk(wishes, demand, step_s)
        limits.hold_to_limits(self, wishes, step_s)
        self._grant(wishes, step_s)
        self._count_stalls(step_s)
        if self.now_s >= self.stalls.next_s:
            for stalls in (self.stalls, *(group.stalls for group in self.hierarchy.all())):
                stalls.average(self.now_s)
        self._room = self.free - self.high_mark
        if self._room < self.ram / 4:  # with more, this is no low
            available = self.available
            self.least_available = min(self.least_available, available)
            if available < self.ram * _SCARCE:
                self.scarce_s += step_s

    def _wishes(self, step_s: float) -> tuple[list[Wish], dict[Process, float]]:
        """What the programs want in this step, and what they would read from the disk in a second without stalls."""
        wishes: list[Wish] = []
        demand: dict[Process, float] = {}
        for process in list(self.processes.values()):
            if process.is_exiting or process.is_stopped or not process.is_active:
                continue
            plan, space = process.plan, process.space
            if plan.does is not None:
                plan.does(self, process)
            if not process.is_steady or process.is_filling:
                before = len(wishes)
                self._wish_growth(process, process.ran_s + step_s, wishes)
                process.is_filling = process.is_filling and len(wishes) > before
            process.ran_s += step_s
            if plan.busy and plan.touches:
                rate, files = plan.busy * plan.touches, space.files
                missing = plan.files - files.resident
                if missing > 1.0:
                    demand[process] = rate * missing
                    wishes.append(Wish(process, files, rate * missing * step_s, is_refault=files.swapped > 0))
                for block in (space.private, space.shared):
                    if block.swapped > 1.0:
                        demand[process] = demand.get(process, 0.0) + rate * block.swapped
                        wishes.append(Wish(process, block, rate * block.swapped * step_s, is_refault=True))
        wishes += self._asked
        self._asked = []
        return wishes, demand

    def _wish_growth(self, process: Process, at_s: float, wishes: list[Wish]) -> None:
        for block, amount in process.wants if process.is_filling else process.changing:
            difference = max(amount(at_s) if callable(amount) else amount, 0.0) - block.resident - block.swapped
            if difference > 0:
                wishes.append(Wish(process, block, min(difference, FILLS_PER_S * self.step_s)))
            elif difference < 0:
                from_memory = min(-difference, block.resident)
                block.resident -= from_memory
                block.swapped = max(block.swapped + difference + from_memory, 0.0)
        if process.plan.tmpfs:
            more = amount_at(process.plan.tmpfs, at_s) - process.wrote
            if more > 0:
                wishes.append(Wish(process, self.tmpfs, more))

    def _slow_down_by_disk(self, wishes: list[Wish], demand: dict[Process, float], step_s: float) -> None:
        """Who waits for the disk does its work in the time that is left: reading and working take turns."""
        if not demand:
            return
        each_per_s = self.disk_per_s / (
            len(demand) + bool(self._is_reclaiming and self.swap_total and not self.zram_ratio)
        )
        progress = {}
        for process, per_s in demand.items():
            speed = self.swap_per_s if self.zram_ratio and not process.plan.files else each_per_s
            progress[process] = 1 / (1 + per_s / speed)
            self.stall(process, 1 - progress[process])
            process.ran_s -= step_s * (1 - progress[process])
        for wish in wishes:
            if wish.process in progress:
                wish.wanted *= progress[wish.process]

    def stall(self, process: Process, share: float) -> None:
        """The process stalls for this share of the step, whatever else it stalls for."""
        if share > 0.001:
            if not process.stalled:
                self._stalled.append(process)
            process.stalled = 1 - (1 - process.stalled) * (1 - min(share, 1.0))

    def _grant(self, wishes: list[Wish], step_s: float) -> None:
        """The machine's own reclaim, and what can be had of what is wanted."""
        wanted = sum(wish.wanted for wish in wishes)
        left = self.free - wanted
        if left < self.low_mark or (self._is_reclaiming and left < self.high_mark):
            self._is_reclaiming = True
            freed = reclaim.take(self, self.high_mark - left, step_s)
            left += freed
            is_direct = left < self.low_mark
            self.by_kswapd += freed * (0.5 if is_direct else 1.0)
            self.by_direct += freed * 0.5 if is_direct else 0.0
            self._is_reclaiming = left < self.high_mark
        else:
            self._is_reclaiming = False
        unmet = min(max((self.min_mark + self.low_mark) / 2 - left, 0.0), wanted)
        granted = 1 - unmet / wanted if wanted else 1.0
        if unmet:
            self.direct_stalls += 1
        for wish in wishes:
            given = wish.wanted * granted
            self._give(wish, given)
            if granted < 1:
                self.stall(wish.process, 1 - granted)
        if granted < 1:
            for process in {wish.process for wish in wishes}:
                process.ran_s -= step_s * (1 - granted)
        self._growth = wanted / step_s
        oom.judge(self, is_unmet=unmet > 0, step_s=step_s)

    def _give(self, wish: Wish, given: float) -> None:
        block = wish.block
        block.resident += given
        if not block.is_listed:
            self.list(block)
        if block is self.tmpfs:
            wish.process.wrote += given
        if wish.is_refault:
            given = min(given, block.swapped)
            block.swapped -= given
            if block.kind is Kind.FILE:
                self.refaulted_files += given
                block.group.refaulted_files += given
            else:
                self.refaulted_anonymous += given
                self.swapped_in += given
                block.group.refaulted_anonymous += given

    def _count_stalls(self, step_s: float) -> None:
        self._uncounted_s += step_s
        if not self._stalled:
            self._uncounted_s = 0.0
            return
        tasks = {process: _task(process) for process in self.processes.values() if process.stalled or process.is_active}
        kswapd = [_KSWAPD] if self._is_reclaiming else []
        some, full = shares([*tasks.values(), *kswapd], self.cpus)
        self.stalls.add(some, full, step_s)
        if self._uncounted_s >= _GROUPS_EVERY_S:
            self._count_stalls_of_groups(tasks)

    def _count_stalls_of_groups(self, tasks: dict[Process, Task]) -> None:
        """A sample of this step stands for the time since the last one."""
        of_groups: dict[Group, list[Task]] = {}
        for process, task in tasks.items():
            for group in process.group.ancestry:
                of_groups.setdefault(group, []).append(task)
        for group in {group for process in self._stalled for group in process.group.ancestry}:
            group.stalls.add(*shares(of_groups[group], self.cpus), self._uncounted_s)
        self._uncounted_s = 0.0


def _task(process: Process) -> Task:
    awake = max(process.plan.busy, 0.2)
    return process.stalled, awake + (1 - awake) * process.stalled
