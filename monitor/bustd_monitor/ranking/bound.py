"""Which processes are bound to one NUMA node. Read when that node has become full, and at no other time."""

from __future__ import annotations

from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process

_MOST_LOOKED_AT, _MOST_NAMED = 64, 3


def bound_to(node: int, table: ProcessTable) -> tuple[Process, ...] | None:
    """Of the processes with the most resident memory those that may use this node alone, the largest first.

    None where it is known of no process which nodes it may use. This counts also processes that may not be killed.
    """
    sizes = {pid: table.resident_bytes(pid) for pid in table.pids()}
    largest = sorted(sizes, key=lambda pid: sizes[pid], reverse=True)[:_MOST_LOOKED_AT]
    allowed = {pid: nodes for pid in largest if (nodes := table.allowed_nodes(pid)) is not None}
    if not allowed:
        return None
    bound = [process for pid, nodes in allowed.items() if nodes == {node} and (process := table.read(pid, 0))]
    return tuple(sorted(bound, key=lambda process: process.held_bytes, reverse=True)[:_MOST_NAMED])
