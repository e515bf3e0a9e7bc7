"""The table of reports: each is a scene on machines of several sizes, with what must die and what must live.

They come from public reports about daemons of this kind (who holds the memory). Whatever dies must die before the
kernel kills. Amounts are shares of the machine's RAM.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from .machine import Machine
from .memory import GIB, MIB, TIB
from .processes import Plan, amount_at, ramp
from .programs import forks, swaps_off
from .scenes import fitting, furnished

SIZES = {"128 MiB": 128 * MIB, "1 GiB": 1 * GIB, "16 GiB": 16 * GIB, "256 GiB": 256 * GIB, "4 TiB": 4 * TIB}
SESSION = "/user.slice/user-1000.slice/user@1000.service/app.slice"


class Case(NamedTuple):
    """`dies`: one of these must die, and nothing else. `spares`: these must live, whatever else dies.

    `most`: how many may die. `says`: words that the log must have. `fails`: why it comes out otherwise today, by size.
    """

    name: str
    build: Callable[[float], Machine]
    dies: tuple[str, ...] = ()
    spares: tuple[str, ...] = ()
    most: int = 1
    says: tuple[str, ...] = ()
    sizes: tuple[str, ...] = tuple(SIZES)
    fails: dict[str, str] = {}  # noqa: RUF012  # a NamedTuple's default, which nothing changes


def pace(ram: float) -> float:
    """How much a leak takes in a second: RAM in forty seconds, and no more than 3 GiB."""
    return min(ram / 40, 3 * GIB)


def long_enough(ram: float) -> float:
    """Seconds until such a leak has taken all of RAM, and some more."""
    return ram / pace(ram) + 30


def beside(ram: float, *plans: Plan, **more: float) -> Machine:
    machine = furnished(Machine(ram, cache=0.05 * ram, disk_per_s=pace(ram), **more))
    for plan in plans:
        machine.start(fitting(plan, ram))
    return machine


def nearly_short(machine: Machine) -> bool:
    """A moment before the default floor is reached by a leak."""
    floor = min(0.1 * (machine.available + machine.totals().private), GIB)
    return machine.available < floor + 0.3 * pace(machine.ram)


def private_leak(ram: float) -> Machine:
    leak = Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=2.0)
    return beside(ram, Plan("database", 0.3 * ram), Plan("code", 0.1 * ram), leak)


def leak_at_the_edge(ram: float) -> Machine:
    """A machine that has lived at 11 % available for long: when memory is short, the leak has taken a hundredth."""
    machine = beside(ram, Plan("database", 0.3 * ram))
    total = machine.available + machine.totals().private
    machine.start(Plan("browser", machine.available - 0.11 * total, files=0.0))
    machine.start(fitting(Plan("leak", ramp(pace(ram) / 8), busy=0.5, starts_s=20.0), ram))
    return machine


def leak_beside_a_larger(ram: float) -> Machine:
    """The older program holds more than the leak: growth tells them apart."""
    leak = Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=2.0)
    return beside(ram, Plan("database", 0.5 * ram), leak)


def shared_leak(ram: float) -> Machine:
    """ZGC, guests with memfd, dynamic shared memory: the heap is RssShmem."""
    java = Plan("java", 0.02 * ram, shared=ramp(pace(ram)), busy=0.5, starts_s=2.0)
    return beside(ram, Plan("postgres", 0.15 * ram), Plan("firefox", 0.1 * ram), Plan("code", 0.05 * ram), java)


def shared_leak_from_before(ram: float) -> Machine:
    """The same, of a program that was there before, and holds a quarter already."""
    java = Plan("java", 0.02 * ram, shared=ramp(pace(ram), start=0.25 * ram, after_s=5.0), busy=0.5)
    return beside(ram, Plan("postgres", 0.3 * ram), Plan("code", 0.05 * ram), java)


def page_tables(ram: float) -> Machine:
    holder = Plan("page-tables", 0.005 * ram, tables=ramp(pace(ram)), busy=0.5, starts_s=2.0)
    return beside(ram, Plan("innocent", 0.2 * ram), holder)


def forked_copy(ram: float) -> Machine:
    """BGSAVE: a child that maps all of its parent's memory and writes none, while something else leaks."""
    copy = Plan("cache-child", busy=0.3, copies=True)
    server = Plan("cache-server", 0.35 * ram, busy=0.1, does=forks(copy, 1, when=nearly_short))
    return beside(ram, server, Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=2.0))


def two_of_one_memory(ram: float) -> Machine:
    """vfork in flight, Wine and JVM helpers: CLONE_VM without CLONE_THREAD. The death of one gives nothing back."""
    helper = Plan("vm-child", shares=True, leaves_s=0.01)
    parent = Plan("vm-parent", ramp(pace(ram)), busy=0.5, starts_s=2.0, does=forks(helper, 1, when=nearly_short))
    return beside(ram, Plan("innocent", 0.3 * ram), parent)


def herd(ram: float) -> Machine:
    """Sixty children that hold a little each."""
    child = Plan("herd", ramp(pace(ram) / 60, start=0.002 * ram), busy=0.1)
    return beside(
        ram,
        Plan("innocent", 0.2 * ram, group=f"{SESSION}/innocent.scope"),
        Plan("herd", 0.002 * ram, group=f"{SESSION}/herd.scope", starts_s=2.0, busy=0.1, does=forks(child, 60)),
    )


def forty_children(ram: float) -> Machine:
    """40 children of 12 MiB, at 30 MiB a second, beside an older program of 250 MiB on 1 GiB."""
    child = Plan("worker", ramp(120 * MIB, most=12 * MIB), busy=0.2)
    manager = Plan("manager", 6 * MIB, busy=0.1, starts_s=2.0, does=forks(child, 80, every_s=0.4))
    return beside(ram, Plan("older", 250 * MIB), manager)


def swapoff(ram: float) -> Machine:
    """What was swapped out comes back, and there is no room for it."""
    machine = beside(ram, Plan("postgres", 0.5 * ram), Plan("java", 0.35 * ram), Plan("firefox", 0.1 * ram), swap=ram)
    for process in machine.living():
        block = process.space.private
        block.swapped, block.resident = block.resident * 0.4, block.resident * 0.6
    machine.start(
        Plan("swapoff", 8192, group="/system.slice/dev-vdb.swap", uid=0, busy=0.5, is_origin=True, does=swaps_off(5.0))
    )
    machine.start(Plan("other", 0.2 * ram, starts_s=0.5, busy=0.1))
    return machine


def tmpfs_on_a_desktop(ram: float) -> Machine:
    """Something writes to /dev/shm until hardly any memory is left. What it wrote stays when it dies."""
    machine = beside(ram, *(Plan(f"prog-{number}", 0.012 * ram) for number in range(33)))
    most = machine.available - 0.3 * min(0.06 * ram, GIB)
    machine.start(Plan("copies", MIB, tmpfs=ramp(pace(ram), most=most), busy=0.3, starts_s=2.0))
    return machine


def tmpfs_that_ends(ram: float) -> Machine:
    """A tmpfs that fills and stops with an eighth of RAM left: nothing grows any more."""
    machine = beside(ram, Plan("postgres", 0.25 * ram), Plan("java", 0.1 * ram))
    most = machine.available - 0.125 * ram
    machine.start(Plan("copies", MIB, tmpfs=ramp(pace(ram), most=most), busy=0.3, starts_s=2.0))
    return machine


def balloon(ram: float) -> Machine:
    """The host takes memory away, and stops with an eighth left."""
    machine = beside(ram, Plan("postgres", 0.25 * ram), Plan("java", 0.1 * ram))
    least = amount_at(machine.kernel, 0.0)
    machine.kernel = ramp(pace(ram), start=least, most=least + machine.available - 0.125 * ram)
    return machine


def browser(ram: float) -> Machine:
    """Tabs that leave a moment after their browser."""
    tab = Plan("tab", 0.1 * ram, leaves_s=0.3)
    older = Plan("browser", ramp(pace(ram) * 2), busy=0.3, starts_s=2.0, does=forks(tab, 4))
    return beside(ram, Plan("innocent", 0.12 * ram), older)


def late_memory(ram: float) -> Machine:
    """Its PID is gone half a second before its memory is back."""
    leak = Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=2.0, late_s=0.5)
    return beside(ram, Plan("database", 0.3 * ram), leak)


def two_leaks(ram: float) -> Machine:
    """Two equal leaks in two units beside a larger, idle program."""
    leaks = [Plan(f"leak-{number}", ramp(pace(ram) / 2), busy=0.5, starts_s=2.0) for number in range(2)]
    return beside(ram, Plan("database", 0.45 * ram), *leaks)


def three_leaks(ram: float) -> Machine:
    """No two of three equal leaks are told from the third."""
    leaks = [Plan(f"leak-{number}", ramp(pace(ram) / 3), busy=0.5, starts_s=2.0) for number in range(3)]
    return beside(ram, Plan("database", 0.45 * ram), *leaks)


def server_of_copies(ram: float) -> Machine:
    """A server whose workers map its memory, as forking servers do, beside a leak."""
    worker = Plan("worker", 0.004 * ram, busy=0.1, copies=True)
    server = Plan("server", 0.3 * ram, busy=0.1, does=forks(worker, 8))
    return beside(ram, server, Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=4.0))


LARGE = ("1 GiB", "16 GiB", "256 GiB", "4 TiB")

CASES = (
    Case("a leak in private memory", private_leak, ("leak",)),
    Case("a leak beside a larger program", leak_beside_a_larger, ("leak",), sizes=LARGE[:3]),
    Case("a leak in shared memory", shared_leak, ("java",)),
    Case("an old program leaks shared memory", shared_leak_from_before, ("java",)),
    Case("page tables", page_tables, ("page-tables",)),
    Case("a forked copy beside a leak", forked_copy, ("leak",)),
    Case("a leak where memory was nearly short before", leak_at_the_edge, ("leak",), sizes=LARGE),
    Case("two processes of one memory", two_of_one_memory, ("vm-parent", "vm-child"), most=2),
    Case("a herd", herd, spares=("innocent",), most=61, sizes=tuple(SIZES)[:-1]),
    Case("forty children", forty_children, spares=("older",), most=80, sizes=("1 GiB",)),
    Case("swapoff", swapoff, ("swapoff",), ("postgres", "java", "firefox", "other"), says=("swap",), sizes=LARGE),
    Case("a tmpfs on a desktop", tmpfs_on_a_desktop, says=("tmpfs",), sizes=LARGE[:3]),
    Case("a tmpfs that ends", tmpfs_that_ends, spares=("postgres", "java"), sizes=LARGE),
    Case("a balloon", balloon, spares=("postgres", "java"), most=0, sizes=LARGE),
    Case("a browser whose tabs leave after it", browser, spares=("innocent",), most=5, sizes=LARGE),
    Case("memory that comes back late", late_memory, ("leak",)),
    Case("two equal leaks", two_leaks, ("leak-0", "leak-1"), spares=("database",), most=2),
    Case("three equal leaks", three_leaks, ("leak-0", "leak-1", "leak-2"), spares=("database",), most=3),
    Case("a server of forked copies beside a leak", server_of_copies, ("leak",)),
)
