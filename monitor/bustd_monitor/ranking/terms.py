"""What a ranking rests on at one reading: of the configuration, of the killer, and of the machine."""

from __future__ import annotations

from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.protection import Protection

from ..sensing.reading import Reading
from .books import Shortfall
from .settings import Victims


class Terms(NamedTuple):
    """What a ranking rests on. `only_uid` -1: any. `advice` is what the killer will refuse anyway.

    `total_bytes`: memory and swap, of which oom_score_adj takes its thousandths. `room_bytes`: how much of it
    no process holds (Reading.unheld_bytes).
    `filled_bytes`: how much of it was lost, to whomever, while the processes were seen to gain what they have gained.
    `needed_bytes`: what must come back for the shortage to be over; 0: it is not known, and no family is looked for.
    `broken`: control groups that hold a protected process, so that none in them dies with the others. `shared_bytes`:
    shared memory that no file of a tmpfs explains, so that the death of a process may free it. `books`: deaths that
    brought less than was claimed. `swap_goes_bytes`: what swapoff(8) is still to read back, 0 if swap
    does not go away. `anonymous_bytes`: anonymous memory of the machine, each page once; `in_use_bytes`: this,
    `shared_bytes` and swap in use; 0: not known.
    """

    victims: Victims
    advice: Protection
    minimum_bytes: int
    only_uid: int = -1
    total_bytes: int = 0
    room_bytes: int = 0
    filled_bytes: int = 0
    broken: frozenset[str] = frozenset()
    shared_bytes: int = 0
    books: tuple[Shortfall, ...] = ()
    needed_bytes: int = 0
    swap_goes_bytes: int = 0
    anonymous_bytes: int = 0
    in_use_bytes: int = 0

    @property
    def is_swap_empty(self) -> bool:
        """Whether nothing is in swap, as far as is known."""
        return 0 < self.in_use_bytes == self.anonymous_bytes + self.shared_bytes


class Rules(NamedTuple):
    """What does not change from one reading to the next. `advice` is what the killer will refuse anyway.

    `minimum_bytes`: so much a victim must hold for the killer. `only_uid` -1: any user's processes.
    """

    victims: Victims
    advice: Protection
    minimum_bytes: int
    only_uid: int = -1


def terms_at(reading: Reading, rules: Rules) -> Terms:
    """The terms of a ranking at this reading."""
    anonymous, shared = reading.total - reading.available if reading.is_whole else 0, reading.shared_by_processes
    return Terms(
        *rules,
        total_bytes=reading.ram + reading.swap_total,
        room_bytes=reading.unheld_bytes,
        shared_bytes=shared,
        anonymous_bytes=anonymous,
        in_use_bytes=anonymous + shared + reading.swap_total - reading.swap_free if reading.is_whole else 0,
    )
