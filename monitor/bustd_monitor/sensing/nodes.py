"""NUMA nodes that are full while the machine is not: what is bound to one (cpuset.mems, mbind(2)) has no other memory.

MemAvailable is a sum over all nodes. The kernel's OOM killer judges the nodes that a process may use, and kills while
others are free (constraint=CONSTRAINT_CPUSET or CONSTRAINT_MEMORY_POLICY in its log). So what is available on a node is
worked out as the kernel does for the machine: kswapd of that node reclaims until its high watermarks are free, and what
is below them is for no program.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from .contents import contents
from .held_file import HeldFile
from .watermarks import Kept, read_kept

_FULL_PERCENT, _FREE_AGAIN_PERCENT = 2, 5
"""From the high watermarks to the kernel's kill it is a few dozen MiB: these percents are for the time until then."""
_MOST_NODES = 1024
"""MAX_NUMNODES of the largest configuration (CONFIG_NODES_SHIFT=10)."""
_MOST_WATCHED = 64
_MEMINFO_BYTES = 4096
_FILE_CACHE = (b"Active(file):", b"Inactive(file):")
_UNKNOWN = Kept()


class Node(NamedTuple):
    """Bytes. `cache`: of files, without tmpfs; `slab`: what of the kernel's can be reclaimed."""

    number: int
    total: int
    free: int
    cache: int
    slab: int

    def available(self, kept: Kept) -> int:
        """What is free or can be reclaimed without swapping, as MemAvailable has it (si_mem_available())."""
        reclaimable = sum([part - min(part // 2, kept.low) for part in (self.cache, self.slab)])
        return max(self.free - kept.reserve + reclaimable, 0)


def parse_node(data: bytes) -> Node | None:
    """Parse /sys/devices/system/node/nodeN/meminfo; None if it can't be understood, or the node has no memory."""
    amounts = {}
    number = -1
    for line in data.splitlines():
        words = line.split()
        if len(words) >= 4 and words[0] == b"Node" and words[1].isdigit() and words[3].isdigit():
            number, amounts[words[2]] = int(words[1]), int(words[3]) * 1024
    total, free, slab = [amounts.get(name, 0) for name in (b"MemTotal:", b"MemFree:", b"SReclaimable:")]
    return Node(number, total, free, sum([amounts.get(name, 0) for name in _FILE_CACHE]), slab) if total else None


class Nodes:
    """The files are opened once, and only where there are several nodes with memory."""

    def __init__(self, sys: str = "/sys", proc: str = "/proc") -> None:
        folder = f"{sys}/devices/system/node"
        numbers = _listed(contents(f"{folder}/has_memory"))
        paths = [f"{folder}/node{number}/meminfo" for number in numbers[:_MOST_WATCHED]]
        self._files = [HeldFile(path, _MEMINFO_BYTES) for path in paths] if len(paths) > 1 else []
        self._full = -1
        self._proc = proc
        self._kept: dict[int, Kept] = {}
        self.read_watermarks()

    @property
    def are_several(self) -> bool:
        """Whether more than one node has memory: else none can be full while the machine is not."""
        return bool(self._files)

    def read_watermarks(self) -> None:
        """Read again what each node keeps free. Where that can't be read, what was known is the best there is."""
        if self._files:
            self._kept = read_kept(self._proc) or self._kept

    def full(self) -> int:
        """The number of a node that is full, -1 if none is. It stays so up to 5 %, whichever others fill meanwhile."""
        nodes = [node for held in self._files if (node := parse_node(held.read())) is not None]
        kept = self._kept
        shares = {one.number: 100 * one.available(kept.get(one.number, _UNKNOWN)) / one.total for one in nodes}
        if shares.get(self._full, 100) > _FREE_AGAIN_PERCENT:
            number = min(shares, key=lambda one: shares[one], default=-1)
            self._full = number if shares.get(number, 100) <= _FULL_PERCENT else -1
        return self._full

    def close(self) -> None:
        """Close the files."""
        for held in self._files:
            held.close()


def parse_allowed(status: bytes) -> frozenset[int] | None:
    """The nodes that a process may use by its cpuset, from /proc/PID/status; None if that does not tell.

    mbind(2) and set_mempolicy(2) can bind it to fewer: that is in /proc/PID/numa_maps, which only its owner may read.
    """
    at = status.find(b"\nMems_allowed_list:")
    line = status[at + 1 :].partition(b"\n")[0] if at >= 0 else b""
    return frozenset(_listed(line.partition(b":")[2])) or None


def allowed_nodes(pid: int, proc: str = "/proc") -> frozenset[int] | None:
    """See parse_allowed; None also if the process is gone."""
    return parse_allowed(contents(f"{proc}/{pid}/status"))


def _listed(data: bytes) -> list[int]:
    """The numbers in a list such as `0-1,4`."""
    numbers: list[int] = []
    for part in data.strip().split(b","):
        first, _, last = part.partition(b"-")
        if first.isdigit() and (last or first).isdigit():
            numbers += range(int(first), min(int(last or first), int(first) + _MOST_NODES) + 1)
    return numbers
