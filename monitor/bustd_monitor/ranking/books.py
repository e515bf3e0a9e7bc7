"""The books: what deaths have brought, where that was much less than was claimed. Pure.

A death brings less than it claims where others hold the same pages. So a kind of processes that has disappointed counts
by what came back, but what a process was seen to gain is its own, and all of them together have no more in common than
the processes hold beyond what the machine has: else a user could make many programs vanish by one death.
"""

from __future__ import annotations

from collections.abc import Callable

from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import Process
from .accounting import own_bytes

_INEXACT_PART = 16
"""What processes hold is read one by one, while it changes: so much of the machine's may be in common unseen."""


class Shortfall(NamedTuple):
    """A death that brought `came_back_bytes` instead of `claimed_bytes`. `uid`, `parent` and `comm` are the victim's.

    Until `until_ms` (monotonic) processes of the same kind count by what came back, if they were there when the victim
    was chosen, at `chosen_ms`. One that was started since has nothing in common with it: it may have taken what came
    back.
    """

    uid: int
    parent: int
    comm: bytes
    claimed_bytes: int
    came_back_bytes: int
    chosen_ms: int
    until_ms: int


def corrected(
    processes: list[Process],
    books: tuple[Shortfall, ...],
    machine_bytes: int,
    now_ms: int,
    age_ms: Callable[[Process], int],
) -> list[Process]:
    """The processes, those of a kind that has disappointed with no more than came back of it, or than they gained.

    `machine_bytes`: what of memory and swap is in use by processes, each page once; 0: not known.
    """
    valid = [one for one in books if now_ms < one.until_ms]
    if not valid:
        return processes
    held = sum([one.held_bytes for one in processes])
    common = max(held - machine_bytes, 0) + machine_bytes // _INEXACT_PART if machine_bytes else held
    found = []
    for one in processes:
        left = _left_of(one, valid, now_ms - age_ms(one))
        left = max(left, one.held_bytes - common)
        common -= one.held_bytes - left
        found.append(one._replace(held_bytes=left, gained_bytes=min(one.gained_bytes, left)))
    return found


def _left_of(process: Process, books: list[Shortfall], started_ms: int) -> int:
    for one in books:
        if started_ms <= one.chosen_ms and _is_of_the_kind(process, one):
            return min(process.held_bytes, max(one.came_back_bytes, own_bytes(process)))
    return process.held_bytes


def _is_of_the_kind(process: Process, one: Shortfall) -> bool:
    """The same user, parent and name, and at least half and at most twice the size."""
    if (process.uid, process.parent, process.comm) != (one.uid, one.parent, one.comm):
        return False
    return one.claimed_bytes <= process.held_bytes * 2 and process.held_bytes <= one.claimed_bytes * 2
