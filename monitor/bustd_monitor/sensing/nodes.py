"""NUMA nodes that are full while the machine is not: what is bound to one (cpuset.mems, mbind(2)) has no other memory.

MemAvailable is a sum over all nodes. The kernel's OOM killer judges the nodes that a process may use, and kills while
others are free (constraint=CONSTRAINT_CPUSET or CONSTRAINT_MEMORY_POLICY in its log).
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from .contents import contents
from .held_file import HeldFile

_FULL_PERCENT, _FREE_AGAIN_PERCENT = 2, 5
_MOST_NODES = 64
_MEMINFO_BYTES = 4096
_GIVES_BACK = (b"MemFree:", b"Active(file):", b"Inactive(file):", b"SReclaimable:")


class Node(NamedTuple):
    """`available`: bytes that are free or can be reclaimed without swapping, as MemAvailable has them."""

    number: int
    total: int
    available: int


def parse_node(data: bytes) -> Node | None:
    """Parse /sys/devices/system/node/nodeN/meminfo; None if it can't be understood, or the node has no memory."""
    amounts = {}
    number = -1
    for line in data.splitlines():
        words = line.split()
        if len(words) >= 4 and words[0] == b"Node" and words[1].isdigit() and words[3].isdigit():
            number, amounts[words[2]] = int(words[1]), int(words[3]) * 1024
    total = amounts.get(b"MemTotal:", 0)
    return Node(number, total, sum([amounts.get(name, 0) for name in _GIVES_BACK])) if total else None


class Nodes:
    """The files are opened once, and only where there are several nodes with memory."""

    def __init__(self, sys: str = "/sys") -> None:
        folder = f"{sys}/devices/system/node"
        numbers = _listed(contents(f"{folder}/has_memory"))
        paths = [f"{folder}/node{number}/meminfo" for number in numbers[:_MOST_NODES]]
        self._files = [HeldFile(path, _MEMINFO_BYTES) for path in paths] if len(paths) > 1 else []
        self._full = -1

    def full(self) -> int:
        """The number of the node that is fullest, if it is full; -1 if none is. A full one stays so up to 5 %."""
        nodes = [node for held in self._files if (node := parse_node(held.read())) is not None]
        shares = {node.number: 100 * node.available / node.total for node in nodes}
        number = min(shares, key=lambda one: shares[one], default=-1)
        most_percent = _FREE_AGAIN_PERCENT if number == self._full else _FULL_PERCENT
        self._full = number if number >= 0 and shares[number] <= most_percent else -1
        return self._full

    def close(self) -> None:
        """Close the files."""
        for held in self._files:
            held.close()


def _listed(data: bytes) -> list[int]:
    """The numbers in a list such as `0-1,4`."""
    numbers: list[int] = []
    for part in data.strip().split(b","):
        first, _, last = part.partition(b"-")
        if first.isdigit() and (last or first).isdigit():
            numbers += range(int(first), min(int(last or first), int(first) + _MOST_NODES) + 1)
    return numbers
