"""More of the table: whose shortage it is, and when to act (see table.py)."""

from __future__ import annotations

from .machine import Machine
from .memory import GIB, MIB
from .processes import Plan, Process, ramp, saw
from .table import LARGE, Case, beside, pace

SIZES = LARGE[:3]

_CONTAINER = "/system.slice/container.service"


def _reader(ram: float) -> Plan:
    """It reads a file of twice its limit over and over, on a disk that takes seconds for it."""
    return Plan("container", 0.01 * ram, files=0.12 * ram, busy=1.0, touches=5.0, starts_s=2.0)


def own_limit(ram: float) -> Machine:
    """A container at its own MemoryHigh, beside an idle database and a page cache that takes what is left."""
    machine = beside(ram, Plan("database", 0.6 * ram))
    machine.start(_reader(ram))
    machine.cold += machine.free - machine.high_mark * 1.2
    machine.disk_per_s = 0.02 * ram
    machine.group(_CONTAINER, high=0.06 * ram)
    return machine


def own_limit_beside_a_leak(ram: float) -> Machine:
    """The same, on a machine that is really short: nobody can blind the monitor with a unit of its own."""
    machine = own_limit(ram)
    machine.start(Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=10.0))
    return machine


def own_hard_limit(ram: float) -> Machine:
    """A container that leaks up to its MemoryMax, again and again: the kernel kills there, and only there."""
    machine = beside(ram, Plan("database", 0.6 * ram))
    machine.group(_CONTAINER, max=0.1 * ram)
    for number in range(4):
        machine.start(Plan("container", ramp(0.05 * ram), busy=0.5, starts_s=2.0 + 8 * number, group=_CONTAINER))
    return machine


def limit_of_a_slice_above(ram: float) -> Machine:
    """A pod without a limit in a slice that meets its own: the pod stalls, and its own group meets nothing."""
    machine = beside(ram, Plan("database", 0.6 * ram))
    machine.start(_reader(ram)._replace(group="/kubepods.slice/pod.slice/container.scope"))
    machine.cold += machine.free - machine.high_mark * 1.2
    machine.disk_per_s = 0.02 * ram
    machine.group("/kubepods.slice", high=0.06 * ram)
    return machine


def hard_limit_with_swap(ram: float) -> Machine:
    """A container that wants twice its MemoryMax: it swaps itself out and in all the time, beside a full page cache."""
    machine = beside(ram, Plan("database", 0.5 * ram), swap=ram)
    machine.disk_per_s = machine.swap_per_s = 0.03 * ram
    thrashes = Plan("container", ramp(pace(ram), most=0.16 * ram), busy=1.0, touches=0.5, starts_s=2.0)
    machine.start(thrashes._replace(group=_CONTAINER))
    machine.group(_CONTAINER, max=0.08 * ram)
    machine.cold += machine.free - machine.high_mark * 1.2
    return machine


def own_limit_beside_a_thrash(ram: float) -> Machine:
    """A container at its own MemoryHigh, on a machine that thrashes with swap left."""
    machine = thrash(ram)
    machine.start(_reader(ram))
    machine.group(_CONTAINER, high=0.06 * ram)
    return machine


def _set_aside(ram: float, left: float) -> Machine:
    """Somebody reserves huge pages (vm.nr_hugepages) at once, so that so much is left."""
    machine = beside(ram, Plan("postgres", 0.25 * ram), Plan("java", 0.1 * ram))

    def reserve(machine: Machine, process: Process) -> None:
        if process.ran_s > 20.0 and not machine.hugetlb:
            machine.hugetlb = machine.available - left

    machine.start(Plan("sysctl", MIB, busy=0.1, does=reserve))
    return machine


def huge_pages(ram: float) -> Machine:
    """An eighth is left."""
    return _set_aside(ram, 0.125 * ram)


def too_many_huge_pages(ram: float) -> Machine:
    """Hardly anything is left, and nothing grows."""
    return _set_aside(ram, 0.3 * min(0.06 * ram, GIB))


def memory_goes_offline(ram: float) -> Machine:
    """Memory is unplugged in eight steps, and an eighth of it is left."""
    machine = beside(ram, Plan("postgres", 0.25 * ram), Plan("java", 0.1 * ram))
    goes = machine.available - 0.125 * ram

    def unplug(machine: Machine, process: Process) -> None:
        steps = min(max(int((process.ran_s - 3.0) / 0.5) + 1, 0), 8)
        machine.ram = ram - goes * steps / 8

    machine.start(Plan("hotplug", MIB, busy=0.1, does=unplug))
    return machine


def protected_cache(ram: float) -> Machine:
    """memory.min holds page cache back that MemAvailable counts: the kernel would kill at a quarter available."""
    machine = beside(ram, Plan("database", 0.1 * ram))
    # A group has no more protection than those above it.
    for group in ("/cache.slice", "/cache.slice/cache.service"):
        machine.group(group, min=0.5 * ram)
    machine.start(Plan("cache", 0.01 * ram, files=0.45 * ram, group="/cache.slice/cache.service"))
    machine.start(Plan("leak", ramp(pace(ram)), busy=0.5, starts_s=2.0))
    return machine


def levels_off(ram: float) -> Machine:
    """A program takes much at its start, and stops with a little more than the floor left."""
    machine = beside(ram, Plan("database", 0.3 * ram))
    most = machine.available - 0.11 * ram
    machine.start(Plan("starts-up", ramp(2 * pace(ram), most=most), busy=0.3, starts_s=2.0))
    return machine


def lives_close_to_the_floor(ram: float) -> Machine:
    """For months at an eighth available, with a heap that is collected now and then."""
    machine = beside(ram, Plan("database", 0.4 * ram), Plan("java", saw(0.10 * ram, 0.11 * ram, 3.0), busy=0.3))
    machine.start(Plan("cache-server", machine.available - 0.125 * ram))
    return machine


def moves_to_swap(ram: float) -> Machine:
    """Half of an idle program goes to a large swap for one that takes its memory once."""
    machine = beside(ram, Plan("first", 0.55 * ram), swap=2 * ram)
    machine.start(Plan("second", ramp(2 * pace(ram), most=0.55 * ram), busy=0.3, starts_s=2.0))
    return machine


def cache_of_zfs(ram: float) -> Machine:
    """Half of RAM is a cache that ZFS says it would free, and does not."""
    machine = beside(ram, Plan("database", 0.15 * ram))
    machine.arc = 0.45 * ram
    machine.start(Plan("leak", ramp(pace(ram) / 2), busy=0.5, starts_s=2.0))
    return machine


def thrash(ram: float) -> Machine:
    """Swap is half free and nothing is done any more: what programs touch is always somewhere else."""
    machine = beside(ram, Plan("database", 0.2 * ram), swap=1.5 * ram)
    machine.disk_per_s = machine.swap_per_s = 0.03 * ram
    grows = ramp(2 * pace(ram), most=1.2 * ram)
    machine.start(Plan("toucher", grows, busy=1.0, touches=0.5, starts_s=2.0))
    return machine


_ARC = {"1 GiB": "the watermarks of a small machine are larger than what ZFS keeps free: only stalls show it"}

CASES = (
    Case("a container at its own limit", own_limit, spares=("database", "container"), most=0, sizes=SIZES),
    Case("a container at its limit beside a leak", own_limit_beside_a_leak, ("leak",), sizes=SIZES),
    Case("a container at its hard limit", own_hard_limit, spares=("database",), most=4, sizes=SIZES),
    Case("a limit of the slice above", limit_of_a_slice_above, spares=("database", "container"), most=0, sizes=SIZES),
    Case("a hard limit with swap", hard_limit_with_swap, spares=("database",), most=0, sizes=SIZES),
    Case("a container at its limit beside a thrash", own_limit_beside_a_thrash, ("toucher",), sizes=SIZES),
    Case("huge pages", huge_pages, most=0, sizes=SIZES),
    Case("too many huge pages", too_many_huge_pages, most=1, says=("no process grows: ", "huge pages"), sizes=SIZES),
    Case("memory that goes offline", memory_goes_offline, most=0, sizes=SIZES),
    Case("page cache that memory.min holds back", protected_cache, ("leak",), sizes=SIZES),
    Case("a start-up that levels off", levels_off, most=0, sizes=SIZES),
    Case("a machine that lives close to the floor", lives_close_to_the_floor, most=0, sizes=SIZES),
    Case("a working set that moves to swap", moves_to_swap, most=0, sizes=SIZES),
    Case("a cache of ZFS that does not shrink", cache_of_zfs, ("leak",), sizes=SIZES, fails=_ARC),
    Case("a thrash with swap left", thrash, ("toucher",), sizes=SIZES),
)
