"""What other daemons would do, in a few lines each: when they act, and whom they take.

Only the policy is theirs: all of them read the machine at once and signal without delay.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import limits
from .groups import Group
from .machine import Machine
from .oom import points
from .processes import Process

SIGTERM, SIGKILL = 15, 9


class Kill(NamedTuple):
    """These processes get this signal."""

    processes: list[Process]
    signal: int


def largest(machine: Machine) -> list[Process]:
    """The process of the largest oom_score, of those that are not on their way out."""
    scores = [(score, process) for process in machine.living() if (score := points(machine, process)) is not None]
    return [max(scores, key=lambda pair: pair[0])[1]] if scores else []


def _is_dying(machine: Machine) -> bool:
    return any(process.cause for process in machine.living())


def _share_available(machine: Machine) -> float:
    available = machine.available
    return available / max(available + machine.totals().private, 1.0)


def largest_score(machine: Machine) -> Kill | None:
    """earlyoom with its defaults: memory and swap below a tenth, the largest oom_score; SIGKILL below half of that."""
    swap = machine.swap_free / machine.swap_total if machine.swap_total else 0.0
    share = _share_available(machine)
    if share > 0.10 or swap > 0.10:
        return None
    signal = SIGKILL if share <= 0.05 and swap <= 0.05 else SIGTERM
    if signal == SIGTERM and _is_dying(machine):
        return None  # it waits for the exit of its victim
    return Kill(largest(machine), signal)


def by_pressure(machine: Machine) -> Kill | None:
    """The original bustd: 15 % free and PSI some avg10 of 25, the largest oom_score, SIGKILL."""
    if machine.free > 0.15 * machine.ram or machine.stalls.some_avg10 < 25 or _is_dying(machine):
        return None
    return Kill(largest(machine), SIGKILL)


def control_group(machine: Machine) -> Kill | None:
    """systemd-oomd with its defaults: nine tenths of memory and swap used, or PSI some of 60 for half a minute.

    Then the group with the most swap, or the one that stalls most, dies whole.
    """
    leaves = [group for group in machine.hierarchy.all() if not group.children and group.path.count("/") > 1]
    swap_used = machine.swap_used
    if machine.swap_total and swap_used > 0.9 * machine.swap_total and _share_available(machine) < 0.1:
        for group in leaves:
            limits.measure(machine, group)
        worst = max(leaves, key=lambda group: group.swapped, default=None)
        return _whole(machine, worst) if worst is not None and worst.swapped > 0.05 * swap_used else None
    if machine.stalls.some_avg60 < 60 or _is_dying(machine):
        return None
    return _whole(machine, max(leaves, key=lambda group: group.stalls.some_avg10, default=None))


def nothing(_machine: Machine) -> Kill | None:
    """The kernel alone."""
    return None


def _whole(machine: Machine, group: Group | None) -> Kill | None:
    members = [process for process in machine.living() if group is not None and process.group is group]
    return Kill([process for process in members if process.plan.adj > -900], SIGKILL)


class Policy(NamedTuple):
    """`every_s`: how often it looks."""

    name: str
    judge: Callable[[Machine], Kill | None]
    every_s: float


OTHERS = (
    Policy("earlyoom", largest_score, 0.1),
    Policy("original", by_pressure, 0.1),
    Policy("systemd-oomd", control_group, 1.0),
    Policy("kernel", nothing, 0.5),
)
