"""`bustd explain`: what would it do, and why? Reads, shows, and kills nothing."""

from __future__ import annotations

import argparse
import os
import sys

from bustd_shared.daemon.log import printable
from bustd_shared.rules.killer_toml import minimum_bytes

from ..conditions.killer_limits import limits_in
from ..conditions.table import demands, findings, killer_warnings, rests_on
from ..deciding.pace import sleep_ms
from ..deciding.worth_killing import in_their_turn, needed_bytes
from ..ranking.order import Ranking
from ..ranking.search import CandidateSearch
from ..ranking.terms import Rules, terms_at
from ..reporting import reasons, sentences
from ..reporting.describe import describe
from ..sensing.cgroup_sensor import watch
from ..sensing.process_table import of_this_machine
from ..sensing.sensor import Unreadable
from . import explain_one, rules_now
from . import options as cli_options
from .seen_now import now_ms, read, seen_in_a_second

_SHOWN = 10


def explain(options: argparse.Namespace) -> int:
    """Exit code 0; 69 where the machine, or the process of this PID, can't be read, 78 where a file is wrong."""
    settings = cli_options.load(options)
    if settings is None:
        return os.EX_CONFIG
    arguments, killer = settings.arguments, settings.killer
    try:
        place = watch(settings.monitor.cgroup)
        sensor = place.sensor
        table = of_this_machine(
            only_uid=arguments.only_uid, only_descendants_of=arguments.only_descendants_of, group=place.group
        )
        search = CandidateSearch(table)
        first = read(sensor)
        minimum = minimum_bytes(first.ram, killer)
        rules = Rules(settings.monitor.victims, settings.protection, minimum, arguments.only_uid)
        search.watch(terms_at(first, rules), now_ms())  # to see what grows in that second
        seen = seen_in_a_second(sensor, settings.monitor.conditions)
        sensor.close()
    except Unreadable as error:
        sys.stderr.write(f"bustd: {error}\n")
        return os.EX_UNAVAILABLE
    conditions, reading = settings.monitor.conditions, seen.reading
    print(f"{place.why[0].upper()}{place.why[1:]}")
    if settings.monitor.dry_run:
        print(f"{sentences.DRY_RUN[0].upper()}{sentences.DRY_RUN[1:]}")
    print(f"Now: {sentences.readings(reading)}")
    print(
        f"No death frees what is in a tmpfs ({sentences.size(reading.tmpfs)}) and huge pages "
        f"({sentences.size(reading.hugetlb)})"
    )
    if sensor.pressure_trouble:
        print(f"No PSI: {sensor.pressure_trouble}")
    print("\nConditions:")
    found = findings(seen, conditions)
    for finding in found:
        state = f"FIRES, SIG{finding.signal.name}" if finding.fires else "scarce" if finding.is_scarce else "quiet"
        print(f"  {finding.name:9} {state}: {demands(finding.condition, reading, conditions)}")
        if not finding.is_scarce:
            print(f"            {sentences.size(finding.headroom)} away")
        grounds = rests_on(finding.condition, seen, conditions)
        if grounds:
            print(f"            {grounds}")
    for name in conditions._fields:
        if name not in [finding.name for finding in found]:
            print(f"  {name:9} off")
    warnings = killer_warnings(conditions, limits_in(killer))
    apart = "" if arguments.cgroup else sentences.watching_apart(settings.monitor.cgroup, killer.cgroup)
    for warning in [*warnings, *([apart] if apart else [])]:
        print(f"  warning: {warning}")
    print(f"  the next look would be in {sleep_ms(found, settings.monitor.sleep)} ms, or when PSI says so")
    terms = terms_at(reading, rules)._replace(needed_bytes=needed_bytes(reading, conditions.floor))
    search.watch(terms, now_ms())
    ranking = search.rank(terms, frozenset(), now_ms())
    is_shown = True
    if options.pid is not None:
        print()
        floor = conditions.floor
        is_shown = explain_one.show(
            options.pid, table, lambda process: explain_one.standing(process, ranking, terms, found, reading, floor)
        )
    else:
        order = in_their_turn(ranking.candidates, reading, conditions.floor)
        _show_ranking(ranking._replace(candidates=order))
        print()
        rules_now.show(settings.monitor.victims, killer, table)
    table.close()
    return os.EX_OK if is_shown else os.EX_UNAVAILABLE


def _show_ranking(ranking: Ranking) -> None:
    print(f"\nThe {_SHOWN} most likely victims, the first to die first:")
    for place, candidate in enumerate(ranking.candidates[:_SHOWN], 1):
        process = candidate.process
        print(
            f"  {place:2}. {process.pid} ({printable(process.comm)}) holding {sentences.size(process.held_bytes)}, "
            f"unit {process.unit or 'none'}: {reasons.place(candidate)}"
        )
        print(f"      {describe(process.pid)}")
    if not ranking.candidates:
        print("  none: no process may be killed whose death would help")
    spared = [left for left in ranking.spared if left.process.held_bytes >= 2**20]
    spared.sort(key=lambda left: left.process.held_bytes, reverse=True)
    if spared:
        print("\nLeft out:")
        for left in spared[:_SHOWN]:
            process, held = left.process, sentences.size(left.process.held_bytes)
            print(f"  {process.pid} ({printable(process.comm)}), {held}: {reasons.left_out(left)}")
