"""What a decision comes to: what is to be done, and what there is to say. Values; `reporting` has the words."""

from __future__ import annotations

from bustd_protocol.messages import Reason, Signal
from bustd_shared.daemon.record import NamedTuple

from ..conditions.filled import UNKNOWN, Unheld
from ..conditions.finding import Condition, Finding, Seen
from ..ranking.order import Candidate
from ..sensing.processes import Process
from ..sensing.reading import Reading
from ..sensing.unread import ALL_READ, Unread
from .still_deaths import Again
from .worth_killing import Relief

MOST_CANDIDATES = 10
"""So many are named beside a victim, or by a warning."""


class Flight(NamedTuple):
    """The kill in flight, as the killer told it."""

    pid: int
    start_ticks: int
    signal: int


class Asked(NamedTuple):
    """What the killer was asked last."""

    candidate: Candidate
    signal: Signal


class Rank(NamedTuple):
    """Rank the processes, read once more, and come back with `on_ranking`."""

    finding: Finding


class Basis(NamedTuple):
    """What a choice rests on: what was seen at the second look, and what the death of the first brings.

    `needed_bytes`: what must come back for the shortage to be over.
    """

    seen: Seen
    relief: Relief
    needed_bytes: int


class Ask(NamedTuple):
    """Ask the killer for this candidate. `basis` None: it is the next after a refusal.

    `unheld`: what fills memory and is held by no process, where no candidate grows.
    """

    candidate: Candidate
    finding: Finding
    runners_up: tuple[Candidate, ...]
    basis: Basis | None = None
    unheld: Unheld = UNKNOWN


class Escalate(NamedTuple):
    """Ask for SIGKILL for the process in flight. `unheld`: see Ask, as it was when that process was chosen."""

    flight: Flight
    finding: Finding
    unheld: Unheld = UNKNOWN


class ShortageIsOver(NamedTuple):
    """The second look at the readings finds no shortage any more: no process is killed."""


class NoVictim(NamedTuple):
    """No death would help. `largest`: of those that may be killed, None if there is none. `unheld`: see Ask.

    `again`: a death might help a little, but there was one for the same already, and no process grows; else None.
    `unread`: which could not be judged, because they could not be read.
    """

    reading: Reading
    largest: Candidate | None
    unheld: Unheld = UNKNOWN
    again: Again | None = None
    unread: Unread = ALL_READ


def none_would_help(
    candidates: tuple[Candidate, ...], reading: Reading, unheld: Unheld = UNKNOWN, again: Again | None = None
) -> NoVictim:
    """That no death would help, of these."""
    largest = max(candidates, key=lambda one: one.held_bytes, default=None)
    return NoVictim(reading, largest, unheld, again if largest is not None else None)


class SwapWent(NamedTuple):
    """Swap was switched off: in bytes, what there was and what there is."""

    before: int
    now: int


class KernelKilled(NamedTuple):
    """The kernel's own OOM killer has ended so many processes since the reading before."""

    killed: int


class NodeIsFull(NamedTuple):
    """This NUMA node has become full, while so many bytes are available on the whole machine.

    `bound`: the largest processes that may use this node alone, None where that is not known.
    """

    node: int
    available: int
    bound: tuple[Process, ...] | None = None


class NothingGrows(NamedTuple):
    """Memory fills up, and no process that is worth killing grows."""


class StillSmall(NamedTuple):
    """This process takes the memory, and holds too little yet to be killed: there is time until it does."""

    process: Process
    available: int


class LessCameBack(NamedTuple):
    """A death brought less than half of what was claimed; those of the same kind count by that for a while."""

    process: Process
    claimed_bytes: int
    came_back_bytes: int


class CannotKill(NamedTuple):
    """The killer can kill nothing at all. `errno`: the kernel's error number, 0 if there was none."""

    reason: Reason
    errno: int = 0


class Scarce(NamedTuple):
    """Little memory is left: `left_bytes` until `condition` fires, the one that is expected to.

    `short_ms`: how long that takes at the present rate, None if memory is not filling up. `candidates`: which processes
    would die first, as far as they are known without a look at them.
    """

    reading: Reading
    condition: Condition
    left_bytes: int
    short_ms: int | None
    candidates: tuple[Candidate, ...] = ()


class ShortSoon(NamedTuple):
    """Memory will be short in `short_ms`, as it fills up at `per_second` bytes; the others: see Scarce."""

    reading: Reading
    condition: Condition
    left_bytes: int
    short_ms: int
    per_second: int
    candidates: tuple[Candidate, ...] = ()


News = (
    ShortageIsOver
    | NoVictim
    | SwapWent
    | KernelKilled
    | NodeIsFull
    | NothingGrows
    | StillSmall
    | LessCameBack
    | CannotKill
    | Scarce
    | ShortSoon
)
"""What there is to say beside a choice."""

Action = Rank | Ask | Escalate | News
