"""Random healthy hours: machines on which nothing runs away, however close to the edge; the same for seed and number.

What all programs of an hour hold together at most is known beforehand, so at least `Hour.keeps` stays available.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, Process, ramp, saw
from .programs import reads_files
from .scenes import SESSION, any_group, any_machine, fitting, furnish, furnished

HOUR_S = 3600.0
KINDS = {"builds": 20, "start-ups": 20, "limits": 15, "backups": 10, "close": 15, "to-swap": 10, "desktop": 10}
"""What goes on, and how often.

`limits`: control groups at limits of their own; `close`: it stays at 8 to 12 % available for months; `to-swap`: a
working set moves to swap.
"""
_STEP_S, _CALM_STEP_S = 0.05, 1.0
"""Larger than usual: an hour is long."""
_FLOOR = 0.1, GIB
"""`floor` without swap: available memory is at most this share of what programs can use, and at most so much."""
_FIRST_S = 20.0
_DESKTOP = f"{SESSION}/user@1000.service/app.slice"


class Hour(NamedTuple):
    """`keeps`: so many bytes stay available. `swap`: "none", "disk" or "zram"."""

    number: int
    kind: str
    swap: str
    machine: Machine
    keeps: float


class _Scene(NamedTuple):
    """`room`: what the programs that start may hold together at most."""

    machine: Machine
    dice: random.Random
    room: float


def hour(seed: int, number: int, kind: str = "") -> Hour:
    """The same for the same seed and number, whatever judges it. `kind`: what goes on, "" for any."""
    dice = random.Random(f"healthy {seed} {number}")
    kind = kind or dice.choices(list(KINDS), list(KINDS.values()))[0]
    machine, swap = _large_swap(dice) if kind == "to-swap" else any_machine(dice)
    machine.shortest_s, machine.longest_s = _STEP_S, _CALM_STEP_S
    furnish(machine, dice, machine.ram * dice.uniform(0.2, 0.55))
    keeps = _kept(machine, _least_share(dice, kind), has_swap=swap != "none")
    room = machine.available - keeps - _to_come(machine)
    if kind == "to-swap":
        keeps, room = 0.0, room + machine.swap_total * dice.uniform(0.05, 0.4)
    _STARTS[kind](_Scene(machine, dice, max(room, 0.0)))
    return Hour(number, kind, swap, machine, keeps)


def _large_swap(dice: random.Random) -> tuple[Machine, str]:
    ram = 2 ** dice.uniform(9, 16) * MIB
    size, disk_per_s = ram * dice.uniform(1.0, 2.0), dice.uniform(40, 1500) * MIB
    return furnished(Machine(ram, swap=size, disk_per_s=disk_per_s, cpus=dice.choice((2, 4, 8, 16)))), "disk"


def _least_share(dice: random.Random, kind: str) -> float:
    if kind == "close":
        return dice.choice((0.08, 0.09, 0.11, 0.12))
    return dice.uniform(0.1, 0.13) if kind == "start-ups" else dice.uniform(0.1, 0.3)


def _kept(machine: Machine, share: float, *, has_swap: bool) -> float:
    """This share of what programs can use; without swap a little more than what `floor` calls short."""
    total = machine.available + machine.totals().private
    return max(share * total, 0.0 if has_swap else 1.03 * min(total * _FLOOR[0], _FLOOR[1]))


def _to_come(machine: Machine) -> float:
    """How much more the heaps of `furnish` hold before they drop back."""
    return sum(one.held / 9 for one in machine.processes.values() if not one.is_steady)


def _jobs(scene: _Scene, slots: int, between_s: tuple[float, float], last: float) -> Iterator[tuple[float, float]]:
    """When each job starts and how long it lasts, `last` seconds on the average; never more than `slots` at once."""
    begin_s, end_s = between_s
    for _ in range(slots):
        at_s = begin_s + scene.dice.uniform(0, last)
        while at_s < end_s:
            lasts_s = min(max(scene.dice.lognormvariate(math.log(last), 0.8), 0.3), 6 * last)
            yield at_s, lasts_s
            at_s += lasts_s + 0.2 + scene.dice.expovariate(4 / last)


def _spells(dice: random.Random, count: int, shortest_s: float, longest_s: float) -> Iterator[tuple[float, float]]:
    """Begin and end of so many spells of the hour, one after the other."""
    for number in range(count):
        begin_s = _FIRST_S + number * (HOUR_S - _FIRST_S) / count
        room_s = (HOUR_S - _FIRST_S) / count - 20.0
        yield begin_s, begin_s + min(dice.uniform(shortest_s, longest_s), room_s)


def _start(scene: _Scene, plan: Plan) -> None:
    scene.machine.start(fitting(plan, scene.machine.ram))


def _program(scene: _Scene, name: str, **more: object) -> Process:
    """A small program that was there before, for others to be its children."""
    plan = Plan(name, min(8 * MIB, scene.machine.ram / 500), **more)  # type: ignore[arg-type]
    found = scene.machine.start(fitting(plan, scene.machine.ram))
    assert found is not None, "it was there before"
    return found


def _builds(scene: _Scene) -> None:
    """Compilers, as many as there are processors or more; then a link that takes nearly everything at once."""
    dice, scene = scene.dice, scene._replace(room=0.97 * scene.room)  # the rest is what make and ninja hold
    make = _program(scene, "make", group=f"{SESSION}/session-2.scope")
    for begin_s, end_s in _spells(dice, dice.randint(2, 5), 60, 240):
        slots = math.ceil(scene.machine.cpus * dice.uniform(0.5, 1.5))
        reads = reads_files(0.3 * scene.machine.disk_per_s)
        _start(scene, Plan("ninja", MIB, starts_s=begin_s, ends_s=end_s - begin_s, does=reads, parent=make))
        for at_s, lasts_s in _jobs(scene, slots, (begin_s, end_s), dice.uniform(1.5, 12)):
            most = scene.room / slots * dice.choice((0.1, 0.5, 1.0, 1.0))
            plan = Plan("cc1plus", ramp(most / (0.4 * lasts_s), most=most), busy=0.9, touches=0.3, parent=make)
            _start(scene, plan._replace(starts_s=at_s, ends_s=min(lasts_s, end_s - at_s), group=make.group.path))
        most, lasts_s = scene.room * dice.uniform(0.7, 1.0), dice.uniform(5, 18)
        link = Plan("ld", ramp(most / (0.5 * lasts_s), most=most), busy=0.9, parent=make, group=make.group.path)
        _start(scene, link._replace(starts_s=end_s + 0.5, ends_s=lasts_s))


def _start_ups(scene: _Scene) -> None:
    """Programs that take much when they start, and level off; some of them are started again and again."""
    dice = scene.dice
    count = dice.randint(1, 5)
    for number in range(count):
        name = f"starts-up-{number}"
        group, most = any_group(dice, name), scene.room / count
        takes_s = 2 ** dice.uniform(0.5, 6)
        plan = Plan(name, ramp(most / takes_s, most=most), busy=0.5, touches=dice.choice((0.0, 0.05)), group=group)
        at_s = _FIRST_S + dice.uniform(0, 300)
        lasts_s = HOUR_S if dice.random() < 0.5 else takes_s + dice.uniform(30, 900)
        while at_s < HOUR_S:
            _start(scene, plan._replace(starts_s=at_s, ends_s=lasts_s))
            at_s += lasts_s + dice.uniform(0.5, 20)


def _limits(scene: _Scene) -> None:
    """Control groups that meet their memory.high or memory.max, by what they read or by what they take."""
    dice, machine = scene.dice, scene.machine
    count = dice.randint(1, 3)
    for number in range(count):
        group = f"/system.slice/container-{number}.service"
        limit = scene.room / count * dice.uniform(0.3, 0.9)
        does = dice.choice(("reads", "is throttled", "is killed"))
        machine.group(group, **{"max" if does == "is killed" else "high": limit})
        for begin_s, end_s in _spells(dice, dice.randint(2, 6), 30, 150):
            plan = Plan("container", 0.1 * limit, busy=1.0, group=group, starts_s=begin_s, ends_s=end_s - begin_s)
            if does == "reads":
                machine.start(plan._replace(files=1.5 * limit, touches=dice.uniform(0.5, 5)))
            else:
                _start(scene, plan._replace(private=ramp(limit / dice.uniform(2, 20), most=1.1 * limit)))
    if dice.random() < 0.5:
        machine.cold += max(machine.free - machine.high_mark * 1.2, 0.0)


def _backups(scene: _Scene) -> None:
    """They read everything once: the page cache is full, and what is read takes the place of what was."""
    dice, machine = scene.dice, scene.machine
    machine.cold += max(machine.free - machine.high_mark * 1.2, 0.0) * dice.choice((0.5, 1.0))
    _start(scene, Plan("database", scene.room * dice.uniform(0.8, 1.0), busy=0.3, touches=0.05))
    for begin_s, end_s in _spells(dice, dice.randint(1, 3), 120, 400):
        plan = Plan("backup", 2 * MIB, busy=0.7, does=reads_files(machine.disk_per_s * dice.uniform(0.3, 1.0)))
        _start(scene, plan._replace(starts_s=begin_s, ends_s=end_s - begin_s))


def _close(scene: _Scene) -> None:
    """It lives like this for months, with a heap that is collected now and then."""
    heap = scene.room * scene.dice.uniform(0.01, 0.15)
    _start(scene, Plan("cache-server", scene.room - heap, busy=0.1))
    period_s = scene.dice.uniform(2, 30)
    _start(scene, Plan("java", saw(0.7 * heap, heap, period_s), busy=0.3, touches=0.05))


def _to_swap(scene: _Scene) -> None:
    """More than RAM is wanted once; what is idle goes to swap and stays there."""
    takes_s = 2 ** scene.dice.uniform(3, 7)
    rate = min(scene.room / takes_s, scene.machine.disk_per_s * scene.dice.uniform(0.3, 2.0))
    _start(scene, Plan("second", ramp(rate, most=scene.room), busy=0.3, touches=0.01, starts_s=_FIRST_S))


def _desktop(scene: _Scene) -> None:
    """A browser that forks a process for each tab, beside a compositor and an editor; tabs come and go."""
    dice, share = scene.dice, scene.room / 10
    group = f"{_DESKTOP}/app-browser.scope"
    _start(scene, Plan("gnome-shell", share, busy=0.2, touches=0.2, group=f"{SESSION}/user@1000.service/session.slice"))
    _start(scene, Plan("editor", share, busy=0.2, touches=0.1, group=f"{_DESKTOP}/app-editor.scope"))
    browser = _program(scene, "browser", busy=0.3, touches=0.2, group=group)
    slots = dice.randint(5, 30)
    for at_s, lasts_s in _jobs(scene, slots, (_FIRST_S, HOUR_S), dice.uniform(20, 300)):
        most = 8 * share / slots * dice.choice((0.1, 0.5, 1.0, 1.0))
        tab = Plan("tab", ramp(most / dice.uniform(0.5, 20), most=most), busy=0.1, touches=0.1, parent=browser)
        _start(scene, tab._replace(starts_s=at_s, ends_s=lasts_s, adj=dice.choice((200, 300)), group=group))


_STARTS: dict[str, Callable[[_Scene], None]] = {
    "builds": _builds,
    "start-ups": _start_ups,
    "limits": _limits,
    "backups": _backups,
    "close": _close,
    "to-swap": _to_swap,
    "desktop": _desktop,
}


def describe(one: Hour) -> str:
    """For a reader who looks for what went wrong."""
    machine = one.machine
    return (
        f"hour {one.number}: {one.kind}, {machine.ram / GIB:.2f} GiB, swap {one.swap} "
        f"{machine.swap_total / GIB:.2f} GiB, {one.keeps / MIB:.0f} MiB stay available"
    )
