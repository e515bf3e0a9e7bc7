"""The files of one control group (Documentation/admin-guide/cgroup-v2.rst), and of /sys/block and the nodes."""

from __future__ import annotations

from collections.abc import Callable

from . import limits
from .groups import UNLIMITED, Group
from .machine import Machine
from .memory import SHMEM, Kind
from .proc_files import PAGE


def _amount(amount: float) -> bytes:
    return b"max\n" if amount == UNLIMITED else b"%d\n" % (int(amount) // PAGE * PAGE)


def _events(counts: dict[str, int]) -> bytes:
    return "".join([f"{name} {count}\n" for name, count in counts.items()]).encode()


def current(machine: Machine, group: Group) -> bytes:
    limits.measure(machine, group)
    return _amount(group.usage)


def swap_current(machine: Machine, group: Group) -> bytes:
    limits.measure(machine, group)
    return _amount(group.swapped)


def stat(machine: Machine, group: Group) -> bytes:
    blocks = limits.charged(machine, group)

    def total(*kinds: Kind) -> int:
        return int(sum(block.resident for block in blocks if block.kind in kinds))

    anonymous, shmem, files, tables = total(Kind.PRIVATE), total(*SHMEM), total(Kind.FILE), total(Kind.TABLES)
    groups = list(group.subtree())
    lines = {
        "anon": anonymous,
        "file": files + shmem,
        "kernel": tables,
        "kernel_stack": 0,
        "pagetables": tables,
        "sock": 0,
        "shmem": shmem,
        "file_mapped": files,
        "swapcached": 0,
        "inactive_anon": (anonymous + shmem) // 2,
        "active_anon": (anonymous + shmem) // 2,
        "inactive_file": files // 2,
        "active_file": files // 2,
        "unevictable": 0,
        "slab_reclaimable": 0,
        "slab_unreclaimable": 0,
        "slab": 0,
        "workingset_refault_anon": int(sum(one.refaulted_anonymous for one in groups)) // PAGE,
        "workingset_refault_file": int(sum(one.refaulted_files for one in groups)) // PAGE,
        "pgscan": int(sum(one.reclaimed for one in groups)) // PAGE * 2,
        "pgsteal": int(sum(one.reclaimed for one in groups)) // PAGE,
        "pgsteal_direct": int(sum(one.reclaimed for one in groups)) // PAGE,
        "pgmajfault": int(sum(one.refaulted_anonymous + one.refaulted_files for one in groups)) // PAGE,
    }
    return _events(lines)


def procs(machine: Machine, group: Group) -> bytes:
    return "".join([f"{one.pid}\n" for one in machine.processes.values() if one.group is group]).encode()


def pressure(machine: Machine, group: Group) -> bytes:
    stalls = group.stalls if group.parent is not None else machine.stalls
    stalls.average(machine.now_s)
    return stalls.text()


def populated(_machine: Machine, group: Group) -> bytes:
    return b"populated 1\nfrozen 0\n"


_EVERYWHERE: dict[str, Callable[[Machine, Group], bytes]] = {
    "cgroup.controllers": lambda _machine, _group: b"cpuset cpu io memory pids\n",
    "cgroup.subtree_control": lambda _machine, _group: b"memory pids\n",
    "cgroup.procs": procs,
    "memory.stat": stat,
    "memory.pressure": pressure,
}
_BELOW_THE_ROOT: dict[str, Callable[[Machine, Group], bytes]] = {
    "cgroup.events": populated,
    "memory.current": current,
    "memory.swap.current": swap_current,
    "memory.max": lambda _machine, group: _amount(group.max),
    "memory.high": lambda _machine, group: _amount(group.high),
    "memory.low": lambda _machine, group: _amount(group.low),
    "memory.min": lambda _machine, group: _amount(group.min),
    "memory.swap.max": lambda _machine, group: _amount(group.swap_max),
    "memory.swap.high": lambda _machine, _group: b"max\n",
    "memory.oom.group": lambda _machine, group: b"1\n" if group.is_indivisible else b"0\n",
    "memory.events": lambda _machine, group: _events(group.met_hierarchically()),
    "memory.events.local": lambda _machine, group: _events(group.met),
}


def files_of(group: Group) -> dict[str, Callable[[Machine, Group], bytes]]:
    """The files of the group; the root has neither limits nor a memory.current."""
    return _EVERYWHERE if group.parent is None else _EVERYWHERE | _BELOW_THE_ROOT


def mm_stat(machine: Machine) -> bytes:
    """/sys/block/zram0/mm_stat (Documentation/admin-guide/blockdev/zram.rst)."""
    stored = int(machine.swap_used)
    pool = int(machine.zram_pool(stored))
    return f"{stored:8d} {pool:8d} {pool:8d} {0:8d} {pool:8d} {0:8d} {0:8d} {0:8d} {0:8d}\n".encode()


def node_meminfo(machine: Machine) -> bytes:
    """/sys/devices/system/node/node0/meminfo: all memory is on one node."""
    totals = machine.totals()
    amounts = {
        "MemTotal": machine.ram,
        "MemFree": max(machine.free, 0.0),
        "FilePages": machine.cold + totals.files + totals.shmem,
        "Active(file)": totals.files,
        "Inactive(file)": machine.cold,
        "AnonPages": totals.private,
        "Shmem": totals.shmem,
    }
    return "".join([f"Node 0 {name}: {int(size) >> 10:>14} kB\n" for name, size in amounts.items()]).encode()


SYSTEM_FILES: dict[str, Callable[[Machine], bytes]] = {
    "block/zram0/mm_stat": mm_stat,
    "devices/system/node/online": lambda _machine: b"0\n",
    "devices/system/node/has_memory": lambda _machine: b"0\n",
    "devices/system/node/node0/meminfo": node_meminfo,
}
