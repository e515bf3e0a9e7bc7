"""What was available and shared within the last ten seconds, and by it what counts for each tracked process."""

from __future__ import annotations

from collections.abc import Callable

from ..sensing.processes import Process
from . import accounting, books, growth
from .accounting import SharedMemory
from .growth import Samples
from .shared_in_swap import SharedInSwap
from .terms import Terms


class Accounts:
    """Samples of the machine, one a second. Times are monotonic milliseconds."""

    def __init__(self) -> None:
        self._rooms: Samples = ()
        self._shared: Samples = ()
        self._in_swap = SharedInSwap()

    def note(self, terms: Terms, processes: Callable[[], list[Process]], now_ms: int) -> bool:
        """Take a sample if it is time for one. Whether it was. `processes`: the tracked."""
        rooms = growth.sampled(self._rooms, now_ms, terms.room_bytes)
        if rooms is self._rooms:
            return False
        self._rooms = rooms
        self._shared = growth.sampled(self._shared, now_ms, terms.shared_bytes)
        self._in_swap.note(processes(), now_ms)
        return True

    def filled_bytes(self, terms: Terms, now_ms: int) -> int:
        """By how much room has shrunk within the window."""
        return growth.lost_bytes(self._rooms, now_ms, terms.room_bytes)

    def settled(
        self, processes: list[Process], terms: Terms, now_ms: int, age_ms: Callable[[Process], int]
    ) -> list[Process]:
        """The processes with what counts for each."""
        shared = terms.shared_bytes
        gained = growth.gained_bytes(self._shared, now_ms, shared, 0)  # all of it, until the samples span a second
        processes = self._in_swap.with_gains(processes, now_ms)
        counted = accounting.accounted(processes, SharedMemory(shared, gained))
        newcomers = {one.pid for one in processes if one.gained_bytes and one.gained_bytes >= one.held_bytes}
        counted = [self._bounded(one, terms, now_ms, age_ms) if one.pid in newcomers else one for one in counted]
        return books.corrected(counted, terms.books, terms.in_use_bytes, now_ms, age_ms)

    def _bounded(self, process: Process, terms: Terms, now_ms: int, age_ms: Callable[[Process], int]) -> Process:
        """A newcomer has gained no more than memory was lost since it came: what it shares with others cost nothing."""
        lost = growth.lost_since(self._rooms, now_ms - age_ms(process), terms.room_bytes)
        return process if lost is None else process._replace(gained_bytes=min(process.gained_bytes, lost))
