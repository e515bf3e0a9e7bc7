"""The order in which processes would die, and who is left out and why."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_common.protection import Protection
from bustd_monitor.config import Victims
from bustd_monitor.ranking.order import Terms, rank, why_spared
from tests.unit.monitor.making import GIB, MIB, matchers, process, victims

RULES = victims(
    prefer=matchers(names=(b"test*",)), avoid=matchers(uids=(26,)), never=matchers(commands=("*--precious*",))
)


def terms(
    rules: Victims | None = None, *, advice: Protection | None = None, minimum_bytes: int = 16 * MIB, only_uid: int = -1
) -> Terms:
    return Terms(rules or victims(), advice or Protection(), minimum_bytes, only_uid)


def order(*processes, **how) -> list[int]:
    return [chosen.process.pid for chosen in rank(list(processes), terms(**how)).candidates]


def test_the_highest_score_dies_first():
    assert order(process(1, oom_score=5), process(2, oom_score=900), process(3, oom_score=70)) == [2, 3, 1]


def test_of_equal_scores_the_one_that_holds_more_dies_first():
    assert order(process(1, held_bytes=GIB), process(2, held_bytes=3 * GIB), process(3, held_bytes=2 * GIB)) == [
        2,
        3,
        1,
    ]


def test_the_score_counts_before_what_is_held():
    assert order(process(1, oom_score=701, held_bytes=20 * MIB), process(2, oom_score=700, held_bytes=GIB)) == [1, 2]


def test_of_equals_in_everything_the_order_stays_as_it_was():
    assert order(process(3), process(1), process(2)) == [3, 1, 2]


def test_a_preference_makes_up_for_300_points():
    assert order(process(1, oom_score=900), process(2, oom_score=601, comm=b"test1"), rules=RULES) == [2, 1]
    assert order(process(1, oom_score=900), process(2, oom_score=599, comm=b"test1"), rules=RULES) == [1, 2]


def test_one_that_is_avoided_falls_behind_by_300_points_and_can_still_die():
    assert order(process(1, oom_score=900, uid=26), process(2, oom_score=601), rules=RULES) == [2, 1]
    assert order(process(1, oom_score=900, uid=26), process(2, oom_score=599), rules=RULES) == [1, 2]
    assert order(process(1, uid=26), rules=RULES) == [1]


def test_the_points_can_be_moved():
    strong = RULES._replace(prefer_points=1000, avoid_points=0)
    assert order(process(1, oom_score=900, uid=26), process(2, oom_score=1, comm=b"test1"), rules=strong) == [2, 1]
    (avoided,) = rank([process(1, oom_score=900, uid=26)], terms(strong)).candidates
    assert avoided.points == 900


@pytest.mark.parametrize(
    ("changed", "points", "why"),
    [
        ({}, 700, "oom_score 700"),
        ({"oom_score_adj": 200}, 700, "oom_score 700 (oom_score_adj 200)"),
        ({"comm": b"test1"}, 1000, "oom_score 700, preferred by name test* +300"),
        ({"uid": 26}, 400, "oom_score 700, avoided by uid 26 -300"),
        (
            {"comm": b"test1", "uid": 26, "oom_score_adj": -5},
            700,
            "oom_score 700 (oom_score_adj -5), preferred by name test* +300, avoided by uid 26 -300",
        ),
    ],
)
def test_the_reason_for_a_place_is_said(changed, points, why):
    (chosen,) = rank([process(**changed)], terms(RULES)).candidates
    assert (chosen.points, chosen.why) == (points, why)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"oom_score_adj": -1000}, "oom_score_adj -1000"),
        ({"oom_score_adj": -999}, ""),
        ({"unit": "sshd.service"}, "protected by killer.toml: unit sshd.service"),
        ({"command": "db --precious"}, "never: command *--precious*"),
        ({"held_bytes": 16 * MIB - 1}, "its death would not help"),
        ({"held_bytes": 16 * MIB}, ""),
        ({"comm": b"test1"}, ""),
        ({"uid": 26}, ""),
    ],
)
def test_who_is_left_out_is_said_with_the_reason(changed, why):
    some = terms(RULES, advice=Protection(units=("sshd.service",)))
    one = process(**changed)
    assert why_spared(one, some) == why
    ranking = rank([one], some)
    assert [(spared.process, spared.why) for spared in ranking.spared] == ([(one, why)] if why else [])
    assert [chosen.process for chosen in ranking.candidates] == ([] if why else [one])


def test_an_ordinary_users_monitor_leaves_others_alone():
    assert why_spared(process(uid=1000), terms(only_uid=1000)) == ""
    assert why_spared(process(uid=1001), terms(only_uid=1000)) == "another user's"
    assert why_spared(process(uid=1000), terms(only_uid=0)) == "another user's"
    assert why_spared(process(uid=0), terms(only_uid=0)) == ""


def test_without_processes_there_is_nobody():
    assert rank([], terms()) == ((), ())


PROCESSES = st.lists(
    st.builds(
        lambda pid, score, adj, held, comm, uid: process(
            pid, oom_score=score, oom_score_adj=adj, held_bytes=held, comm=comm, uid=uid
        ),
        st.integers(2, 40),
        st.sampled_from([1, 400, 401, 700, 1334]),
        st.sampled_from([-1000, 0, 500]),
        st.sampled_from([0, MIB, GIB, 2 * GIB]),
        st.sampled_from([b"leak", b"test1"]),
        st.sampled_from([1000, 26]),
    ),
    max_size=25,
)


@given(PROCESSES, st.randoms(use_true_random=False))
@settings(deadline=None)
def test_the_order_is_total_and_stable_and_loses_nobody(processes, shuffle: random.Random):
    ranking = rank(processes, terms(RULES))
    places = [(chosen.points, chosen.process.held_bytes) for chosen in ranking.candidates]
    assert places == sorted(places, reverse=True)
    everybody = [one.process for one in (*ranking.candidates, *ranking.spared)]
    assert sorted(everybody) == sorted(processes)
    for place in set(places):
        equals = [
            chosen.process for chosen in ranking.candidates if (chosen.points, chosen.process.held_bytes) == place
        ]
        assert equals == [one for one in processes if one in equals], "of equals, the first stays the first"
    assert rank(processes, terms(RULES)) == ranking
    mixed = list(processes)
    shuffle.shuffle(mixed)
    again = rank(mixed, terms(RULES))
    assert [(one.points, one.process.held_bytes) for one in again.candidates] == places
    assert {one.process for one in again.candidates} == {one.process for one in ranking.candidates}


@given(PROCESSES)
@settings(deadline=None)
def test_nobody_who_must_not_die_is_a_candidate(processes):
    some = terms(RULES, advice=Protection(uids=(26,)))
    for chosen in rank(processes, some).candidates:
        assert chosen.process.oom_score_adj > -1000
        assert chosen.process.uid != 26
        assert chosen.process.held_bytes >= 16 * MIB
        assert why_spared(chosen.process, some) == ""
