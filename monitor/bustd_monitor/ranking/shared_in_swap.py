"""Shared memory that was swapped out. No figure of a process shows it: RssShmem falls, and VmSwap leaves it out. Pure.

So a leak in shared memory seems to grow by a part of what it takes, or not at all. What a control group has in swap and
its processes do not show there is shared memory that is charged to the group. Its growth counts for each process that
maps shared memory and is in this group, up to what it maps (ranking.accounting). What a process holds, and what is
claimed for its death, is not raised by it.
"""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import Process
from . import growth
from .growth import Samples


class _Seen(NamedTuple):
    """Samples of one process, in bytes: what its group has of shared memory in swap; and that with what it maps."""

    swapped: Samples = ()
    mapped: Samples = ()


def swapped_bytes(processes: list[Process]) -> dict[int, int]:
    """By PID: what the control group of each has of shared memory in swap; without those of which it is not known.

    `processes`: the largest of the machine. What others in the group have in swap is taken for shared memory.
    """
    private: dict[str, int] = {}
    for one in processes:
        private[one.cgroup] = private.get(one.cgroup, 0) + one.swapped_bytes
    return {
        one.pid: max(one.group_swapped_bytes - private[one.cgroup], 0)
        for one in processes
        if one.group_swapped_bytes >= 0
    }


class SharedInSwap:
    """What was seen of it, once a second. Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}

    def note(self, processes: list[Process], now_ms: int) -> None:
        """Take a sample of each. What is known of others is forgotten."""
        swapped = swapped_bytes(processes)
        self._seen = {
            one.pid: _sampled(self._seen.get(one.pid, _Seen()), swapped[one.pid], one.shared_bytes, now_ms)
            for one in processes
            if one.pid in swapped
        }

    def with_gains(self, processes: list[Process], now_ms: int) -> list[Process]:
        """The processes with what they have gained of shared memory, in memory and in swap."""
        swapped = swapped_bytes(processes) if self._seen else {}
        return [
            _with_gain(one, self._seen[one.pid], swapped[one.pid], now_ms)
            if one.pid in swapped and one.pid in self._seen
            else one
            for one in processes
        ]


def _sampled(seen: _Seen, swapped: int, resident: int, now_ms: int) -> _Seen:
    in_swap = growth.sampled(seen.swapped, now_ms, swapped)
    return _Seen(in_swap, growth.sampled(seen.mapped, now_ms, resident + swapped))


def _with_gain(process: Process, seen: _Seen, swapped: int, now_ms: int) -> Process:
    gained = growth.gained_bytes(seen.mapped, now_ms, process.shared_bytes + swapped, growth.WINDOW_MS + 1)
    in_swap = growth.gained_bytes(seen.swapped, now_ms, swapped, growth.WINDOW_MS + 1)
    return process._replace(shared_gained_bytes=gained, shared_swapped_bytes=in_swap)
