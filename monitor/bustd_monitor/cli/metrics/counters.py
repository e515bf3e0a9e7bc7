"""What is counted in the monitor's events: kills, refusals, and how long the killer's answer took.

Every series is there from the beginning, with 0: what appears with its first kill has not grown, to a server. Labels
have values of closed sets only: what is in none of them counts as "unknown".
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from bustd_protocol.messages import Fate, Outcome, Reason, Signal, outcome_of

from ...conditions.table import BY_NAME
from ...reporting.events import ANSWERED, DECIDED, ENDED, LIVES
from ..entries import Entry
from ..kills import SIGNALLED
from .exposition import COUNTER, HISTOGRAM, MetricFamily, Samples, series

KILLS, REFUSALS, REACTION = "bustd_kills_total", "bustd_refusals_total", "bustd_reaction_seconds"
UNKNOWN = "unknown"
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_LONGEST_US = 60_000_000
"""A longer time, or one below 0, is that of a clock that was set meanwhile."""
_SENT = "_SOURCE_REALTIME_TIMESTAMP"
"""When an entry was sent; journald itself may have been slow."""

_CONDITIONS = tuple(BY_NAME)
_SIGNALS = tuple(one.name for one in Signal)
_FATES = tuple(one.name.lower() for one in Fate)
_REFUSED = tuple(one.name.lower() for one in Outcome if one in (Outcome.REFUSED, Outcome.FAILED))
_REASONS = tuple(one.name.lower() for one in Reason if outcome_of(one) in (Outcome.REFUSED, Outcome.FAILED))
_SUM, _COUNT = f"{REACTION}_sum", f"{REACTION}_count"

Counts = dict[str, float]
"""By the name of the series."""


def nothing_yet() -> Counts:
    """Every series that there can be, with 0."""
    kinds = [(condition, signal) for condition in _CONDITIONS for signal in _SIGNALS]
    kills = [_kill(*kind, fate) for kind in [*kinds, (UNKNOWN, UNKNOWN)] for fate in _FATES]
    kills.append(_kill(UNKNOWN, UNKNOWN, UNKNOWN))
    refusals = [_refusal(reason) for reason in (*_REASONS, UNKNOWN)]
    reaction = [*(_bucket(bound) for bound in (*BOUNDS_S, math.inf)), _SUM, _COUNT]
    return dict.fromkeys([*kills, *refusals, *reaction], 0.0)


def counted(entries: Iterable[Entry], before: Mapping[str, float] | None = None) -> Counts:
    """What was counted `before`, and what these events add to it."""
    counts = nothing_yet()
    for name, value in (before or {}).items():
        if name in counts and 0 <= value < math.inf:
            counts[name] = value
    decided: dict[int | None, Entry] = {}
    for entry in entries:
        kind, pid = entry.kind, entry.own_number("VICTIM_PID")
        if kind is DECIDED and entry.own_number("DECIDED_US") is not None:
            decided = {pid: entry}
        elif kind is ANSWERED and entry.own("OUTCOME") in _REFUSED:
            counts[_refusal(entry.own("REASON"))] += 1
        elif kind is ANSWERED and entry.own("OUTCOME") == SIGNALLED:
            _react(counts, reaction_us(decided.pop(pid, None), entry))
        elif kind in (ENDED, LIVES):
            counts[_kill(entry.own("CONDITION"), entry.own("SIGNAL"), entry.own("OUTCOME"))] += 1
    return counts


def reaction_us(decision: Entry | None, answer: Entry) -> int | None:
    """From the beginning of the ranking to the answer that the signal was sent, in microseconds; None: not known."""
    took_us = decision.own_number("DECIDED_US") if decision is not None else None
    if decision is None or took_us is None:
        return None
    for clock in (_SENT, "__MONOTONIC_TIMESTAMP"):
        asked_us, answered_us = decision.number(clock), answer.number(clock)
        if asked_us is not None and answered_us is not None:
            reaction = took_us + answered_us - asked_us
            return reaction if asked_us <= answered_us and reaction <= _LONGEST_US else None
    return None


def families(counts: Samples) -> list[MetricFamily]:
    """The counts as a server is told them."""

    def of(name: str) -> Samples:
        return {one: value for one, value in counts.items() if one.partition("{")[0] in (name, *_parts(name))}

    return [
        MetricFamily(
            KILLS, COUNTER, "Kills that have ended, by what fired, what was sent, and how it ended.", of(KILLS)
        ),
        MetricFamily(REFUSALS, COUNTER, "Requests that the killer has refused or could not carry out.", of(REFUSALS)),
        MetricFamily(
            REACTION, HISTOGRAM, "From the ranking to the killer's word that the signal is sent.", of(REACTION)
        ),
    ]


def _react(counts: Counts, took_us: int | None) -> None:
    if took_us is None:
        return
    took_s = took_us / 1e6
    for bound in (*BOUNDS_S, math.inf):
        counts[_bucket(bound)] += took_s <= bound
    counts[_SUM] += took_s
    counts[_COUNT] += 1


def _kill(condition: str, signal: str, outcome: str) -> str:
    if outcome not in _FATES:
        outcome = condition = UNKNOWN
    if condition not in _CONDITIONS or signal not in _SIGNALS:
        condition = signal = UNKNOWN
    return series(KILLS, condition=condition, signal=signal, outcome=outcome)


def _refusal(reason: str) -> str:
    return series(REFUSALS, reason=reason if reason in _REASONS else UNKNOWN)


def _bucket(bound: float) -> str:
    return series(f"{REACTION}_bucket", le="+Inf" if math.isinf(bound) else f"{bound:g}")


def _parts(name: str) -> tuple[str, ...]:
    return (f"{name}_bucket", f"{name}_sum", f"{name}_count")
