"""`bustd explain PID`: whether one process could die now, what decides that, and what would have to change for it."""

import pytest

from bustd_monitor.cli.explain_one import standing
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.table import findings
from bustd_monitor.ranking.order import rank
from bustd_monitor.ranking.terms import Terms
from bustd_monitor.ranking.what_may_die import Shield
from bustd_monitor.reporting import one_process
from bustd_monitor.reporting.one_process import TO_DIE
from bustd_monitor.sensing.processes import Process
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, conditions, matchers, process, reading, victims

CONDITIONS = conditions(only="floor")
SHORT, PLENTY = reading(GIB), reading(8 * GIB)


def said(one: Process, *others: Process, rules=None, a_reading=SHORT, advice=None, **fields) -> list[str]:
    terms = Terms(rules or victims(), advice or Protection(), 16 * MIB, total_bytes=10 * GIB)._replace(**fields)
    ranking, found = rank([one, *others], terms), findings(Seen(a_reading), CONDITIONS)
    return one_process.lines(standing(one, ranking, terms, found, a_reading, CONDITIONS.floor))


def test_the_first_of_the_order_could_die_now_and_is_told_what_would_spare_it():
    assert said(process(1, held_bytes=2 * GIB), process(2)) == [
        "It could die now: it is number 1 of 2 in the order.",
        "No rule spares it or moves its place: what it holds is all that counts.",
        "No other process would die with it.",
        "It would get SIGTERM.",
        "What would have to change:",
        "  for it never to die: a rule in [protect] of killer.toml on its unit or user, which it can't forge",
        "  for it to die later: a rule in [victims.avoid] of bustd.toml",
    ]


def test_where_memory_is_not_short_it_could_not_die_now_and_its_place_is_told():
    first, *others = said(process(1), process(2, held_bytes=2 * GIB, comm=b"other"), a_reading=PLENTY)
    assert (
        first == "It could not die now, because no condition fires. If one did, it would be number 2 of 2 in the order."
    )
    assert "  for it to die: memory would have to be short, so that a condition fires" in others
    assert "  for it to die first: its badness would have to rise by 1024 MiB, to that of 2 (other)" in others


def test_everything_that_applies_is_told_in_the_order_in_which_it_counts_and_not_only_the_first():
    rules = victims(never=matchers(names=(b"leak",)), only=matchers(names=(b"x",)), avoid=matchers(uids=(1000,)))
    lines = said(process(oom_score_adj=-1000, held_bytes=MIB), rules=rules, advice=Protection(uids=(1000,)))
    assert lines[0] == "It could not die now, because of oom_score_adj = -1000."
    place = lines.index("What counts for it, in this order (bustd.toml(5), WHAT MAY DIE):")
    assert lines[place + 1 : place + 8] == [
        "  oom_score_adj = -1000 (spares it)",
        "  protect: uid 1000 (spares it)",
        "  victims.never: name leak (spares it)",
        "  victims.only (spares it)",
        "  limits.minimum_mib (spares it)",
        "  oom_score_adj -5120 MiB",
        "  victims.avoid: uid 1000 -3072 MiB",
    ]
    assert sum(line.startswith("  for it to die: ") for line in lines) == 5
    assert "  for it to die: it would have to hold 16 MiB" in lines


def test_what_moves_its_place_is_told_with_by_how_much():
    lines = said(process(1, comm=b"Xorg", oom_score_adj=100, gained_bytes=20 * MIB), process(2, gained_bytes=20 * MIB))
    assert "  victims.growth_percent: what it has gained recently counts again +20 MiB" in lines
    assert "  oom_score_adj +1024 MiB" in lines
    assert "  victims.avoid_shipped: shipped name Xorg -3072 MiB" in lines


def test_one_whose_death_would_not_help_enough_is_told_so():
    first, *_ = said(process(1, held_bytes=20 * MIB), process(2, held_bytes=4 * GIB))
    assert first == "It could not die now, although it is number 2 of 2 in the order: its death would not help enough."


def test_one_that_was_not_ranked_is_told_that_others_hold_more():
    terms = Terms(victims(), Protection(), 16 * MIB, total_bytes=10 * GIB)
    found, floor = findings(Seen(SHORT), CONDITIONS), CONDITIONS.floor
    one = standing(process(1), rank([process(2)], terms), terms, found, SHORT, floor)
    lines = one_process.lines(one)
    assert lines[0].startswith("It could not die now: others hold so much more")
    assert "  for it to die: it would have to grow, or a rule in [victims.prefer] would have to match it" in lines


def test_one_in_a_unit_that_dies_whole_dies_with_its_largest_process():
    unit = {"cgroup": "/system.slice/web.service", "whole": "/system.slice/web.service", "unit": "web.service"}
    lines = said(process(1, held_bytes=600 * MIB, **unit), process(2, **unit), rules=victims(scope="cgroup"))
    assert lines[0] == "It could die now: it is number 1 of 1 in the order."
    assert "With it would die the others in /system.slice/web.service (2 known)." in lines
    failed = "systemd counts web.service as failed, so Restart=on-failure brings it back"
    assert f"It would get SIGKILL; {failed}." in lines


def test_with_scope_group_its_process_group_dies_as_far_as_it_may():
    lines = said(process(), rules=victims(scope="group"))
    assert "With it would die the others of its process group, as far as they may." in lines


@pytest.mark.parametrize("shield", Shield)
def test_for_whatever_spares_a_process_there_is_something_that_would_have_to_change(shield):
    assert TO_DIE[shield]


def test_whatever_a_process_is_called_its_lines_are_printable():
    rules = victims(never=matchers(names=(b"\xff\n*",)))
    one, other = process(1, comm=b"\xff\n\x1b"), process(2, comm=b"\x1b\n", held_bytes=3 * GIB)
    assert all(line.isprintable() for line in said(one, other, rules=rules) + said(process(3), other))
