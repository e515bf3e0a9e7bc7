"""`bustd explain --json`: the same look for programs. bustd(1), JSON, lists the keys."""

from __future__ import annotations

from bustd_shared import __version__

from ..conditions.finding import Finding
from ..conditions.table import demands, rests_on, unable
from ..ranking.order import Candidate
from ..ranking.rule_matches import RuleMatch
from ..ranking.what_may_die import Spared
from ..reporting.one_process import Standing, could_it_die
from ..sensing.processes import Process
from ..sensing.reading import Reading
from .json_text import document, plain
from .look import Look
from .seen_now import state


def text(look: Look) -> str:
    """One object."""
    found = {finding.name: finding for finding in look.found}
    values: dict[str, object] = {
        "version": __version__,
        "watching": plain(look.watching),
        "dry_run": look.dry_run,
        "memory": memory(look.seen.reading, look.pressure_trouble),
        "conditions": [
            _condition(found[name], look) if name in found else {"name": name, "state": "off"}
            for name in look.conditions._fields
        ],
        "warnings": [plain(warning) for warning in look.warnings],
        "next_look_ms": look.next_look_ms,
        "fill_bytes_per_second": look.fill_per_second,
    }
    if look.standing is not None:
        values["process"] = _standing(look.standing)
    if look.pid is None:
        values["candidates"] = [_candidate(candidate) for candidate in look.candidates]
        values["left_out"] = [_left_out(spared) for spared in look.left_out]
        values["rules"] = [_match(match) for match in look.matches]
    return document(values)


def memory(reading: Reading, pressure_trouble: str = "") -> dict[str, object]:
    """The readings."""
    pressure = reading.pressure
    return {
        "ram_bytes": reading.ram,
        "total_bytes": reading.total,
        "available_bytes": reading.available,
        "free_bytes": reading.free,
        "swap_total_bytes": reading.swap_total,
        "swap_free_bytes": reading.swap_free,
        "swap_usable_bytes": reading.swap_usable,
        "tmpfs_bytes": reading.tmpfs,
        "huge_pages_bytes": reading.hugetlb,
        "psi_some_avg10": pressure.some_avg10 if pressure else None,
        "psi_full_avg10": pressure.full_avg10 if pressure else None,
        "psi_trouble": plain(pressure_trouble),
    }


def _condition(finding: Finding, look: Look) -> dict[str, object]:
    why_not = unable(finding.condition, look.seen, look.conditions, look.pressure_trouble)
    return {
        "name": finding.name,
        "state": "unable" if why_not else state(finding),
        "unable": plain(why_not),
        "signal": finding.signal.name,
        "headroom_bytes": finding.headroom,
        "demands": demands(finding.condition, look.seen.reading, look.conditions),
        "rests_on": plain(rests_on(finding.condition, look.seen, look.conditions)),
    }


def _process(process: Process) -> dict[str, object]:
    return {
        "pid": process.pid,
        "start_ticks": process.start_ticks,
        "comm": plain(process.comm),
        "uid": process.uid,
        "unit": plain(process.unit),
        "held_bytes": process.held_bytes,
        "gained_bytes": process.gained_bytes,
        "oom_score_adj": process.oom_score_adj,
    }


def _candidate(candidate: Candidate) -> dict[str, object]:
    """`comes_back_bytes`: what everything that dies with it holds together."""
    return _process(candidate.process) | {
        "badness_bytes": candidate.badness,
        "comes_back_bytes": candidate.held_bytes,
        "scope": candidate.scope.name.lower(),
        "moves": [
            {"cause": move.cause.name.lower(), "bytes": move.moved_bytes, "rule": plain(move.rule)}
            for move in candidate.moves
        ],
    }


def _left_out(spared: Spared) -> dict[str, object]:
    return _process(spared.process) | {"by": spared.shield.name.lower(), "rule": plain(spared.rule)}


def _match(match: RuleMatch) -> dict[str, object]:
    return {
        "key": match.rule.key,
        "rule": plain(match.rule.shown),
        "matched": match.matched,
        "held_bytes": match.held_bytes,
        "largest_pid": match.largest.pid if match.largest else None,
        "unjudged": match.unjudged,
    }


def _standing(standing: Standing) -> dict[str, object]:
    known: dict[str, object] = _process(standing.process)
    if standing.candidate is not None:
        known = _candidate(standing.candidate) | known
    return known | {
        "verdict": plain(could_it_die(standing)),
        "could_die": standing.could_die,
        "place": standing.place or None,
        "of": standing.of,
        "signal": standing.signal.name,
        "spared_by": [{"ground": one.ground.name, "rule": plain(one.rule)} for one in standing.spares],
    }
