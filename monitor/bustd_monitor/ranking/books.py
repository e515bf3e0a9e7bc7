"""The books: what deaths have brought, where that was much less than was claimed. Pure."""

from __future__ import annotations

from collections.abc import Callable

from bustd_shared.daemon.record import NamedTuple

from ..sensing.processes import Process


class Shortfall(NamedTuple):
    """A death that brought `came_back_bytes` instead of `claimed_bytes`. `parent` and `comm` are the victim's.

    Until `until_ms` (monotonic) processes of the same kind count by what came back, if they were there when the victim
    was chosen, at `chosen_ms`. One that was started since has nothing in common with it: it may have taken what came
    back.
    """

    parent: int
    comm: bytes
    claimed_bytes: int
    came_back_bytes: int
    chosen_ms: int
    until_ms: int


def corrected(
    processes: list[Process], books: tuple[Shortfall, ...], now_ms: int, age_ms: Callable[[Process], int]
) -> list[Process]:
    """The processes, those of a kind that has disappointed with no more than came back of it."""
    valid = [one for one in books if now_ms < one.until_ms]
    return [_corrected(one, valid, now_ms - age_ms(one)) for one in processes] if valid else processes


def _corrected(process: Process, books: list[Shortfall], started_ms: int) -> Process:
    for one in books:
        if started_ms > one.chosen_ms or not _is_of_the_kind(process, one):
            continue
        if process.held_bytes > one.came_back_bytes:
            gained = min(process.gained_bytes, one.came_back_bytes)
            return process._replace(held_bytes=one.came_back_bytes, gained_bytes=gained)
    return process


def _is_of_the_kind(process: Process, one: Shortfall) -> bool:
    """The same parent and name, and at least half and at most twice the size."""
    if (process.parent, process.comm) != (one.parent, one.comm):
        return False
    return one.claimed_bytes <= process.held_bytes * 2 and process.held_bytes <= one.claimed_bytes * 2
