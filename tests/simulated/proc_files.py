"""The files of /proc, as this machine's kernel would show them: the one place where values become texts."""

from __future__ import annotations

import os
from collections.abc import Callable

from .lives import BOOT_S
from .machine import Machine
from .memory import MIB, SHMEM, Kind
from .oom import points
from .processes import Process

PAGE = os.sysconf("SC_PAGE_SIZE")


def meminfo(machine: Machine) -> bytes:
    totals, free = machine.totals(), max(machine.free, 0.0)
    evictable = totals.private + totals.shmem - totals.locked
    lines = (
        ("MemTotal:", machine.ram),
        ("MemFree:", free),
        ("MemAvailable:", machine.available_of(free, totals.files)),
        ("Buffers:", 0),
        ("Cached:", machine.cold + totals.files + totals.shmem),
        ("SwapCached:", 0),
        ("Active:", evictable / 2 + totals.files),
        ("Inactive:", evictable / 2 + machine.cold),
        ("Active(anon):", evictable / 2),
        ("Inactive(anon):", evictable / 2),
        ("Active(file):", totals.files),
        ("Inactive(file):", machine.cold),
        ("Unevictable:", totals.locked),
        ("Mlocked:", totals.locked),
        ("SwapTotal:", machine.swap_total),
        ("SwapFree:", max(machine.swap_total - totals.swapped, 0.0)),
        ("AnonPages:", totals.private),
        ("Mapped:", totals.files),
        ("Shmem:", totals.shmem),
        ("KReclaimable:", 0),
        ("Slab:", 20 * MIB),
        ("SReclaimable:", 0),
        ("SUnreclaim:", 20 * MIB),
        ("PageTables:", totals.tables),
        ("Hugetlb:", machine.hugetlb),
    )
    return b"".join([b"%-16s %9d kB\n" % (name.encode(), int(size) >> 10) for name, size in lines])


def vmstat(machine: Machine) -> bytes:
    bounded = sum(group.reclaimed for group in machine.bounded)
    lines = {
        "nr_free_pages": machine.free / PAGE,
        "nr_shmem": machine.totals().shmem / PAGE,
        "workingset_refault_anon": machine.refaulted_anonymous / PAGE,
        "workingset_refault_file": machine.refaulted_files / PAGE,
        "pgpgin": (machine.refaulted_files + machine.swapped_in) / 1024,
        "pgpgout": machine.swapped_out / 1024,
        "pswpin": machine.swapped_in / PAGE,
        "pswpout": machine.swapped_out / PAGE,
        "allocstall_dma32": 0,
        "allocstall_normal": machine.direct_stalls,
        "allocstall_movable": 0,
        "pgmajfault": (machine.refaulted_files + machine.swapped_in) / PAGE,
        "pgsteal_kswapd": machine.by_kswapd / PAGE,
        "pgsteal_direct": machine.by_direct / PAGE,
        "pgscan_kswapd": machine.by_kswapd / PAGE * 2,
        "pgscan_direct": machine.by_direct / PAGE * 2,
        "pgscan_anon": (machine.swapped_out + bounded) / PAGE * 2,
        "pgscan_file": (machine.by_kswapd + machine.by_direct) / PAGE,
        "pgsteal_anon": (machine.swapped_out + bounded) / PAGE,
        "pgsteal_file": (machine.by_kswapd + machine.by_direct) / PAGE,
        "pageoutrun": machine.by_kswapd / (4 * MIB),
        "oom_kill": machine.kernel_kills + sum(group.met["oom_kill"] for group in machine.bounded),
    }
    return "".join([f"{name} {max(int(count), 0)}\n" for name, count in lines.items()]).encode()


def zoneinfo(machine: Machine) -> bytes:
    """One zone, whose high watermark is the machine's."""
    marks = [int(mark / PAGE) for mark in (machine.min_mark, machine.low_mark, machine.reserve)]
    return (
        f"Node 0, zone   Normal\n  pages free     {int(max(machine.free, 0) / PAGE)}\n        boost    0\n"
        f"        min      {marks[0]}\n        low      {marks[1]}\n        high     {marks[2]}\n"
        f"        spanned  {int(machine.ram / PAGE)}\n        present  {int(machine.ram / PAGE)}\n"
        f"        managed  {int(machine.ram / PAGE)}\n        protection: (0, 0, 0, 0, 0)\n"
    ).encode()


def pressure(machine: Machine) -> bytes:
    machine.stalls.average(machine.now_s)
    return machine.stalls.text()


def swaps(machine: Machine) -> bytes:
    text = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
    if machine.swap_total:
        path, priority = ("/dev/zram0", 100) if machine.zram_ratio else ("/dev/vdb", -2)
        text += f"{path}\tpartition\t{int(machine.swap_total) >> 10}\t{int(machine.swap_used) >> 10}\t{priority}\n"
    return text.encode()


def loadavg(machine: Machine) -> bytes:
    return f"0.00 0.00 0.00 1/{len(machine.processes)} {machine.last_pid}\n".encode()


def uptime(machine: Machine) -> bytes:
    return f"{BOOT_S + machine.now_s:.2f} 0.00\n".encode()


def sysvipc_shm(machine: Machine) -> bytes:
    """System V segments: rss and swap are the last two columns (proc_sysvipc(5))."""
    names = "key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime rss swap"
    text = " ".join(f"{name:>10}" for name in names.split()) + "\n"
    for number, block in enumerate(one for one in machine.blocks if one.kind is Kind.SEGMENT):
        size, rss, swap = (int(part) for part in (block.total, block.resident, block.swapped))
        columns = (0, number, 600, size, 1, 1, block.users, 0, 0, 0, 0, 0, 0, 0, rss, swap)
        text += " ".join(map(str, columns)) + "\n"
    return text.encode()


def arcstats(machine: Machine) -> bytes:
    """The cache of ZFS: all but a 16th of it is above its minimum, and so could be freed."""
    return b"13 1 0x01 1 1 1 1\nname type data\nsize 4 %d\nc_min 4 %d\n" % (int(machine.arc), int(machine.arc / 16))


def mountinfo(_machine: Machine) -> bytes:
    return (
        b"22 1 0:21 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n"
        b"23 22 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:5 - proc proc rw\n"
        b"24 22 0:23 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw\n"
        b"25 22 0:24 / /dev/shm rw,nosuid,nodev shared:3 - tmpfs tmpfs rw,inode64\n"
    )


def mounts(_machine: Machine) -> bytes:
    return (
        b"/dev/vda1 / ext4 rw,relatime 0 0\nproc /proc proc rw,nosuid,nodev,noexec,relatime 0 0\n"
        b"cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"
        b"tmpfs /dev/shm tmpfs rw,nosuid,nodev,inode64 0 0\n"
    )


ARCSTATS = "spl/kstat/zfs/arcstats"
MACHINE_FILES: dict[str, Callable[[Machine], bytes]] = {
    "meminfo": meminfo,
    "vmstat": vmstat,
    "zoneinfo": zoneinfo,
    "pressure/memory": pressure,
    "swaps": swaps,
    "loadavg": loadavg,
    "uptime": uptime,
    "sysvipc/shm": sysvipc_shm,
    ARCSTATS: arcstats,
    "self/mountinfo": mountinfo,
    "self/mounts": mounts,
    "mounts": mounts,
}


# --- one process


def stat(_machine: Machine, process: Process) -> bytes:
    plan = process.plan
    state = "T" if process.is_stopped else "D" if process.stalled > 0.5 else "R" if plan.busy else "S"
    head = b"%d (%s) " % (process.pid, process.comm)
    ids = f"{process.parent_pid} {process.process_group} {process.session}"
    numbers = f"{ids} 0 -1 {0x400000} 0 0 0 0 0 0 0 0 20 0 1 0 {process.start_ticks}"
    rss = int(_rss(process) / PAGE)
    return (
        head
        + f"{state} {numbers} {rss * PAGE} {rss} 0 0 0 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n".encode()
    )


def status(_machine: Machine, process: Process) -> bytes:
    plan, space = process.plan, process.space
    ids = "\t".join([str(plan.uid)] * 4)
    text = (
        f"Name:\t{process.comm.decode('latin-1')}\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t{process.pid}\nNgid:\t0\n"
        f"Pid:\t{process.pid}\nPPid:\t{process.parent_pid}\nTracerPid:\t0\nUid:\t{ids}\nGid:\t{ids}\nGroups:\t \n"
    )
    if not process.is_exiting:
        anonymous, shmem = space.resident(Kind.PRIVATE), space.resident(*SHMEM)
        files = space.mapped_files
        amounts = {
            "VmPeak": anonymous + shmem + files + space.swapped_private,
            "VmSize": anonymous + shmem + files + space.swapped_private,
            "VmLck": space.private.resident if plan.is_locked else 0,
            "VmHWM": anonymous + shmem + files,
            "VmRSS": anonymous + shmem + files,
            "RssAnon": anonymous,
            "RssFile": files,
            "RssShmem": shmem,
            "VmPTE": space.tables.resident + 64 * 1024 + (anonymous + shmem) / 512,
            "VmSwap": space.swapped_private,
        }
        text += "".join([f"{name}:\t{int(amount) >> 10:>8} kB\n" for name, amount in amounts.items()])
    return f"{text}Threads:\t1\n{_signals(process)}".encode("latin-1")


def _signals(process: Process) -> str:
    """SIGTERM is bit 14 of the masks."""
    ignored = 1 << 14 if process.plan.term_s is None else 0
    masks = {"SigPnd": 0, "ShdPnd": 0, "SigBlk": 0, "SigIgn": ignored, "SigCgt": 0}
    return "".join([f"{name}:\t{mask:016x}\n" for name, mask in masks.items()])


def statm(_machine: Machine, process: Process) -> bytes:
    if process.is_exiting:
        return b"0 0 0 0 0 0 0\n"
    shared = (process.space.resident(*SHMEM) + process.space.mapped_files) / PAGE
    rss = int(_rss(process) / PAGE)
    return f"{rss + 1000} {rss} {int(shared)} 1 0 {rss} 0\n".encode()


def _rss(process: Process) -> float:
    if process.is_exiting:
        return 0.0
    space = process.space
    return space.resident(Kind.PRIVATE, *SHMEM) + space.mapped_files


def cgroup(_machine: Machine, process: Process) -> bytes:
    return f"0::{process.group.path or '/'}\n".encode()


def oom_score(machine: Machine, process: Process) -> bytes:
    """proc_oom_score() of Linux 5.9 and later."""
    badness = points(machine, process)
    if badness is None:
        return b"0\n"
    total = machine.ram + machine.swap_total
    return b"%d\n" % max(int((1000 + badness * 1000 / total) * 2 / 3), 0)


def oom_score_adj(_machine: Machine, process: Process) -> bytes:
    return b"%d\n" % process.plan.adj


def cmdline(_machine: Machine, process: Process) -> bytes:
    return (process.plan.command or process.plan.name).replace(" ", "\0").encode() + b"\0"


def comm(_machine: Machine, process: Process) -> bytes:
    return process.comm + b"\n"


PROCESS_FILES: dict[str, Callable[[Machine, Process], bytes]] = {
    "stat": stat,
    "status": status,
    "statm": statm,
    "cgroup": cgroup,
    "oom_score": oom_score,
    "oom_score_adj": oom_score_adj,
    "cmdline": cmdline,
    "comm": comm,
}
THREAD_FILES = ("stat", "status", "statm", "comm", "cgroup")
