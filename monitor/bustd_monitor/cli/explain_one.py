"""`bustd explain PID`: what is known of this one process, and where it stands in the order."""

from __future__ import annotations

from bustd_protocol.messages import Scope, Signal

from ..conditions.finding import Finding
from ..conditions.floor import Floor
from ..deciding.worth_killing import in_their_turn, worth_asking_for, worth_it_ahead
from ..ranking.order import Candidate, Ranking
from ..ranking.terms import Terms
from ..ranking.what_may_die import applied
from ..reporting.one_process import Standing
from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from ..sensing.reading import Reading
from . import rules_now

_COMMAND_WAIT_MS = 500


def standing(
    process: Process, ranking: Ranking, terms: Terms, found: tuple[Finding, ...], reading: Reading, floor: Floor
) -> Standing:
    """What is known of one process at a ranking, and by these findings of the conditions."""
    candidates = in_their_turn(ranking.candidates, reading, floor)
    own = next((one for one in candidates if _dies_with(process, one)), None)
    firing = [one for one in found if one.fires]
    worthy: tuple[Candidate, ...] = ()
    for finding in firing:
        ahead = candidates if finding.filled_ahead is None else worth_it_ahead(candidates, finding.filled_ahead)
        worthy = worthy or worth_asking_for(ahead, reading, floor).candidates
    is_killed_at_once = own is not None and own.is_killed_at_once
    return Standing(
        process,
        applied(process, terms),
        terms.minimum_bytes,
        is_short=bool(firing),
        is_worth_it=own in worthy,
        place=candidates.index(own) + 1 if own is not None else 0,
        of=len(candidates),
        first=candidates[0] if candidates else None,
        candidate=own,
        signal=Signal.KILL if is_killed_at_once else firing[0].signal if firing else Signal.TERM,
    )


def _dies_with(process: Process, candidate: Candidate) -> bool:
    """Whether the candidate is this process, or a control group that it is in and that dies whole."""
    is_it = (candidate.process.pid, candidate.process.start_ticks) == (process.pid, process.start_ticks)
    return is_it or (candidate.scope is Scope.CGROUP and candidate.process.whole == process.whole)


def read(pid: int, table: ProcessTable) -> Process | None:
    """The process with its command line, which is waited for, but not for ever; None if it never dies anyway."""
    process = table.read(pid, table.score(pid)) if pid != 1 else None
    if process is None:
        return None
    return rules_now.read_commands(table, [process], _COMMAND_WAIT_MS)[0]
