"""swapoff(8): as long as it runs, what was swapped out comes back to memory, whether there is room for it or not.

The kernel, too, kills it first (OOM_FLAG_ORIGIN, which swapoff(2) sets in mm/swapfile.c). Its death leaves the rest in
swap. It looks for a signal only between two processes whose memory it reads back (seen on 6.18): no signal is gentler.
"""

from __future__ import annotations

from ..sensing.process_table import ProcessTable
from ..sensing.processes import Process
from . import order
from .order import Ranking
from .terms import Terms
from .what_may_die import Cause, Move, protection

COMM = b"swapoff"


def put_first(ranking: Ranking, table: ProcessTable, terms: Terms, refused: frozenset[tuple[int, int]]) -> Ranking:
    """The ranking with root's swapoff before all others, while swap becomes smaller. All processes are looked at."""
    if not terms.swap_goes_bytes:
        return ranking
    process = _found(table, terms, refused)
    if process is None:
        return ranking
    found = order.placed_together((process,), "", terms, runs_away=False).alone()
    move = Move(Cause.TAKES_SWAP_AWAY, terms.swap_goes_bytes)
    first = found._replace(badness=found.badness + move.moved_bytes, moves=(move, *found.moves), is_killed_at_once=True)
    others = [one for one in ranking.candidates if one.process.pid != process.pid]
    return ranking._replace(candidates=(first, *others))


def _found(table: ProcessTable, terms: Terms, refused: frozenset[tuple[int, int]]) -> Process | None:
    """Only root's counts: any user may start programs of that name, set-uid ones too, and hide a leak behind them."""
    for pid in table.pids():
        kin = table.kin(pid)
        if kin is None or kin.comm != COMM or (pid, kin.start_ticks) in refused:
            continue
        process = table.read(pid, table.score(pid))
        if process is None or process.uid != 0 or not process.is_system:
            continue
        # That of util-linux 2.41 gives itself an oom_score_adj of -1000; neither the kernel nor the killer mind that.
        if protection(process._replace(oom_score_adj=0), terms) is None:
            return process
    return None
