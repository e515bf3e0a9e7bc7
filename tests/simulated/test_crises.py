"""The random crises and their judges, a few of each: `make bench ARGS="--only crises"` has thousands."""

import itertools

from tests.bench import crises as bench

from .crises import KINDS, crisis
from .judging import Outcome, under, under_bustd
from .machine import Machine
from .memory import GIB, MIB
from .policies import OTHERS, control_group, largest_score
from .processes import Plan, ramp
from .scenes import furnished

SEED = bench.SEED


def of_kind(kind, count):
    """The numbers of the first crises of this kind."""
    return list(itertools.islice((number for number in range(1000) if crisis(SEED, number).kind == kind), count))


def test_a_crisis_is_the_same_whenever_it_is_made():
    for number in (3, 12, 13):
        assert under_bustd(crisis(SEED, number)) == under_bustd(crisis(SEED, number))


def test_another_seed_is_another_crisis():
    assert crisis(1, 5).machine.ram != crisis(2, 5).machine.ram


def test_every_kind_comes_and_machines_are_small_and_large_with_and_without_swap():
    made = [crisis(SEED, number) for number in range(100)]
    assert {one.kind for one in made} == set(KINDS)
    assert {one.swap for one in made} == {"none", "disk", "zram"}
    assert min(one.machine.ram for one in made) < GIB
    assert max(one.machine.ram for one in made) > 32 * GIB


def test_where_nothing_runs_away_nothing_dies():
    assert [under_bustd(crisis(SEED, number)).innocents for number in of_kind("none", 6)] == [0] * 6


def test_in_these_crises_no_innocent_dies_and_no_culprit_lives():
    outcomes = [under_bustd(crisis(SEED, number)) for number in range(5, 13)]
    assert not bench.failed(outcomes)


def test_most_leaks_of_private_memory_cost_no_innocent():
    outcomes = [under_bustd(crisis(SEED, number)) for number in of_kind("private", 6)]
    assert not any(one.is_late for one in outcomes)
    assert sum(one.innocents > 0 for one in outcomes) <= 3


def leaking() -> Machine:
    machine = furnished(Machine(2 * GIB, swap=GIB, cache=50 * MIB))
    machine.start(Plan("large", 900 * MIB))
    machine.start(Plan("preferred", 200 * MIB, adj=800))
    machine.start(Plan("leak", ramp(200 * MIB), busy=0.5))
    return machine


def test_without_a_daemon_the_kernel_kills_and_is_late_by_definition():
    outcome = under(OTHERS[-1], crisis(SEED, 13))
    assert outcome.is_kernel_first
    assert outcome.is_late


def test_earlyooms_policy_waits_for_swap_and_takes_the_largest_score():
    machine = leaking()
    machine.advance(60, lambda: machine.available < 0.05 * machine.ram)
    assert largest_score(machine) is None
    machine.advance(60, lambda: machine.swap_free < 0.09 * machine.swap_total)
    kill = largest_score(machine)
    assert kill is not None
    assert [process.plan.name for process in kill.processes] == ["preferred"]


def test_the_policy_of_systemd_oomd_takes_a_whole_group_for_its_swap():
    machine = leaking()
    for number in range(2):
        machine.start(Plan(f"tab-{number}", 100 * MIB, group="/user.slice/app-browser.scope"))
    browser = machine.hierarchy.at("/user.slice/app-browser.scope")
    machine.advance(60, lambda: machine.swap_free < 0.1 * machine.swap_total)
    for process in machine.living():
        if process.group is browser:
            process.space.private.swapped, process.space.private.resident = GIB, 0.0
    kill = control_group(machine)
    assert kill is not None
    assert {process.plan.name for process in kill.processes} == {"tab-0", "tab-1"}


def test_the_table_has_a_line_for_each_policy_and_judges_that_of_bustd():
    figures = {figure.key: figure for figure in bench.figures(bench.judged(range(11, 14)))}
    for name in (bench.BUSTD, *(policy.name for policy in OTHERS)):
        assert figures[f"innocents_{name}"].samples == 3
        assert f"late_{name}" in figures
        assert (figures[f"innocents_{name}"].is_met is None) == (name != bench.BUSTD)


def test_the_crises_that_failed_are_named_by_their_numbers():
    good, bad = (Outcome(number, "hands", "none", number, False, False, 0.0) for number in range(2))
    assert bench.failed([good, bad]) == "hands, swap none: innocents: 1, [1]"
