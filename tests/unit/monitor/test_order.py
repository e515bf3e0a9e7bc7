"""The order in which processes would die, and who is left out and why."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.ranking.order import Candidate, Ranking, Terms, rank
from bustd_monitor.ranking.settings import Victims
from bustd_monitor.ranking.what_may_die import Cause, Move, Shield, Spared, protection
from bustd_monitor.sensing.preferences import AVOID, OMIT
from bustd_monitor.sensing.processes import TOO_LONG
from bustd_protocol.messages import Scope
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, matchers, process, victims

RULES = victims(
    prefer=matchers(names=(b"test*",)), avoid=matchers(uids=(26,)), never=matchers(commands=("*--precious*",))
)


PREFERRED, AVOIDED = Move(Cause.PREFERRED, 3072, "name test*"), Move(Cause.AVOIDED, -3072, "uid 26")
"""In MiB."""


def terms(
    rules: Victims | None = None,
    *,
    advice: Protection | None = None,
    minimum_bytes: int = 16 * MIB,
    only_uid: int = -1,
    total_bytes: int = 10 * GIB,
    filled_bytes: int = 0,
) -> Terms:
    return Terms(rules or victims(), advice or Protection(), minimum_bytes, only_uid, total_bytes, 0, filled_bytes)


def order(*processes, **how) -> list[int]:
    return [chosen.process.pid for chosen in rank(list(processes), terms(**how)).candidates]


def old_and_leak(*, older: int, leak: int, gained: int, older_gained: int = 0):
    """PID 1 is the older, PID 2 the leak; in MiB."""
    return (
        process(1, held_bytes=older * MIB, gained_bytes=older_gained * MIB),
        process(2, held_bytes=leak * MIB, gained_bytes=gained * MIB),
    )


def test_who_holds_most_dies_first():
    assert order(process(1, held_bytes=GIB), process(2, held_bytes=3 * GIB), process(3, held_bytes=2 * GIB)) == [
        2,
        3,
        1,
    ]


def test_of_those_that_hold_the_same_the_kernels_score_decides():
    assert order(process(1, oom_score=5), process(2, oom_score=900), process(3, oom_score=70)) == [2, 3, 1]


def test_of_equals_in_everything_the_order_stays_as_it_was():
    assert order(process(3), process(1), process(2)) == [3, 1, 2]


def test_oom_score_adj_moves_by_thousandths_of_memory_and_swap():
    small = process(1, held_bytes=GIB, oom_score_adj=300)
    assert order(small, process(2, held_bytes=4 * GIB - 1)) == [1, 2]
    assert order(small, process(2, held_bytes=4 * GIB + MIB)) == [2, 1]
    assert order(process(1, held_bytes=5 * GIB, oom_score_adj=-500), process(2, held_bytes=GIB)) == [2, 1]


# Growth


def test_bytes_gained_of_late_count_again():
    others = [process(pid, held_bytes=100 * MIB, gained_bytes=100 * MIB) for pid in range(10, 14)]
    assert order(*old_and_leak(older=500, leak=400, gained=150), *others)[0] == 2
    assert order(*old_and_leak(older=500, leak=400, gained=90), *others)[0] == 1


def test_one_that_runs_away_dies_before_another_of_up_to_three_times_its_size_although_it_is_slow():
    for gained in (20, 60, 400):
        assert order(*old_and_leak(older=600, leak=400, gained=gained)) == [2, 1]
        assert order(*old_and_leak(older=1190, leak=400, gained=gained)) == [2, 1]
        assert order(*old_and_leak(older=1210, leak=400, gained=gained)) == [1, 2]


def test_a_large_one_that_grows_a_little_does_not_die_for_a_smaller_one_that_runs_away():
    assert order(*old_and_leak(older=700, leak=400, gained=200, older_gained=20)) == [2, 1]


def test_of_sixteen_that_start_at_once_none_runs_away():
    build = [process(pid, held_bytes=60 * MIB, gained_bytes=60 * MIB) for pid in range(10, 26)]
    ranking = rank([process(1, held_bytes=200 * MIB), *build], terms())
    assert ranking.candidates[0].process.pid == 1
    assert [one.badness for one in ranking.candidates[1:]] == [120 * MIB] * 16


def test_a_build_runs_away_as_a_whole_and_its_largest_dies_before_a_larger_idle_program():
    build = [
        process(pid, held_bytes=(40 + pid) * MIB, gained_bytes=10 * MIB, cgroup="/build.service")
        for pid in range(10, 26)
    ]
    idle = process(1, held_bytes=190 * MIB, cgroup="/db.service")
    ranking = rank([idle, *build], terms(filled_bytes=170 * MIB))
    assert [one.process.pid for one in ranking.candidates[:3]] == [25, 24, 1]
    assert ranking.candidates[0].moves == (Move(Cause.RUNS_AWAY_WITH_UNIT, 130 * MIB),)
    assert rank([idle, *build], terms(filled_bytes=400 * MIB)).candidates[0].process.pid == 1, "a tmpfs, perhaps"


def test_one_who_hardly_grows_does_not_run_away_with_the_others_of_his_unit():
    grows = [process(pid, held_bytes=64 * MIB, gained_bytes=30 * MIB, cgroup="/shell.scope") for pid in (10, 11)]
    still = process(1, held_bytes=160 * MIB, gained_bytes=9 * MIB, cgroup="/shell.scope")
    assert order(still, *grows) == [10, 11, 1]
    assert order(still._replace(gained_bytes=10 * MIB), *grows) == [1, 10, 11]


def test_those_without_a_control_group_that_is_known_do_not_run_away_together():
    build = [process(pid, held_bytes=64 * MIB, gained_bytes=30 * MIB) for pid in range(10, 16)]
    assert order(process(1, held_bytes=100 * MIB), *build)[0] == 1


def test_one_that_was_only_just_started_and_is_the_largest_dies():
    assert order(process(1, held_bytes=300 * MIB), process(2, held_bytes=400 * MIB, gained_bytes=400 * MIB)) == [2, 1]


def test_nobody_runs_away_when_something_else_fills_memory():
    leak = old_and_leak(older=600, leak=400, gained=60)
    assert order(*leak, filled_bytes=100 * MIB) == [2, 1]
    assert order(*leak, filled_bytes=200 * MIB) == [1, 2], "a tmpfs, perhaps"


def test_a_gain_that_would_not_help_is_none_to_run_away_with():
    assert order(*old_and_leak(older=600, leak=400, gained=16)) == [1, 2]
    assert order(*old_and_leak(older=600, leak=400, gained=17)) == [2, 1]


def test_growth_can_be_switched_off_and_can_count_more():
    leak = old_and_leak(older=600, leak=400, gained=300)
    assert order(*leak, rules=victims(growth_percent=0)) == [1, 2]
    assert order(*old_and_leak(older=1300, leak=400, gained=300)) == [1, 2]
    assert order(*old_and_leak(older=1300, leak=400, gained=300), rules=victims(growth_percent=200)) == [2, 1]


# Rules


def test_a_preference_makes_up_for_300_thousandths():
    assert order(process(1, held_bytes=4 * GIB - 1), process(2, comm=b"test1"), rules=RULES) == [2, 1]
    assert order(process(1, held_bytes=4 * GIB + 1), process(2, comm=b"test1"), rules=RULES) == [1, 2]


def test_one_that_is_avoided_falls_behind_by_300_thousandths_and_can_still_die():
    assert order(process(1, uid=26, held_bytes=4 * GIB - 1), process(2), rules=RULES) == [2, 1]
    assert order(process(1, uid=26, held_bytes=4 * GIB + 1), process(2), rules=RULES) == [1, 2]
    assert order(process(1, uid=26), rules=RULES) == [1]


def test_the_points_can_be_moved():
    strong = RULES._replace(prefer_points=1000, avoid_points=0)
    assert order(process(1, held_bytes=9 * GIB, uid=26), process(2, comm=b"test1"), rules=strong) == [2, 1]
    (avoided,) = rank([process(1, uid=26)], terms(strong)).candidates
    assert avoided.badness == GIB


@pytest.mark.parametrize(
    ("changed", "badness", "moves"),
    [
        ({}, 1024, []),
        ({"gained_bytes": 10 * MIB}, 1034, [Move(Cause.GAINED, 10)]),
        ({"gained_bytes": 100 * MIB}, 3072, [Move(Cause.RUNS_AWAY, 2048)]),
        ({"oom_score_adj": 200}, 3072, [Move(Cause.OOM_SCORE_ADJ, 2048)]),
        ({"comm": b"test1"}, 4096, [PREFERRED]),
        ({"uid": 26}, -2048, [AVOIDED]),
        (
            {"comm": b"test1", "uid": 26, "oom_score_adj": -100},
            0,
            [Move(Cause.OOM_SCORE_ADJ, -1024), PREFERRED, AVOIDED],
        ),
    ],
)
def test_the_reason_for_a_place_is_known(changed, badness, moves):
    (chosen,) = rank([process(**changed)], terms(RULES)).candidates
    in_mib = [move._replace(moved_bytes=move.moved_bytes // MIB) for move in chosen.moves]
    assert (chosen.badness // MIB, in_mib) == (badness, moves)
    assert chosen.badness == chosen.held_bytes + sum(move.moved_bytes for move in chosen.moves)


@pytest.mark.parametrize(
    ("changed", "shield", "rule"),
    [
        ({"oom_score_adj": -1000}, Shield.OOM_SCORE_ADJ, ""),
        ({"oom_score_adj": -999}, None, ""),
        ({"unit": "sshd.service"}, Shield.KILLER_TOML, "unit sshd.service"),
        ({"command": "db --precious"}, Shield.NEVER, "command *--precious*"),
        ({"held_bytes": 16 * MIB - 1}, Shield.TOO_SMALL, ""),
        ({"held_bytes": 16 * MIB}, None, ""),
        ({"comm": b"test1"}, None, ""),
        ({"uid": 26}, None, ""),
    ],
)
def test_of_a_process_that_is_left_out_the_reason_is_known(changed, shield, rule):
    some = terms(RULES, advice=Protection(units=("sshd.service",)))
    one = process(**changed)
    ranking = rank([one], some)
    assert ranking.spared == ((Spared(one, shield, rule),) if shield else ())
    assert [chosen.process for chosen in ranking.candidates] == ([] if shield else [one])


def left_out(rules: Victims, **changed) -> Spared | None:
    return next(iter(rank([process(**changed)], terms(rules)).spared), None)


def test_a_never_that_can_not_be_judged_spares_and_the_reason_is_known():
    unread = {"command": "java -cp", "command_trouble": TOO_LONG}
    one = left_out(victims(never=matchers(commands=("*DataNode",))), **unread)
    assert one is not None
    assert one[1:] == (Shield.UNJUDGED, TOO_LONG)
    assert left_out(victims(never=matchers(commands=("python*",))), **unread) is None
    assert left_out(victims(never=matchers(names=(b"x",)), prefer=matchers(commands=("*",))), **unread) is None
    one = left_out(victims(never=matchers(commands=("*DataNode", "java*"))), **unread)
    assert one is not None
    assert one[1:] == (Shield.NEVER, "command java*")


def test_where_there_is_a_rule_in_only_no_other_process_than_it_matches_is_a_candidate():
    rules = victims(only=matchers(names=(b"build*",), cgroups=("*/ci.service",)))
    some = [process(1), process(2, comm=b"build1"), process(3, cgroup="/system.slice/ci.service/7")]
    ranking = rank(some, terms(rules))
    assert sorted(chosen.process.pid for chosen in ranking.candidates) == [2, 3]
    assert ranking.spared == (Spared(some[0], Shield.OUTSIDE_ONLY),)


def test_never_counts_before_only():
    one = left_out(victims(only=matchers(names=(b"leak",)), never=matchers(names=(b"leak",))))
    assert one is not None
    assert one.shield is Shield.NEVER


def test_an_ordinary_users_monitor_leaves_others_alone():
    for own, other in ((1000, 1001), (0, 1000)):
        assert protection(process(uid=own), terms(only_uid=own)) is None
        of_another = process(uid=other)
        assert protection(of_another, terms(only_uid=own)) == Spared(of_another, Shield.OTHER_USER)


def test_without_processes_there_is_nobody():
    assert rank([], terms()) == Ranking((), ())


PROCESSES = st.lists(
    st.builds(
        lambda pid, score, adj, held, comm, uid, gained: process(
            pid, oom_score=score, oom_score_adj=adj, held_bytes=held, comm=comm, uid=uid, gained_bytes=min(gained, held)
        ),
        st.integers(2, 40),
        st.sampled_from([1, 400, 401, 700, 1334]),
        st.sampled_from([-1000, 0, 500]),
        st.sampled_from([0, MIB, GIB, 2 * GIB]),
        st.sampled_from([b"leak", b"test1"]),
        st.sampled_from([1000, 26]),
        st.sampled_from([0, MIB, GIB]),
    ),
    max_size=25,
    unique_by=lambda one: one.pid,
)


@given(PROCESSES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_is_total_and_stable_and_loses_nobody(processes, shuffle: random.Random):
    ranking = rank(processes, terms(RULES))
    places = [(chosen.badness, chosen.process.oom_score) for chosen in ranking.candidates]
    assert places == sorted(places, reverse=True)
    everybody = [one.process for one in (*ranking.candidates, *ranking.spared)]
    assert sorted(everybody) == sorted(processes)
    for place in set(places):
        equals = [
            chosen.process for chosen in ranking.candidates if (chosen.badness, chosen.process.oom_score) == place
        ]
        assert equals == [one for one in processes if one in equals], "of equals, the first stays the first"
    assert rank(processes, terms(RULES)) == ranking
    mixed = list(processes)
    shuffle.shuffle(mixed)
    again = rank(mixed, terms(RULES))
    assert [(one.badness, one.process.oom_score) for one in again.candidates] == places
    assert {one.process for one in again.candidates} == {one.process for one in ranking.candidates}


@given(PROCESSES)
@settings(deadline=None)
def test_no_more_than_a_few_run_away_and_the_least_of_them_could_not_be_left_out(processes):
    candidates = rank(processes, terms()).candidates
    causes = (Cause.RUNS_AWAY, Cause.RUNS_AWAY_WITH_UNIT)
    gained = [one.process.gained_bytes for one in candidates if any(move.cause in causes for move in one.moves)]
    assert len(gained) <= 4
    together = sum(process.gained_bytes for process in processes)
    assert not gained or sum(gained) * 2 > together
    clearly_more = [one for one in gained if one * 7 > min(gained) * 8]
    assert sum(clearly_more) * 2 <= together, "the least, and what gained the same, could not be left out"


def test_two_leaks_run_away_together_where_neither_gained_more_than_all_others():
    leaks = [process(pid, held_bytes=200 * MIB, gained_bytes=150 * MIB) for pid in (2, 3)]
    assert order(process(1, held_bytes=500 * MIB), *leaks, filled_bytes=310 * MIB) == [2, 3, 1]


def test_where_many_gain_the_same_none_of_them_runs_away_by_itself():
    crowd = [process(pid, held_bytes=100 * MIB, gained_bytes=40 * MIB) for pid in range(2, 8)]
    assert order(process(1, held_bytes=200 * MIB), *crowd)[0] == 1


def test_one_that_gained_hardly_less_is_not_told_from_those_that_run_away():
    gained = [(2, 123), (3, 87), (4, 71)]
    growing = [process(pid, held_bytes=150 * MIB, gained_bytes=mib * MIB) for pid, mib in gained]
    assert order(process(1, held_bytes=290 * MIB), *growing, filled_bytes=288 * MIB)[0] == 1


@pytest.mark.parametrize("count", [3, 4])
def test_three_or_four_that_gain_the_same_run_away_together(count):
    leaks = [process(pid, held_bytes=40 * MIB, gained_bytes=(18 + pid // 4) * MIB) for pid in range(2, 2 + count)]
    assert order(process(1, held_bytes=115 * MIB), *leaks, filled_bytes=56 * MIB)[-1] == 1


def test_of_several_that_run_away_each_has_gained_more_than_the_least_that_matters():
    leaks = [process(pid, held_bytes=20 * MIB, gained_bytes=12 * MIB) for pid in (2, 3)]
    assert order(process(1, held_bytes=50 * MIB), *leaks)[0] == 1


@given(PROCESSES)
@settings(deadline=None)
def test_nobody_who_must_not_die_is_a_candidate(processes):
    some = terms(RULES, advice=Protection(uids=(26,)))
    for chosen in rank(processes, some).candidates:
        assert chosen.process.oom_score_adj > -1000
        assert chosen.process.uid != 26
        assert chosen.process.held_bytes >= 16 * MIB


# What dies together


def in_unit(pid: int, mib: int, *, gained: int = 0, **changed):
    changed = {"whole": "/system.slice/build.service", **changed}
    return process(pid, held_bytes=mib * MIB, gained_bytes=gained * MIB, **changed)


BUILD = [in_unit(pid, 100 + pid, gained=30) for pid in range(10, 15)]
TOGETHER = victims(scope="cgroup")


def test_with_scope_cgroup_a_unit_counts_as_one_and_its_largest_process_is_asked_for():
    ranking = rank([process(1, held_bytes=500 * MIB), *BUILD], terms(TOGETHER))
    first, second = ranking.candidates
    assert (first.process.pid, first.scope, first.held_bytes // MIB) == (14, Scope.CGROUP, 560)
    assert (second.process.pid, second.scope) == (1, Scope.PROCESS)
    assert (first.known, first.moves) == (5, (Move(Cause.RUNS_AWAY, 1120 * MIB),))


def test_otherwise_its_processes_are_ranked_one_by_one():
    assert order(process(1, held_bytes=500 * MIB), *BUILD) == [1, 14, 13, 12, 11, 10]
    group = rank(BUILD, terms(victims(scope="group"))).candidates
    assert [(one.process.pid, one.scope) for one in group][:2] == [(14, Scope.GROUP), (13, Scope.GROUP)]


def test_an_indivisible_control_group_dies_whole_with_any_scope():
    for scope in ("process", "group", "cgroup"):
        indivisible = [member._replace(is_indivisible=True) for member in BUILD]
        (only,) = rank(indivisible, terms(victims(scope=scope))).candidates
        assert (only.process.pid, only.scope, only.held_bytes // MIB) == (14, Scope.CGROUP, 560)


def test_those_too_small_to_be_asked_for_count_with_the_others_of_their_unit():
    small = [in_unit(pid, 15) for pid in range(20, 24)]
    ranking = rank([in_unit(10, 20), *small], terms(TOGETHER))
    assert [(one.process.pid, one.held_bytes // MIB) for one in ranking.candidates] == [(10, 80)]
    assert rank(small, terms(TOGETHER)).candidates == (), "the killer would ask for more of the one that is asked for"


def test_one_who_is_protected_breaks_his_company_up():
    protected = in_unit(14, 300, comm=b"precious")
    rules = TOGETHER._replace(never=matchers(names=(b"precious",)))
    ranking = rank([*BUILD[:2], protected], terms(rules))
    assert [(one.process.pid, one.scope) for one in ranking.candidates] == [(11, Scope.PROCESS), (10, Scope.PROCESS)]
    assert [one.process.pid for one in ranking.spared] == [14]


# ManagedOOMPreference=


def test_what_systemd_is_asked_to_omit_is_left_out_and_what_it_is_to_avoid_falls_behind():
    omitted, avoided = process(1, preference=OMIT), process(2, preference=AVOID)
    ranking = rank([omitted, avoided, process(3, held_bytes=100 * MIB)], terms())
    assert [one.process.pid for one in ranking.candidates] == [3, 2]
    assert ranking.candidates[1].moves == (Move(Cause.AVOIDED, -3072 * MIB, "ManagedOOMPreference="),)
    assert ranking.spared == (Spared(omitted, Shield.OMIT),)


def test_what_a_rule_avoids_and_systemd_too_is_avoided_once():
    (only,) = rank([process(1, preference=AVOID, uid=26)], terms(RULES)).candidates
    assert only.moves == (Move(Cause.AVOIDED, -3072 * MIB, "uid 26"),)


def test_alone_what_a_forked_child_keeps_does_not_come_back():
    """With its whole group the copies died too, so they were not held against it."""
    together = Candidate(process(held_bytes=GIB, copied_bytes=GIB - MIB), 2 * GIB, 2 * GIB, Scope.CGROUP, 2)
    assert together.brings_bytes == 2 * GIB
    assert together.alone().brings_bytes == MIB
    assert together.alone().alone() == together.alone()
