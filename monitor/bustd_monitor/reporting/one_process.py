"""What decides whether one process may die, in words: what applies to it, and what would have to change for it."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Scope, Signal
from bustd_shared.daemon.log import printable
from bustd_shared.daemon.record import NamedTuple

from ..ranking.order import Candidate
from ..ranking.what_may_die import Applied, Cause, Shield
from ..sensing.processes import Process
from . import reasons


class Standing(NamedTuple):
    """What is known of one process at a ranking.

    `place`: its place in the order of the candidates, 0 if it has none; `of`: how many there are; `first`: the first
    of them. `candidate`: itself, None if it was not ranked. `is_short`: a condition fires now.
    `is_worth_it`: its death would help enough. `signal`: what it
    would get.
    """

    process: Process
    applied: list[Applied]
    minimum_bytes: int
    is_short: bool
    is_worth_it: bool
    place: int = 0
    of: int = 0
    first: Candidate | None = None
    candidate: Candidate | None = None
    signal: Signal = Signal.TERM

    @property
    def spares(self) -> list[Applied]:
        """Everything that keeps it from dying, in the order in which it counts."""
        return [one for one in self.applied if one.ground.shield is not None]

    @property
    def could_die(self) -> bool:
        """Whether it could die now."""
        return not self.spares and self.candidate is not None and self.is_short and self.is_worth_it


def lines(standing: Standing) -> list[str]:
    """Whether it could die now, everything that applies to it in the order in which it counts, and what to change."""
    said = [could_it_die(standing)]
    if standing.applied or _growth(standing):
        said += ["What counts for it, in this order (bustd.toml(5), WHAT MAY DIE):", *_counting(standing)]
    else:
        said.append("No rule spares it or moves its place: what it holds is all that counts.")
    if not standing.spares and standing.candidate is not None:
        said.append(_with_it(standing.candidate))
        ending = reasons.ending(standing.candidate, standing.signal)
        said += [f"It would get SIG{standing.signal.name}{f'; {ending}' if ending else ''}."]
    changes = [f"  {words}" for words in _changes(standing)]
    return [*said, "What would have to change:", *changes]


def could_it_die(standing: Standing) -> str:
    """The first line."""
    if standing.spares:
        return f"It could not die now, because of {_named(standing.spares[0])}."
    if standing.candidate is None:
        return "It could not die now: others hold so much more that it is not among the candidates."
    place = f"number {standing.place} of {standing.of} in the order"
    if not standing.is_short:
        return f"It could not die now, because no condition fires. If one did, it would be {place}."
    if not standing.is_worth_it:
        return f"It could not die now, although it is {place}: its death would not help enough."
    return f"It could die now: it is {place}."


def _counting(standing: Standing) -> list[str]:
    found = []
    for one in standing.applied:
        moved = f" {'-' if one.moved_bytes < 0 else '+'}{size(abs(one.moved_bytes))}" if one.moved_bytes else ""
        effect = " (spares it)" if one.ground.shield is not None else ""
        found.append(f"  {_named(one)}{effect}{moved}")
    return _growth(standing) + found


_GROWN = {
    Cause.GAINED: Cause.GAINED.value,
    Cause.RUNS_AWAY: f"{Cause.RUNS_AWAY.value}, which is a bonus of",
    Cause.RUNS_AWAY_WITH_UNIT: f"{Cause.RUNS_AWAY_WITH_UNIT.value}, which is a bonus of",
}


def _growth(standing: Standing) -> list[str]:
    moves = standing.candidate.moves if standing.candidate is not None else ()
    grown = [move for move in moves if move.cause in _GROWN]
    return [f"  victims.growth_percent: {_GROWN[move.cause]} +{size(move.moved_bytes)}" for move in grown]


def _named(one: Applied) -> str:
    rule = f": {printable(one.rule)}" if one.rule else ""
    return f"{one.ground.name}{rule}"


def _with_it(candidate: Candidate) -> str:
    if candidate.scope is Scope.CGROUP:
        return f"With it would die the others in {printable(candidate.process.whole)} ({candidate.known} known)."
    if candidate.scope is Scope.GROUP:
        return "With it would die the others of its process group, as far as they may."
    return "No other process would die with it."


def _changes(standing: Standing) -> list[str]:
    """For one that is spared, what would make it a candidate; for a candidate, what would spare it or move it."""
    spares = [one.ground.shield for one in standing.spares if one.ground.shield is not None]
    if spares:
        least = size(standing.minimum_bytes)
        return [f"for it to die: {TO_DIE[shield].format(least=least)}" for shield in spares]
    changes = []
    first, candidate = standing.first, standing.candidate
    if not standing.is_short:
        changes.append("for it to die: memory would have to be short, so that a condition fires")
    if candidate is not None and first is not None and standing.place > 1:
        missing = size(max(first.badness - candidate.badness, 0))
        what = f"{first.process.pid} ({printable(first.process.comm)})"
        changes.append(f"for it to die first: its badness would have to rise by {missing}, to that of {what}")
    elif candidate is None:
        changes.append("for it to die: it would have to grow, or a rule in [victims.prefer] would have to match it")
    return [*changes, TO_LIVE, TO_LIVE_LONGER]


TO_DIE = {
    Shield.OOM_SCORE_ADJ: "its oom_score_adj would have to be above -1000 (choom(1); OOMScoreAdjust= of its unit)",
    Shield.OTHER_USER: "bustd would have to run as root, or as its user",
    Shield.KILLER_TOML: "no rule in [protect] of killer.toml may match it (shipped ones: protect.shipped = false)",
    Shield.NEVER: "no rule in [victims.never] of bustd.toml, and no name of -u, may match it",
    Shield.UNJUDGED: "rules in [victims.never] would have to be on units, names or cgroups instead of its command line",
    Shield.OUTSIDE_ONLY: "a rule in [victims.only] of bustd.toml would have to match it",
    Shield.OMIT: "ManagedOOMPreference=omit would have to be taken from its unit",
    Shield.TOO_SMALL: "it would have to hold {least}",
}
TO_LIVE = "for it never to die: a rule in [protect] of killer.toml on its unit or user, which it can't forge"
TO_LIVE_LONGER = "for it to die later: a rule in [victims.avoid] of bustd.toml"
