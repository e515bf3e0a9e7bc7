"""Why a process has its place in the order, or none: in words."""

from __future__ import annotations

from bustd_monitor.amounts import size
from bustd_protocol.messages import Scope, Signal
from bustd_shared.daemon.log import printable

from ..ranking.order import Candidate
from ..ranking.what_may_die import Cause, Move, Shield, Spared


def place(candidate: Candidate) -> str:
    """What its death gives back, and what moves it up or down from there."""
    if candidate.family is not None:
        first = f"one of {members(candidate)}, that die as one"
        return ", ".join([first, *(_moved(move, candidate) for move in candidate.moves)])
    whole = candidate.process.whole
    where = f" in {printable(whole)} ({candidate.known} known)" if candidate.scope is Scope.CGROUP else ""
    stubborn = " and can't be ended by SIGTERM" if candidate.process.ignores_sigterm else ""
    twins = _together_with(candidate.process.twins)
    return ", ".join(
        [
            f"holds {size(candidate.held_bytes)}{where}{twins}{stubborn}",
            *_gained(candidate),
            *(_moved(move, candidate) for move in candidate.moves),
        ]
    )


def _together_with(twins: tuple[tuple[int, int], ...]) -> str:
    if not twins:
        return ""
    others = f" and {len(twins) - 1} more that have the same memory" if len(twins) > 1 else ""
    return f" together with {twins[0][0]}{others}"


def ending(candidate: Candidate, signal: Signal) -> str:
    """What systemd makes of the end of the service that ends with it; "" if none does."""
    if not candidate.service:
        return ""
    service = printable(candidate.service)
    if signal is Signal.KILL:
        return f"systemd counts {service} as failed, so Restart=on-failure brings it back"
    return f"systemd counts {service} as ended well, so Restart=on-failure does not bring it back"


def members(candidate: Candidate) -> str:
    """A family in words: how many, of which name or parent, what they hold together, and what else dies with them."""
    family = candidate.family
    assert family is not None, "only of a candidate that dies with its family"
    kinship, parent = family.kinship, printable(family.parent_comm) or "a parent"
    whose = f" of {parent} (PID {kinship.parent})" if kinship.parent else ""
    what = f"{candidate.known} processes named {printable(kinship.comm)}{whose}"
    count = len(family.others) + 1
    also = " and the parent, which forks them again" if count > candidate.known else ""
    whole = candidate.process.whole if candidate.scope is Scope.CGROUP else "their process group"
    rest = f", and everything else in {printable(whole)}" if family.is_whole else ""
    return f"{what}{also}, {size(candidate.held_bytes)} together{rest}"


def left_out(spared: Spared) -> str:
    """Why it is no candidate."""
    return _LEFT_OUT[spared.shield] + printable(spared.rule)


_LEFT_OUT = {
    Shield.OOM_SCORE_ADJ: "oom_score_adj -1000",
    Shield.OTHER_USER: "another user's",
    Shield.KILLER_TOML: "protected by killer.toml: ",
    Shield.NEVER: "never: ",
    Shield.UNJUDGED: "never could not be judged: its command line ",
    Shield.OUTSIDE_ONLY: "not matched by victims.only",
    Shield.OMIT: "ManagedOOMPreference=omit",
    Shield.TOO_SMALL: "its death would not help",
}
_MOVED_BY = {
    Cause.RUNS_AWAY: "runaway bonus",
    Cause.RUNS_AWAY_WITH_UNIT: "bonus of a runaway unit",
    Cause.TAKES_SWAP_AWAY: "takes away swap in use",
    Cause.GAINED: "gained recently",
    Cause.COPIED: "copied by a child",
    Cause.PREFERRED: "preferred by ",
    Cause.AVOIDED: "avoided by ",
}


def _gained(candidate: Candidate) -> list[str]:
    """What a runaway has gained, beside its bonus: of others that is the bonus."""
    has_bonus = any(move.cause in (Cause.RUNS_AWAY, Cause.RUNS_AWAY_WITH_UNIT) for move in candidate.moves)
    gained = candidate.process.gained_bytes
    return [f"gained {size(gained)} recently"] if has_bonus and gained else []


def _moved(move: Move, candidate: Candidate) -> str:
    adj = f"oom_score_adj {candidate.process.oom_score_adj}"
    cause = adj if move.cause is Cause.OOM_SCORE_ADJ else _MOVED_BY[move.cause] + printable(move.rule)
    return f"{cause} {'-' if move.moved_bytes < 0 else '+'}{size(abs(move.moved_bytes))}"
