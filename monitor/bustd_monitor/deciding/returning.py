"""What came back after a death, compared with what was claimed: when a kill is over, and what it was worth. Pure.

The memory of a victim is back some time after its exit. Until then nothing says that another process must die.
"""

from __future__ import annotations

from bustd_protocol.messages import Fate
from bustd_shared.daemon.record import NamedTuple

from ..conditions import filling
from ..conditions.trends import Trends
from ..ranking.books import Shortfall
from ..ranking.order import Candidate
from ..sensing.processes import Process
from ..sensing.reading import Reading

_AFTER_EXIT_MS, _AFTER_RELEASE_MS = 1000, 5000
"""At most this long. A process has no memory any more as soon as the kernel begins to free it, which takes a while."""
LEFT_MS = 2000
"""No wait where memory and swap would be gone within this time."""
_SEEN_PART = 256
"""A smaller part of RAM comes and goes at any time: whether it has come back by a death can't be seen."""
_INEXACT_PART = 4
_REMEMBERED_MS = 600_000
_MOST_BOOKS = 16


class Claim(NamedTuple):
    """What is to come back: `claimed_bytes` of the victim, and `children_bytes` of its children, if these go too.

    `unheld_bytes`: what was left of memory and swap when the victim had been read, at `chosen_ms` (see Reading);
    `lost_per_second`: how fast it went. `until_ms`: when the wait ends at the latest; None: the victim has not exited.
    """

    process: Process
    claimed_bytes: int
    children_bytes: int
    unheld_bytes: int
    lost_per_second: int
    chosen_ms: int
    until_ms: int | None = None


def claim_of(candidate: Candidate, chosen: tuple[int, int] | None, trends: Trends) -> Claim | None:
    """The claim of a kill that begins. `chosen`: when the victim had been read, and what was left; None: not known."""
    if chosen is None:
        return None
    chosen_ms, unheld_bytes = chosen
    lost = filling.rate(trends.filling).per_second
    return Claim(candidate.process, candidate.brings_bytes, candidate.children_bytes, unheld_bytes, lost, chosen_ms)


def awaited_from(claim: Claim, fate: Fate, now_ms: int) -> Claim | None:
    """The claim of a kill that is over; None where nothing is to come back, as its victim lives."""
    longest_ms = {Fate.GONE: _AFTER_EXIT_MS, Fate.RELEASED: _AFTER_RELEASE_MS}.get(fate)
    return None if longest_ms is None else claim._replace(until_ms=now_ms + longest_ms)


def is_back(claim: Claim, reading: Reading) -> bool:
    """Whether half of it has come back, as far as that can be seen; of children that may be going too, nearly all."""
    if claim.claimed_bytes * _SEEN_PART < reading.ram:
        return True
    expected = claim.claimed_bytes // 2
    if claim.children_bytes:
        expected = (claim.claimed_bytes + claim.children_bytes) * 7 // 8
    return reading.unheld_bytes - claim.unheld_bytes >= expected


def is_awaited(claim: Claim, trends: Trends, reading: Reading, now_ms: int) -> bool:
    """Whether the victim has exited and its memory is still to come, and the machine lives that long.

    It does while more is left from reading to reading: the speed at which memory went is that of a time in which the
    victim lived.
    """
    if claim.until_ms is None or now_ms >= claim.until_ms or not reading.is_whole or is_back(claim, reading):
        return False
    left_ms = filling.exhaustion_ms(trends.filling, reading)
    return left_ms is None or left_ms >= LEFT_MS or filling.is_emptying(trends.filling)


def shortfall_of(claim: Claim, trends: Trends, reading: Reading, now_ms: int) -> Shortfall | None:
    """What to remember where less than half came back in all that time; None where it is not certain.

    What others have taken since the request, at the speed of that time or of now, may have come back too, and a quarter
    more than that: neither is exact, and other processes of the kind would count by what is wrong in it.
    """
    if claim.until_ms is None or now_ms < claim.until_ms or not reading.is_whole or is_back(claim, reading):
        return None
    per_second = max(claim.lost_per_second, filling.rate(trends.filling).per_second)
    taken = per_second * (now_ms - claim.chosen_ms) // 1000
    came_back = max(reading.unheld_bytes - claim.unheld_bytes + taken + taken // _INEXACT_PART, 0)
    process = claim.process
    if came_back * 2 >= claim.claimed_bytes:
        return None
    kind = process.uid, process.parent, process.comm
    return Shortfall(*kind, claim.claimed_bytes, came_back, claim.chosen_ms, now_ms + _REMEMBERED_MS)


def booked(books: tuple[Shortfall, ...], short: Shortfall, now_ms: int) -> tuple[Shortfall, ...]:
    """The books with one more, without those that no longer count."""
    return (*[one for one in books if now_ms < one.until_ms][1 - _MOST_BOOKS :], short)
