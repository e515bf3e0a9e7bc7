"""What fills memory and is held by no process, in words."""

from __future__ import annotations

from bustd_monitor.amounts import size

from ..conditions.filled import Filled

_TOOK = ("tmpfs and shared memory took", "huge pages took", "the kernel took", "drivers or a balloon took")
_NAMES = (*_TOOK, "RAM is smaller by", "swap is smaller by")
_LEAST = 64 * 2**20


def grew(filled: Filled) -> str:
    """A clause that names what grew in the last minute, the most first; "" where nothing of this kind did."""
    amounts = sorted(zip(filled, _NAMES, strict=True), reverse=True)
    parts = [f"{name} {size(amount)}" for amount, name in amounts if amount >= _LEAST]
    return f"no process grows: in the last minute {', '.join(parts)}" if parts else ""


def swap_went(before: int, now: int) -> str:
    """Swap was switched off."""
    left = f"{size(now)} of {size(before)} are left" if now else f"all {size(before)} of it are gone"
    return f"swap went away (swapoff): {left}, and what was in it must be in memory now"


def kernel_killed(count: int) -> str:
    """The kernel's own OOM killer was faster."""
    what = "a process" if count == 1 else f"{count} processes"
    return (
        f"THE KERNEL HAS KILLED {what} for want of memory before bustd did, or at the own limit of a control group "
        "(oom_kill of /proc/vmstat); its log says which (journalctl -k)"
    )


def node_is_full(node: int, available: int, bound: list[str] | None) -> str:
    """A NUMA node has no memory left, and the machine has. `bound`: the largest that are bound to it by a cpuset."""
    named = ""
    if bound is not None:
        largest = f"the largest bound by cpuset.mems: {', '.join(bound)}"
        named = f"; {largest}" if bound else "; none of the largest processes is bound by cpuset.mems"
    return (
        f"NUMA node {node} is full, and {size(available)} are available on the whole machine: the kernel may kill what "
        f"is bound to that node (cpuset.mems, numactl){named}. bustd judges all nodes together: let it use others too"
    )
