"""Which control groups can't die whole, because of a process in them. Each one's members are read for that."""

from __future__ import annotations

from bustd_protocol.messages import Scope

from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from .matching import matched_by
from .order import Ranking
from .settings import NOTHING
from .terms import Terms
from .together import may_die_together

_VERIFIED = 4
"""For this many at the top of a ranking every process of the control group is checked: any may be protected."""


class WholeGroups:
    """Of the processes in `table`."""

    def __init__(self, table: ProcessTable) -> None:
        self._table = table

    def broken(self, ranking: Ranking, terms: Terms, verified: set[str]) -> frozenset[str]:
        """The control groups at the top of a ranking that the killer would refuse to kill whole. Adds to `verified`."""
        firsts = {one.process.whole: one.process for one in ranking.candidates[:_VERIFIED] if one.scope is Scope.CGROUP}
        wholes = firsts.keys() - verified
        verified |= wholes
        return frozenset(whole for whole in wholes if self.may_not_die(whole, firsts[whole], terms))

    def may_not_die(self, whole: str, first: Process, terms: Terms) -> bool:
        """Whether a control group has a protected process, or an avoided one where the first to die is not avoided.

        Command lines are not read for this: a process that [victims.only] may match by its own keeps the others alive.
        """
        pids = self._table.members(whole)
        members = [member for pid in pids if (member := self._table.read(pid, 0)) is not None]
        only = terms.victims.only
        if not may_die_together(first, members, terms):
            return True
        return only != NOTHING and not all(matched_by(only, member) for member in members)
