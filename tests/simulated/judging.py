"""What came of a random crisis under bustd, or under the policy of another daemon; and of a healthy hour."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from bustd_monitor.deciding.actions import ShortSoon
from bustd_monitor.deciding.events import Chosen

from .crises import Crisis
from .healthy import HOUR_S, Hour
from .machine import Machine
from .oom import KERNEL
from .policies import Policy
from .running import Simulation, simulated

_AFTERWARDS_S = 4.0
"""So long it is followed after the last culprit has died: a second victim would die in this time."""
_LOOK_S = 0.5
_FULFILLED_S = 120.0
"""A warning is false if nothing is decided within this time."""
_NEARLY = 0.98
_IS_LEFT = 10
"""Culprits that hold no more than a tenth of the most that they held are over."""


class Outcome(NamedTuple):
    """`innocents`: how many died of the daemon or of the kernel. `is_late`: a culprit lived, or the kernel was first.

    `scarce_s`: seconds with less than 2 % of RAM available.
    """

    number: int
    kind: str
    swap: str
    innocents: int
    is_late: bool
    is_kernel_first: bool
    scarce_s: float


class SlowOutcome(NamedTuple):
    """`warned_s`: so many seconds before the first decision memory was said to be short soon, 0 if it was not.

    `is_decided`: bustd came to a decision.
    """

    number: int
    kind: str
    swap: str
    warned_s: float
    is_decided: bool


class HealthyOutcome(NamedTuple):
    """`killed`: who died of bustd. `is_short`: the hour was not healthy, because less stayed available than planned.

    `warnings`: how often memory was said to be short soon, and nothing was decided within two minutes.
    """

    number: int
    kind: str
    swap: str
    killed: tuple[str, ...]
    kernel_kills: int
    is_short: bool
    wakeups_per_s: float
    warnings: int = 0


def healthy_under_bustd(
    hour: Hour, seconds: float = HOUR_S, settings: dict[str, object] | None = None
) -> HealthyOutcome:
    """The real loop for this part of the hour, with these settings of bustd.toml."""
    machine = hour.machine
    with simulated(machine, settings) as run:
        run.run(seconds)
    killed = tuple(death.process.plan.name for death in machine.deaths if death.cause != KERNEL)
    is_short = machine.least_available < hour.keeps * _NEARLY
    wakeups_per_s = run.sleep.count / machine.now_s
    warnings = len(_false_warnings(run))
    return HealthyOutcome(
        hour.number, hour.kind, hour.swap, killed, machine.kernel_kills, is_short, wakeups_per_s, warnings
    )


def slow_under_bustd(crisis: Crisis) -> SlowOutcome:
    """The real loop with its defaults, until it decides that a process must die."""
    machine = crisis.machine
    with simulated(machine) as run:
        while machine.now_s < crisis.lasts_s and not _times(run, Chosen) and not machine.deaths:
            run.run(_LOOK_S)
        decided, warned = _times(run, Chosen), _times(run, ShortSoon)
    warned_s = decided[0] - warned[0] if decided and warned else 0.0
    return SlowOutcome(crisis.number, crisis.kind, crisis.swap, warned_s, bool(decided))


def _false_warnings(run: Simulation) -> list[float]:
    """When they were told."""
    decided = _times(run, Chosen)
    return [at_s for at_s in _times(run, ShortSoon) if not any(0 <= then - at_s <= _FULFILLED_S for then in decided)]


def _times(run: Simulation, kind: type) -> list[float]:
    return [at_s for at_s, event in run.told if isinstance(event, kind)]


def under_bustd(crisis: Crisis) -> Outcome:
    """The real loop, with its defaults."""
    with simulated(crisis.machine) as run:
        return _followed(crisis, run.run)


def under(policy: Policy, crisis: Crisis) -> Outcome:
    """The policy of another daemon."""
    machine = crisis.machine

    def run(seconds: float) -> None:
        end_s = machine.now_s + seconds
        while machine.now_s < end_s - 1e-6:
            machine.advance(min(policy.every_s, end_s - machine.now_s))
            kill = policy.judge(machine)
            for process in kill.processes if kill is not None else ():
                machine.signal(process.pid, kill.signal if kill else 0, policy.name)

    return _followed(crisis, run)


def _followed(crisis: Crisis, run: Callable[[float], None]) -> Outcome:
    """Run it in pieces until nothing can happen any more, and judge."""
    machine = crisis.machine
    over_s, most = None, 0.0
    while machine.now_s < crisis.lasts_s and (over_s is None or machine.now_s < over_s + _AFTERWARDS_S):
        run(_LOOK_S)
        most = max(most, _held_by_culprits(machine))
        if over_s is None and crisis.kind != "none" and machine.now_s > 4.0 and not _lives(machine, most):
            over_s = machine.now_s
    innocents = sum(not death.process.plan.is_culprit for death in machine.deaths)
    is_kernel_first = any(death.cause == KERNEL for death in machine.deaths)
    is_late = crisis.kind != "none" and (is_kernel_first or _lives(machine, most))
    return Outcome(crisis.number, crisis.kind, crisis.swap, innocents, is_late, is_kernel_first, machine.scarce_s)


def _lives(machine: Machine, most: float) -> bool:
    """Whether a culprit does. What is left of a family may, as its parent does that leads a session."""
    return _held_by_culprits(machine) > most / _IS_LEFT


def _held_by_culprits(machine: Machine) -> float:
    return sum(process.held for process in machine.processes.values() if process.plan.is_culprit)
