"""Whether the largest processes of the control groups that matter are enough for a decision, without a walk."""

from __future__ import annotations

from ..sensing.group_charges import GroupCharges
from ..sensing.process_table import ProcessTable
from .group_search import GroupSearch
from .order import Ranking
from .settings import NOTHING
from .terms import Terms
from .tracked import Tracked

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

    Offer = Callable[[list[int]], None]


class GroupLook:
    """A look at the control groups that matter. `groups` None: what they are charged with is not asked."""

    def __init__(self, groups: GroupCharges | None, table: ProcessTable, tracked: Tracked) -> None:
        self._groups, self._table, self._tracked = groups, table, tracked

    def hidden_bytes(self, offer: Offer, terms: Terms) -> int | None:
        """Offer the processes of the groups that matter. Returns what another process may hold; None: not known.

        It is not known where a rule may prefer a process of any size, nor where memory was lost that nothing explains:
        many processes may have gained a little each.
        """
        if self._groups is None or not terms.needed_bytes or terms.victims.prefer != NOTHING:
            return None

        def look(pids: list[int]) -> list[int]:
            offer([pid for pid in pids if self._table.may_be_looked_at(pid)])
            known = [(pid, self._tracked.held_bytes(pid)) for pid in pids]
            return [self._table.anonymous_bytes(pid) if held is None else held for pid, held in known]

        def least() -> int:
            return least_that_matters(self._tracked.largest_bytes(terms.shared_bytes), terms)

        hidden = GroupSearch(self._groups, look, least, terms.shared_bytes).run()
        if hidden is None or terms.filled_bytes - self._tracked.may_have_gained_bytes() >= least():
            return None
        mapped = max([one.shared_bytes for one in self._tracked.processes()], default=0)
        return hidden + max(terms.shared_bytes - mapped, 0)


def least_that_matters(largest_bytes: int, terms: Terms) -> int:
    """A process that holds this much may be a better victim than one that holds `largest_bytes`, or than none.

    What runs away counts three times; and what ends the shortage may come first for its oom_score_adj.
    """
    return max(terms.minimum_bytes, min(largest_bytes // 3, terms.needed_bytes))


def is_enough(ranking: Ranking, hidden_bytes: int, terms: Terms) -> bool:
    """Whether a candidate ends the shortage, and is the right one if another process holds `hidden_bytes`."""
    held = [one.held_bytes for one in ranking.candidates if not one.is_held_back]
    largest = max(held, default=0)
    return largest >= terms.needed_bytes and hidden_bytes < least_that_matters(largest, terms)
