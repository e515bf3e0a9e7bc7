"""Parsers of the /proc files that both daemons read: bytes in, values out, no I/O.

Both daemons must mean the same by start time, held bytes and unit; otherwise the killer could not compare a request
with what it reads. A file that can't be understood is None, and the caller decides what that means. Sources:
proc_pid_stat(5), proc_pid_status(5), proc_pid_cgroup(5), proc_meminfo(5), Documentation/accounting/psi.rst.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

PID_MAX = 2**22
"""The kernel's PID_MAX_LIMIT on 64-bit machines (proc_sys_kernel(5), pid_max)."""

UINT32_MAX = 2**32 - 1
UINT63_MAX = 2**63 - 1
"""The largest numbers that the kernel shows for a process. The protocol allows no larger ones in its messages."""

PF_KTHREAD = 0x00200000
_LOWEST_ADJ, _HIGHEST_ADJ = -1000, 1000
_LARGEST_KIB = 2**50
"""More kibibytes than any machine has: lxcfs prints negative amounts as 18446744073709551360 kB."""


class Stat(NamedTuple):
    """/proc/PID/stat. `start_ticks` counts clock ticks since boot; together with the PID it identifies a process."""

    comm: bytes
    state: bytes
    parent: int
    group: int
    session: int
    flags: int
    threads: int
    start_ticks: int

    @property
    def is_kernel_thread(self) -> bool:
        """Whether it is a thread of the kernel (PF_KTHREAD)."""
        return bool(self.flags & PF_KTHREAD)

    @property
    def is_dead(self) -> bool:
        """Whether all its threads have exited. A leader that is a zombie while other threads live on is not dead."""
        return self.state in (b"X", b"x") or (self.state == b"Z" and self.threads <= 1)


class Status(NamedTuple):
    """/proc/PID/status: the effective uid, and the bytes that die with the process (None: it has no memory).

    `tgid`: the PID of the process that this thread belongs to; None: not told. `uids`: real, effective, saved, and of
    the file system. `shared_bytes`: what it maps of shared memory and files of tmpfs (RssShmem). Whether its death
    frees any of that, the process alone does not show.
    """

    uid: int
    held_bytes: int | None
    tgid: int | None = None
    uids: tuple[int, ...] = ()
    shared_bytes: int = 0


_AMOUNTS = b"MemFree: SwapTotal: SwapFree: AnonPages: Active(anon): Inactive(anon): Shmem:".split()


class Meminfo(NamedTuple):
    """/proc/meminfo, in bytes. `available` None: this kernel or container does not have the line."""

    total: int
    free: int
    available: int | None
    anonymous: int
    swap_total: int
    swap_free: int

    @property
    def user_space(self) -> int:
        """What user space can have: available plus anonymous memory, at least 1 and at most all memory.

        Programs always have anonymous memory. Where it is 0, nothing is known of it, and it is all memory.
        """
        whole = (self.available or 0) + self.anonymous if self.anonymous else self.total
        return max(min(whole, self.total), 1)


def parse_stat(data: bytes) -> Stat | None:
    """Parse /proc/PID/stat. comm may contain anything, also parentheses and newlines: it ends at the last `)`."""
    start, end = data.find(b"("), data.rfind(b")")
    rest = data[end + 1 :].split()
    if not 0 < start < end or len(rest) < 20:
        return None
    try:
        # The numbers are in the order of Stat.
        stat = Stat(data[start + 1 : end], rest[0], *[int(rest[at]) for at in (1, 2, 3, 6, 17, 19)])
    except ValueError:
        return None
    return stat if rest[19].isdigit() and stat.start_ticks <= UINT63_MAX else None


def parse_status(data: bytes) -> Status | None:
    """Parse /proc/PID/status. Held bytes are RssAnon, VmSwap and VmPTE: private memory, and its page tables.

    Page tables alone can fill a machine: one byte read in each 2 MiB of untouched memory takes 4 KiB of them. This is
    the one place that says what a process holds, for both daemons.
    """
    at = data.find(b"\nUid:")
    words = data[at + 5 : at + 80].split()[:4]
    uids = tuple([int(word) for word in words if word.isdigit()])
    if at < 0 or len(uids) != 4 or max(uids) > UINT32_MAX:
        return None
    anonymous, *rest = (field_bytes(data, name) for name in (b"RssAnon:", b"VmSwap:", b"VmPTE:", b"RssShmem:"))
    swap, page_tables, shared = (amount or 0 for amount in rest)
    held_bytes = None if anonymous is None else anonymous + swap + page_tables
    return Status(uids[1], held_bytes, number_after(data, b"Tgid:"), uids, shared)


def parse_oom_score_adj(data: bytes) -> int | None:
    """Parse /proc/PID/oom_score_adj, -1000 to 1000 (proc_pid_oom_score_adj(5)); None for anything else."""
    try:
        adj = int(data)
    except ValueError:
        return None
    return adj if _LOWEST_ADJ <= adj <= _HIGHEST_ADJ else None


def parse_meminfo(data: bytes) -> Meminfo | None:
    """Parse /proc/meminfo. None without MemTotal. An impossible amount counts as 0, and no amount exceeds its total.

    In a container AnonPages may be missing or another machine's (lxcfs). The lists of anonymous pages are the
    container's own: they hold what is not locked of it, and shared memory.
    """
    total, available = field_bytes(data, b"MemTotal:"), field_bytes(data, b"MemAvailable:")
    if not total:
        return None
    free, swap_total, swap_free, mapped, *lists = [field_bytes(data, name) or 0 for name in _AMOUNTS]
    anonymous = min(max(mapped, lists[0] + lists[1] - lists[2]), total) if mapped else 0
    of_ram = min(free, total), None if available is None else min(available, total), anonymous
    return Meminfo(total, *of_ram, swap_total, min(swap_free, swap_total))


def parse_unit(data: bytes) -> str:
    """The unit in /proc/PID/cgroup: the first component of its path that is not a slice, "" if there is none.

    A user may choose every name below that component, so these names prove nothing: a `postgresql.service` below
    `user@1000.service` is `user@1000.service`. The path in the unified hierarchy counts, and where that is empty, the
    path in the hierarchy that is named systemd.
    """
    for controllers in (b"", b"name=systemd"):
        for component in path_in(data, controllers).split(b"/"):
            if component not in (b"", b"..") and not component.endswith(b".slice"):
                return component.decode("utf-8", "backslashreplace")
    return ""


def path_in(data: bytes, controllers: bytes = b"") -> bytes:
    """The path in /proc/PID/cgroup in the hierarchy with these controllers, by default the unified one; b"" if none."""
    # Not splitlines: users may put a carriage return into the name of a control group of their own, and the rest of
    # that name would count as a line of the kernel's.
    for line in data.split(b"\n"):
        _, _, rest = line.partition(b":")
        found, _, path = rest.partition(b":")
        if found == controllers and path.startswith(b"/"):
            return path
    return b""


def field_bytes(data: bytes, name: bytes) -> int | None:
    """The amount in the line `name  N kB`, in bytes. None without the line or its number, 0 if it is impossible."""
    kib = number_after(data, name)
    if kib is None:
        return None
    return 0 if kib > _LARGEST_KIB else kib * 1024


def number_after(data: bytes, name: bytes) -> int | None:
    """The number that follows `name` at the beginning of a line; None if the line or its number is missing."""
    at = data.find(b"\n" + name) + 1  # 0: in the first line, or not found
    words = data[at + len(name) : at + len(name) + 48].split(None, 1) if data.startswith(name, at) else []
    return int(words[0]) if words and words[0].isdigit() else None
