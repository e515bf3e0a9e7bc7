"""What `bustd explain` finds out: it looks at this machine for a second, as the monitor would, and changes nothing."""

from __future__ import annotations

from typing import NamedTuple

from bustd_shared.rules.killer_toml import minimum_bytes

from ..conditions.finding import Finding, Seen
from ..conditions.killer_limits import limits_in
from ..conditions.table import Conditions, findings, killer_warnings
from ..config import Sleep
from ..deciding.pace import is_quiet, sleep_ms
from ..deciding.worth_killing import in_their_turn, needed_bytes
from ..ranking.order import Candidate, Ranking
from ..ranking.rule_matches import RuleMatch
from ..ranking.search import CandidateSearch
from ..ranking.terms import Rules, Terms, terms_at
from ..ranking.what_may_die import Shield, Spared
from ..reporting import sentences
from ..reporting.one_process import Standing
from ..sensing.cgroup_sensor import watch
from ..sensing.fill_rate import FillRate
from ..sensing.other_daemons import other_daemons
from ..sensing.process_table import ProcessTable, of_this_machine
from ..sensing.reading import Reading
from . import explain_one, rules_now
from .options import Settings
from .seen_now import now_ms, read, seen_in_a_second

_MENTIONABLE_BYTES = 2**20


class Look(NamedTuple):
    """All that was found. `watching`: what is watched and why, a clause. `pressure_trouble`: why there is no PSI.

    `pid`: the one process that was asked for, None if none was; `standing`: what is known of it, None if there is none
    or it never dies. `candidates`: the first to die first. `left_out`: those of a rule first, the largest first.
    `matches`: what each rule matches. `fill_per_second`: see deciding.pace, and `fill_why` where it comes from.
    """

    watching: str
    dry_run: bool
    conditions: Conditions
    seen: Seen
    found: tuple[Finding, ...]
    pressure_trouble: str
    warnings: tuple[str, ...]
    next_look_ms: int
    fill_per_second: int
    fill_why: str
    candidates: tuple[Candidate, ...]
    left_out: tuple[Spared, ...]
    matches: tuple[RuleMatch, ...]
    pid: int | None = None
    standing: Standing | None = None


def look(settings: Settings, pid: int | None) -> Look:
    """Everything, and of `pid` its standing. Raises Unreadable."""
    arguments, killer, monitor = settings.arguments, settings.killer, settings.monitor
    place = watch(monitor.cgroup)
    sensor, conditions = place.sensor, monitor.conditions
    table = of_this_machine(
        only_uid=arguments.only_uid, only_descendants_of=arguments.only_descendants_of, group=place.group
    )
    try:
        search = CandidateSearch(table)
        first = read(sensor)
        rules = Rules(monitor.victims, settings.protection, minimum_bytes(first.ram, killer), arguments.only_uid)
        search.watch(terms_at(first, rules), now_ms())  # to see what grows in that second
        seen = seen_in_a_second(sensor, conditions)
        reading = seen.reading
        found = findings(seen, conditions)
        fill_per_second, fill_why = _fill_rate(found, reading, monitor.sleep)
        terms = terms_at(reading, rules)._replace(needed_bytes=needed_bytes(reading, conditions.floor))
        search.watch(terms, now_ms())
        ranking = search.rank(terms, frozenset(), now_ms())
        apart = "" if arguments.cgroup else sentences.watching_apart(monitor.cgroup, killer.cgroup)
        others = sentences.beside(other_daemons())
        return Look(
            place.why,
            monitor.dry_run,
            conditions,
            seen,
            found,
            sensor.pressure_trouble,
            (*killer_warnings(conditions, limits_in(killer)), *(doubt for doubt in (apart, others) if doubt)),
            sleep_ms(found, monitor.sleep, fill_per_second),
            fill_per_second,
            fill_why,
            in_their_turn(ranking.candidates, reading, conditions.floor),
            left_out_in_order(ranking),
            () if pid is not None else tuple(rules_now.matches(monitor.victims, killer, table)),
            pid,
            None if pid is None else _standing(pid, table, ranking, terms, found, seen, conditions),
        )
    finally:
        sensor.close()
        table.close()


def _fill_rate(found: tuple[Finding, ...], reading: Reading, sleep: Sleep) -> tuple[int, str]:
    """Bytes a second, and why. With PSI the monitor is taken to have triggers. In a shortage nothing is measured."""
    rate, configured_mib, has_psi = FillRate(), sleep.fill_mib_per_second, reading.pressure is not None
    why = "set by sleep.fill_mib_per_second" if configured_mib else "not measured while memory is short"
    if is_quiet(found, reading.pressure) and rate.measure_when_due(0, configured_mib, has_triggers=has_psi):
        why = "measured"
    return rate.per_second(configured_mib, has_triggers=has_psi), why


def _standing(
    pid: int,
    table: ProcessTable,
    ranking: Ranking,
    terms: Terms,
    found: tuple[Finding, ...],
    seen: Seen,
    conditions: Conditions,
) -> Standing | None:
    process = explain_one.read(pid, table)
    if process is None:
        return None
    return explain_one.standing(process, ranking, terms, found, seen.reading, conditions.floor)


def left_out_in_order(ranking: Ranking) -> tuple[Spared, ...]:
    """What a rule leaves out is news to the person who wrote it; that a small process is small is not."""
    spared = [left for left in ranking.spared if left.process.held_bytes >= _MENTIONABLE_BYTES]
    return tuple(sorted(spared, key=lambda left: (left.shield is Shield.TOO_SMALL, -left.process.held_bytes)))
