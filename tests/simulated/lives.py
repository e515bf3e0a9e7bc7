"""The processes of a machine: how they start, what a signal does to them, and when their memory comes back."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from typing import NamedTuple

from .memory import OUTLIVES_ITS_USERS, Block, Kind, Space
from .processes import Plan, Process, amount_at, teardown_s
from .state import State

BOOT_S = 1000.0
"""The uptime when a simulation begins."""
TICKS_PER_S = 100
_BEFORE_S = 600.0
"""So old are the programs that were there before."""


class Death(NamedTuple):
    """A process has died of a signal. `freed`: bytes that come back by it."""

    at_s: float
    process: Process
    cause: str
    freed: float


class Lives(State):
    """A machine with processes, and with what is to happen to them at a certain time."""

    def __init__(self, ram: float, **more: float) -> None:
        super().__init__(ram, **more)  # type: ignore[arg-type]
        self.deaths: list[Death] = []
        self.exiting: list[Process] = []
        """Those that give their memory back, bit by bit."""
        self.last_pid = 1000
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()

    def at(self, when_s: float, do: Callable[[], None]) -> None:
        """Do this when the machine's time has come to `when_s`."""
        heapq.heappush(self._events, (when_s, next(self._numbers), do))

    def start(self, plan: Plan) -> Process | None:
        """Start a program, now or at its time. Those that were there before have all of their memory at once."""
        if plan.starts_s is not None and plan.starts_s > self.now_s:
            self.at(plan.starts_s, lambda: self._start(plan))
            return None
        return self._start(plan)

    def _start(self, plan: Plan) -> Process:
        group = self.hierarchy.at(plan.group or f"/system.slice/{plan.name}.service")
        parent = plan.parent
        is_old = plan.starts_s is None
        space = parent.space if plan.shares and parent else Space(group, touched=plan.touches, is_locked=plan.is_locked)
        space.users += 1
        self.last_pid += 1 if plan.parent else 7
        began_s = BOOT_S + (self.now_s if not is_old else min(self.last_pid / 1e4 - _BEFORE_S, 0.0))
        process = Process(self.last_pid, plan, group, space, parent.pid if parent else 1, began_s)
        process.start_ticks = int(began_s * TICKS_PER_S)
        self.processes[process.pid] = process
        if plan.copies and parent:
            for block in (parent.space.private, *parent.space.mapped):
                space.map(block)
        if plan.maps is not None:
            space.map(plan.maps)
        if is_old and not plan.shares:
            needs = (plan.private, plan.shared, plan.tables)
            for block, amount in zip(space.own, (*needs, plan.files), strict=True):
                block.resident = amount_at(amount, 0.0)
                if block.resident:
                    self.list(block)
            process.wrote = amount_at(plan.tmpfs, 0.0)
            self.tmpfs.resident += process.wrote
        if plan.ends_s is not None:
            self.at(self.now_s + plan.ends_s, lambda: self._exit(process, ""))
        return process

    def segment(self, size: float, kind: Kind = Kind.SHARED, group: str = "") -> Block:
        """Shared memory for several processes to map (Plan.maps)."""
        block = Block(kind, self.hierarchy.at(group))
        block.resident = float(size)
        self.list(block)
        return block

    def signal(self, pid: int, number: int, cause: str) -> bool:
        """kill(2), for SIGKILL (9), SIGTERM (15), SIGCONT (18) and SIGSTOP (19). False: no such process."""
        process = self.processes.get(pid)
        if process is None or not process.is_alive:
            return False
        if number == 9:
            self._begin_exit(process, cause)
        elif number == 15 and process.plan.term_s is not None and not process.is_exiting and not process.cause:
            process.cause = cause
            if not process.is_stopped:
                self.at(self.now_s + process.plan.term_s, lambda: self._begin_exit(process, cause))
        elif number in (18, 19):
            process.is_stopped = number == 19
            if number == 18 and process.cause and not process.is_exiting:
                self.at(self.now_s + (process.plan.term_s or 0.0), lambda: self._begin_exit(process, process.cause))
        return True

    def _begin_exit(self, process: Process, cause: str) -> None:
        if process.is_alive and not process.is_exiting:
            process.is_exiting, process.cause = True, process.cause or cause
            process.frees = process.held
            process.exits_s = self.now_s + teardown_s(process, self.ram)
            if not process.plan.late_s and process.space.users == 1:
                self.exiting.append(process)
            self.at(process.exits_s, lambda: self._exit(process, process.cause))

    def _exit(self, process: Process, cause: str) -> None:
        if not process.is_alive:
            return
        process.is_alive, process.is_exiting = False, True
        if cause:
            self.deaths.append(Death(self.now_s, process, cause, process.frees))
        if process in self.exiting:
            self.exiting.remove(process)
        process.at_exit()
        del self.processes[process.pid]
        if process.plan.late_s:
            self.at(self.now_s + process.plan.late_s, lambda: self._let_go(process.space))
        else:
            self._let_go(process.space)
        for child in self.living():
            if child.parent_pid == process.pid:
                child.parent_pid = 1
                if child.plan.leaves_s is not None:
                    self.at(self.now_s + child.plan.leaves_s, lambda child=child: self._exit(child, ""))  # type: ignore[misc]

    def clear(self, step_s: float) -> None:
        """What exits gives back a part of its memory in this step."""
        for process in self.exiting:
            share = min(step_s / max((process.exits_s or 0.0) - self.now_s + step_s, step_s), 1.0)
            for block in process.space.own[:3]:
                if block.users <= 1:
                    block.resident -= block.resident * share
                    block.swapped -= block.swapped * share

    def _let_go(self, space: Space) -> None:
        space.users -= 1
        if space.users > 0:
            return
        self.cold += space.files.resident
        space.files.resident = space.files.swapped = 0.0
        for block in (*space.own, *space.mapped):
            block.users -= 1
            if block.users <= 0 and block.kind not in OUTLIVES_ITS_USERS:
                block.resident = block.swapped = 0.0
        self.blocks = [block for block in self.blocks if block.total or block is self.tmpfs or self._drop(block)]

    def _drop(self, block: Block) -> bool:
        """It has no memory any more: it is listed again if it gets some."""
        block.is_listed = False
        return False
