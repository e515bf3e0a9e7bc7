"""What may die, and what sooner: `TABLE` is the list of everything that counts, in the order in which it counts. Pure.

A row either spares a process, or moves its place among those that may die, or says what dies with the victim.
bustd.toml(5) has the same table, and a test compares the two. `bustd explain PID` walks it for one process.
"""

from __future__ import annotations

from enum import Enum

from bustd_shared.daemon.record import NamedTuple

from ..sensing.preferences import AVOID, OMIT
from ..sensing.processes import Process
from .matching import advised_by, avoided_as_shipped, is_among, matched_by, why_unjudged
from .terms import Terms

TYPE_CHECKING = False

if TYPE_CHECKING:
    from collections.abc import Callable

OOM_SCORE_ADJ_MIN = -1000


class Shield(Enum):
    """What keeps a process from being a candidate."""

    OOM_SCORE_ADJ = "oom_score_adj -1000"
    OTHER_USER = "it is another user's, and an ordinary user's monitor leaves it alone"
    KILLER_TOML = "the killer would refuse it"
    NEVER = "a rule in victims.never"
    UNJUDGED = "a rule in victims.never that can't be judged, because the command line is not known whole"
    OUTSIDE_ONLY = "there are rules in victims.only, and none of them matches"
    OMIT = "ManagedOOMPreference=omit"
    TOO_SMALL = "its death would not help"


class Cause(Enum):
    """What moves a badness away from the bytes that come back."""

    RUNS_AWAY = "it has gained more than all others together"
    RUNS_AWAY_WITH_UNIT = "its unit has gained more than all others together, and it grows"
    TAKES_SWAP_AWAY = "what was swapped out comes back to memory as long as it runs"
    GAINED = "what it has gained recently counts again"
    COPIED = "a forked child has copies of its memory, which stay when it dies"
    OOM_SCORE_ADJ = "its oom_score_adj"
    PREFERRED = "a rule says that it should rather die"
    AVOIDED = "a rule, or systemd, says that it should rather live"


class Move(NamedTuple):
    """By how many bytes a cause moves a badness. `rule`: the one that asks for it, "" where none does."""

    cause: Cause
    moved_bytes: int
    rule: str = ""


class Spared(NamedTuple):
    """A process that is left out, and what keeps it.

    `rule`: the rule that does, "" where none does; for UNJUDGED why it can't be judged.
    """

    process: Process
    shield: Shield
    rule: str = ""


class Ground(NamedTuple):
    """A row of the table. `name`: as people write it; `meaning`: for the man page.

    One of the others is given. `spares` returns the rule that spares a process ("" where it is none), and `moves` the
    move; both None where the row does not apply. `applied_by` names what applies a row for which one process and the
    terms are not enough.
    """

    name: str
    meaning: str
    shield: Shield | None = None
    spares: Callable[[Process, Terms], str | None] | None = None
    cause: Cause | None = None
    moves: Callable[[Process, Terms], Move | None] | None = None
    applied_by: str = ""


def protection(process: Process, terms: Terms) -> Spared | None:
    """What keeps this process from dying, however much it holds; None if it may die."""
    for shield, spares in _SHIELDS:
        rule = spares(process, terms)
        if rule is not None:
            return Spared(process, shield, rule)
    return None


class Applied(NamedTuple):
    """A row that applies to one process: the `rule` that does it ("" for none), and by how many bytes it moves it."""

    ground: Ground
    rule: str = ""
    moved_bytes: int = 0


def applied(process: Process, terms: Terms) -> list[Applied]:
    """Every row that applies to this process, in the order of the table: not only the first that spares it."""
    found = []
    for ground in TABLE:
        rule = ground.spares(process, terms) if ground.spares is not None else None
        move = ground.moves(process, terms) if ground.moves is not None else None
        is_small = ground.shield is Shield.TOO_SMALL and process.held_bytes < terms.minimum_bytes
        if rule is not None or is_small:
            found.append(Applied(ground, rule or ""))
        elif move is not None:
            found.append(Applied(ground, move.rule, move.moved_bytes))
    return found


def moves(process: Process, terms: Terms) -> list[Move]:
    """What moves its place, apart from its growth, in the order of the table. It is avoided once at most."""
    found: list[Move] = []
    for move_of in _MOVERS:
        move = move_of(process, terms)
        if move is not None and not (move.cause is Cause.AVOIDED and found and found[-1].cause is Cause.AVOIDED):
            found.append(move)
    return found


def _by_the_kernel(process: Process, _terms: Terms) -> str | None:
    return "" if process.oom_score_adj <= OOM_SCORE_ADJ_MIN else None


def _as_another_users(process: Process, terms: Terms) -> str | None:
    return None if terms.only_uid in (-1, process.uid) else ""


def _by_the_killer(process: Process, terms: Terms) -> str | None:
    return advised_by(terms.advice, process) or None


def _never(process: Process, terms: Terms) -> str | None:
    return matched_by(terms.victims.never, process) or None


def _never_unjudged(process: Process, terms: Terms) -> str | None:
    return why_unjudged(terms.victims.never, process) or None


def _outside_only(process: Process, terms: Terms) -> str | None:
    return None if is_among(terms.victims.only, process) else ""


def _omitted(process: Process, _terms: Terms) -> str | None:
    return "" if process.preference == OMIT else None


def _copied(process: Process, _terms: Terms) -> Move | None:
    """Where others die with it, the child is mostly among them: then ranking.order gives this no copies."""
    return Move(Cause.COPIED, -process.copied_bytes) if process.copied_bytes else None


def _adjusted(process: Process, terms: Terms) -> Move | None:
    """oom_score_adj moves by thousandths of memory and swap, as in the kernel, but at most by adj_percent of them."""
    most = terms.victims.adj_percent * 10
    points = max(min(process.oom_score_adj, most), -most)
    return Move(Cause.OOM_SCORE_ADJ, points * terms.total_bytes // 1000) if points else None


def _preferred(process: Process, terms: Terms) -> Move | None:
    rule = matched_by(terms.victims.prefer, process)
    return Move(Cause.PREFERRED, terms.victims.prefer_points * terms.total_bytes // 1000, rule) if rule else None


def _avoided(process: Process, terms: Terms) -> Move | None:
    return _avoided_for(matched_by(terms.victims.avoid, process), terms)


def _avoided_as_shipped(process: Process, terms: Terms) -> Move | None:
    return _avoided_for(avoided_as_shipped(terms.victims, process), terms)


def _avoided_by_systemd(process: Process, terms: Terms) -> Move | None:
    return _avoided_for("ManagedOOMPreference=" if process.preference == AVOID else "", terms)


def _avoided_for(rule: str, terms: Terms) -> Move | None:
    return Move(Cause.AVOIDED, -terms.victims.avoid_points * terms.total_bytes // 1000, rule) if rule else None


TABLE = (
    Ground("kernel threads, PID 1, bustd", "They are never candidates.",
        applied_by="sensing.process_table.ProcessTable"),
    Ground("oom_score_adj = -1000", "The kernel itself would never choose such a process, and the killer refuses it.",
        Shield.OOM_SCORE_ADJ, _by_the_kernel),
    Ground("another user's process", "A pair without root can kill only processes of its own user.",
        Shield.OTHER_USER, _as_another_users),
    Ground("protect",
        "The killer refuses what a rule in [protect] of killer.toml matches, whatever the monitor asks for.",
        Shield.KILLER_TOML, _by_the_killer),
    Ground("victims.never", "The monitor never asks for a process that a rule in it matches.",
        Shield.NEVER, _never),
    Ground("victims.never, not judged",
        "A rule on a command line that is not known whole spares every process that it may yet match, and the log says "
        "so.",
        Shield.UNJUDGED, _never_unjudged),
    Ground("victims.only", "If there is any rule in it, a process that none of them matches is spared.",
        Shield.OUTSIDE_ONLY, _outside_only),
    Ground("ManagedOOMPreference=omit",
        "A process of such a unit is spared, if the unit's control group belongs to root.",
        Shield.OMIT, _omitted),
    Ground("limits.minimum_mib", "The death of a process that holds less would not help, and the killer refuses it.",
        Shield.TOO_SMALL, applied_by="ranking.order.rank"),
    Ground("swapoff(8)",
        "While swap becomes smaller, root's swapoff dies before all others: as long as it runs, what was swapped out "
        "comes back to memory. The kernel does the same.",
        cause=Cause.TAKES_SWAP_AWAY, applied_by="ranking.swapoff.put_first"),
    Ground("victims.growth_percent",
        "Of those that are left the one that holds most dies first. What it gained in the last ten seconds counts "
        "again, and all that it holds counts three times if it gained more than all others together.",
        cause=Cause.GAINED, applied_by="ranking.order.rank"),
    Ground("forked copies",
        "Memory of which a forked child has a copy does not count where the process dies without the child: it stays.",
        cause=Cause.COPIED, moves=_copied),
    Ground("oom_score_adj",
        "It moves the place by thousandths of memory and swap, and by no more than victims.adj_percent of them.",
        cause=Cause.OOM_SCORE_ADJ, moves=_adjusted),
    Ground("victims.prefer", "A process that a rule in it matches dies sooner, by victims.prefer_points.",
        cause=Cause.PREFERRED, moves=_preferred),
    Ground("victims.avoid", "A process that a rule in it matches dies later, by victims.avoid_points.",
        cause=Cause.AVOIDED, moves=_avoided),
    Ground("victims.avoid_shipped",
        "A process that is listed under Avoided as shipped dies later, by as much.",
        cause=Cause.AVOIDED, moves=_avoided_as_shipped),
    Ground("ManagedOOMPreference=avoid",
        "A process of such a unit dies later, by as much. What several of these three ask for counts once.",
        cause=Cause.AVOIDED, moves=_avoided_by_systemd),
    Ground("relief_percent",
        "A process that holds less than this share of what is missing is left out where another holds as much. Its "
        "oom_score_adj never puts a process that can't end the shortage before one that can.",
        applied_by="deciding.worth_killing.worth_asking_for"),
    Ground("what runs away",
        "A process that runs away, and holds what is missing, dies before all that do not run away. Not where a rule "
        "of victims.prefer or an oom_score_adj of 500 or more wants the other first, or any wants this one later.",
        applied_by="deciding.worth_killing.in_their_turn"),
    Ground("user.oomd_avoid of the user's own",
        "A user can ask, by this attribute of a control group of their own (bustd notify does), that another process "
        "of theirs dies first, if that brings as much or all that is missing. It moves no process of another user.",
        applied_by="deciding.worth_killing.as_its_user_asks"),
    Ground("a second death",
        "Where a process has died within the last minute that did not take memory, another such process that holds "
        "less than half of what is missing is left out. Where something else fills memory, that is so until half of "
        "what it took is given back, and one more dies only at the last moment, and only if what it holds then lasts "
        "for half a minute; for each further one ten times as long.",
        applied_by="deciding.worth_killing.worth_a_second"),
    Ground("one of many hands",
        "Where no single process runs away, small processes of one parent or one name that gained more than all others "
        "together die as one, and count as one. A process that is spared or avoided is none of them.",
        applied_by="ranking.family_search.FamilySearch"),
    Ground("victims.scope",
        "The leader of the session does not die with the victim, nor does a process that is spared, nor one that is "
        "avoided where the victim is not: then the victim dies alone.",
        applied_by="ranking.together"),
)  # fmt: skip
"""Everything that decides what may die, in the order in which it counts: the first that spares a process decides."""

_SHIELDS = tuple([(row.shield, row.spares) for row in TABLE if row.shield is not None and row.spares is not None])
_MOVERS = tuple([row.moves for row in TABLE if row.moves is not None])
