"""Processes as programs: what each wants of memory as its time goes by, and how it dies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from .memory import GIB, MIB, OUTLIVES_ITS_USERS, Block, Space

if TYPE_CHECKING:
    from .groups import Group
    from .machine import Machine

Amount = float | Callable[[float], float]
"""Bytes, or bytes as a function of the seconds that the program has run; seconds in which it stalled don't count."""

CLEARS_PER_S, CLEARS_HUGE_PER_S, HUGE_MACHINE = 8 * GIB, 64 * GIB, 64 * GIB
"""How fast the kernel takes back the memory of a process that exits: 0.15 s a GiB were seen. Large machines have large
programs in huge pages, which are a few hundred times fewer."""


class Plan(NamedTuple):
    """A program.

    `private`, `shared` (of its own, without a file), `tables` (page tables) and `tmpfs` (files, which outlive it) are
    wanted as its time goes by. `busy`: which part of the time it does not sleep. `touches`: which part of
    its memory it uses in a second, and of `files`, the page cache that it needs.

    `starts_s` None: it was there before; else a time of the machine. `ends_s`: how long after its start it ends.
    `copies`: it maps the memory of its parent, as after fork(2), and writes none of it; `shares`: it has the memory of
    its parent (CLONE_VM); `maps`: it maps this block too. `leaves_s`: how long after its parent it exits.

    `term_s`: how long it takes to obey SIGTERM; None: it ignores it. `late_s`: how much later than its PID its memory
    goes. `is_origin`: the kernel kills it first, as it does swapoff(8) (OOM_FLAG_ORIGIN). `does`: called at each step.
    `is_culprit`: for the judges of a scene alone.
    """

    name: str
    private: Amount = 0
    shared: Amount = 0
    tables: Amount = 0
    tmpfs: Amount = 0
    files: float = 6 * MIB
    busy: float = 0.0
    touches: float = 0.0
    group: str = ""
    parent: Process | None = None
    uid: int = 1000
    adj: int = 0
    starts_s: float | None = None
    ends_s: float | None = None
    term_s: float | None = 0.05
    late_s: float = 0.0
    leaves_s: float | None = None
    copies: bool = False
    shares: bool = False
    maps: Block | None = None
    is_locked: bool = False
    is_origin: bool = False
    is_culprit: bool = False
    command: str = ""
    process_group: int = 0
    session: int = 0
    does: Callable[[Machine, Process], None] | None = None


def _nothing() -> None:
    pass


class Process:
    """A process. `ran_s`: how long its program has run, without stalls. `exits_s`: when the signal it got ends it."""

    def __init__(self, pid: int, plan: Plan, group: Group, space: Space, parent_pid: int, started_s: float) -> None:
        self.pid = pid
        self.plan = plan
        self.group = group
        self.space = space
        self.parent_pid = parent_pid
        self.started_s = started_s
        self.start_ticks = 0
        self.ran_s = 0.0
        self.is_filling = plan.starts_s is not None
        """It has only just started, and has not got yet what it wants from the start."""
        self.wrote = 0.0
        """What it has written to a tmpfs."""
        self.stalled = 0.0
        """Which part of the last step it stalled."""
        self.comm = plan.name.encode()[:15]
        self.is_alive = True
        self.is_exiting = False
        """It has its SIGKILL, or has obeyed: it allocates nothing, and /proc shows no memory of it any more."""
        self.exits_s: float | None = None
        self.frees = 0.0
        """What comes back by its exit."""
        self.cause = ""
        self.is_stopped = False
        self.at_exit: Callable[[], None] = _nothing
        parent = plan.parent
        self.process_group = plan.process_group or (parent.process_group if parent else pid)
        self.session = plan.session or (parent.session if parent else pid)
        needs = (plan.private, plan.shared, plan.tables, plan.tmpfs)
        self.is_steady = not any(callable(amount) for amount in needs)
        self.wants = tuple(zip(space.own, needs[:3], strict=False))
        """What it wants of each block of its own; `changing`: where that is not always the same."""
        self.changing = tuple((block, amount) for block, amount in self.wants if callable(amount))
        self._is_restless = bool(plan.busy) or not self.is_steady or plan.does is not None

    @property
    def held(self) -> float:
        """What comes back when it dies: nothing that another process maps too, and no page cache."""
        if self.space.users > 1:
            return 0.0
        mine = (*self.space.own[:3], *self.space.mapped)
        return sum(block.total for block in mine if block.users <= 1 and block.kind not in OUTLIVES_ITS_USERS)

    @property
    def is_active(self) -> bool:
        """Whether its plan has to be looked at in each step."""
        return self._is_restless or self.is_filling


def amount_at(amount: Amount, seconds: float) -> float:
    """Bytes at this time of the program."""
    return max(float(amount(seconds)), 0.0) if callable(amount) else float(amount)


def ramp(per_second: float, *, start: float = 0.0, most: float = float("inf"), after_s: float = 0.0) -> Amount:
    """Grows without a pause, from `after_s` on, up to `most`."""
    return lambda seconds: min(start + max(seconds - after_s, 0.0) * per_second, most)


def steps(bytes_each: float, every_s: float, *, start: float = 0.0, most: float = float("inf")) -> Amount:
    """Grows by a step now and then."""
    return lambda seconds: min(start + int(seconds / every_s) * bytes_each, most)


def saw(low: float, high: float, period_s: float) -> Amount:
    """Grows and drops back, as a garbage collector has it."""
    return lambda seconds: low + (high - low) * (seconds % period_s) / period_s


def teardown_s(process: Process, ram: float) -> float:
    """How long its exit takes once it has its SIGKILL, on a machine of this size."""
    return 0.02 + process.held / (CLEARS_HUGE_PER_S if ram > HUGE_MACHINE else CLEARS_PER_S)
