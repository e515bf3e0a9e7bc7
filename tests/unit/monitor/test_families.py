"""Which processes are a family, and when they die as one."""

import pytest

from bustd_monitor.ranking import families
from bustd_monitor.ranking.families import Growth, Hand, Member
from bustd_monitor.ranking.order import Terms
from bustd_monitor.sensing.kin import Kin, Kinship
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import GIB, MIB, candidate, process, victims, with_copies

NEEDED = 60 * MIB
TERMS = Terms(victims(), Protection(), 16 * MIB, needed_bytes=NEEDED, filled_bytes=300 * MIB)
UNIT = "/user.slice/user-1000.slice/user@1000.service/app.slice/app.scope"


def kin(pid: int, comm: bytes = b"leak", *, parent: int = 7, group: int = 5, session: int = 5) -> Kin:
    return Kin(pid, pid * 10, comm, parent, group, session)


def member(pid: int, held: int = 12, gained: int = 12, *, whole: str = "", **of_kin: object) -> Member:
    """In MiB."""
    read = process(pid, held_bytes=held * MIB, gained_bytes=gained * MIB, whole=whole, cgroup=whole)
    return Member(kin(pid, **of_kin), read)


def herd(count: int = 30, **each: object) -> list[Member]:
    return [member(pid, **each) for pid in range(100, 100 + count)]


def pids(members: list[Member]) -> list[int]:
    return [one.process.pid for one in members]


# What a process has gained


@pytest.mark.parametrize(
    ("before", "age_s", "parent_size", "gained"),
    [
        ({100: 5}, 3, 0, 7),
        ({100: 20}, 3, 0, 0),
        ({}, 3600, 0, 12),
        ({}, 3, 4, 8),
        ({}, 3, 50, 0),
        ({100: 5}, 3, 50, 7),
        (None, 10, 0, 12),
        (None, 11, 0, 0),
        (None, 3, 12, 0),
    ],
)
def test_a_process_that_came_since_has_gained_everything_but_what_its_parent_holds_too(
    before, age_s, parent_size, gained
):
    seen = None if before is None else {pid: mib * 1024 for pid, mib in before.items()}
    hand = families.hand_of(kin(100), 12 * MIB, seen, age_s * 1000, parent_size * MIB)
    assert hand.gained == gained * MIB


@pytest.mark.parametrize(
    ("held", "is_new", "lost", "gained"),
    [
        (40, True, 400, 40),
        (40, False, None, 10),
        (40, False, 100, 10),
        (40, False, 200, 20),
        (30, False, 400, 20),
        (15, False, 400, 10),
        (8, False, 400, 8),
    ],
    ids=[
        "a new one: everything",
        "where nothing is known",
        "where what was gained explains what was lost",
        "its part of what went to swap",
        "but no more than it holds beyond what is resident",
        "nothing where all of it is resident",
        "never more than it holds",
    ],
)
def test_where_memory_went_to_swap_a_process_has_gained_more_than_is_resident(held, is_new, lost, gained):
    """20 MiB of it are resident, 10 of which it has gained; all processes together have gained 100."""
    hand = Hand(kin(100), 20 * MIB, 10 * MIB, is_new=is_new)
    grew = Growth(100 * MIB, None if lost is None else lost * MIB)
    assert families.gained_by(hand, held * MIB, grew) == gained * MIB


# What belongs together


def test_a_process_belongs_to_those_of_its_parent_and_to_those_of_its_name():
    hands = [Hand(kin(pid, name, parent=parent), MIB, 0) for pid, name, parent in
             [(100, b"a", 7), (101, b"b", 7), (102, b"a", 7), (103, b"a", 8), (104, b"b", 8)]]  # fmt: skip
    found = {pool.kinship: [hand.kin.pid for hand in pool.hands] for pool in families.pools(hands)}
    assert found == {Kinship(7, b""): [100, 101, 102], Kinship(0, b"a"): [100, 102, 103]}


def test_the_parent_of_orphans_is_no_parent():
    hands = [Hand(kin(pid, b"%d" % pid, parent=parent), MIB, 0) for parent in (0, 1) for pid in range(10, 15)]
    assert families.pools([hand for hand in hands if hand.kin.parent == 1]) == []
    assert families.pools([hand for hand in hands if hand.kin.parent == 0]) == []


def test_those_that_can_not_die_in_one_batch_are_not_together():
    of_unit = [member(pid, whole=UNIT, group=pid) for pid in (1, 2, 3)]
    of_group = [member(pid, group=50, session=40) for pid in (11, 12, 13)]
    of_another = [member(pid, group=60, session=40) for pid in (21, 22)]
    found = families.together(of_unit + of_group + of_another)
    assert [pids(those) for those in found] == [[1, 2, 3], [11, 12, 13]]


def test_the_leader_of_a_session_and_one_whose_group_is_not_known_die_alone():
    assert families.place_of(member(40, group=40, session=40)) is None
    assert families.place_of(member(41, group=0, session=0)) is None
    assert families.place_of(member(41, group=40, session=40)) == ("", 40, 40)
    assert families.place_of(member(40, group=40, session=40, whole=UNIT)) == (UNIT, 0, 0)


def test_the_largest_is_the_first():
    members = [member(1, 5), member(2, 9), member(3, 7)]
    assert [pids(those) for those in families.together(members)] == [[2, 3, 1]]


# When a family runs away

OLDER = candidate(1, held_bytes=250 * MIB)
ALL_ITS = Growth(360 * MIB, 350 * MIB)


def test_a_family_that_gained_more_than_all_others_runs_away():
    assert families.runs_away(herd(), (OLDER,), ALL_ITS, TERMS)
    assert not families.runs_away(herd(), (OLDER,), Growth(720 * MIB, 350 * MIB), TERMS), "others gained as much"


def test_copies_on_write_are_no_gain_while_nothing_is_lost():
    assert not families.runs_away(herd(), (OLDER,), Growth(360 * MIB, 10 * MIB), TERMS._replace(filled_bytes=0))
    assert families.runs_away(herd(), (OLDER,), Growth(360 * MIB, None), TERMS._replace(filled_bytes=0)), "unknown"


def test_a_family_does_not_run_away_when_something_else_fills_memory():
    assert not families.runs_away(herd(), (OLDER,), ALL_ITS, TERMS._replace(filled_bytes=800 * MIB))


def test_where_one_of_them_would_die_anyway_and_its_death_helps_it_dies_alone():
    large = herd(10, held=40)
    first = candidate(100, held_bytes=40 * MIB)
    assert not families.runs_away(large, (first, OLDER), Growth(120 * MIB, None), TERMS._replace(filled_bytes=0))
    assert families.runs_away(large, (OLDER, first), Growth(120 * MIB, None), TERMS._replace(filled_bytes=0))
    for little in (candidate(100, held_bytes=20 * MIB), with_copies(100, 40, 20)):
        assert families.runs_away(large, (little, OLDER), Growth(120 * MIB, None), TERMS._replace(filled_bytes=0))


# When a family holds most


def test_where_no_single_death_helps_the_family_that_holds_clearly_most_dies():
    still = herd(gained=0)
    assert families.holds_most(still, (candidate(1, held_bytes=29 * MIB),), TERMS)
    assert not families.holds_most(still, (candidate(1, held_bytes=30 * MIB),), TERMS), "its death helps"
    much_needed = TERMS._replace(needed_bytes=GIB)
    assert families.holds_most(still, (candidate(1, held_bytes=180 * MIB),), much_needed)
    assert not families.holds_most(still, (candidate(1, held_bytes=181 * MIB),), much_needed), "not clearly most"
    assert families.holds_most(still, (), much_needed)
    assert not families.holds_most(herd(3, held=5), (), much_needed), "less than the killer's minimum"


def test_one_whose_child_keeps_most_of_it_is_no_help_and_not_large():
    still = herd(gained=0)
    assert families.holds_most(still, (with_copies(1, 900, 871),), TERMS)
    assert not families.holds_most(still, (with_copies(1, 900, 870),), TERMS)
    much_needed = TERMS._replace(needed_bytes=2 * GIB)
    assert families.holds_most(still, (with_copies(1, 900, 720),), much_needed)
    assert not families.holds_most(still, (with_copies(1, 900, 719),), much_needed)


def test_its_own_members_are_not_what_it_is_compared_with():
    assert families.holds_most(herd(4, held=20), (candidate(100, held_bytes=29 * MIB),), TERMS)


# When its unit dies whole


@pytest.mark.parametrize(
    ("others", "is_most"),
    [
        ({}, True),
        ({200: 10, 201: 10, 202: 10, 203: 10}, True),
        (dict.fromkeys(range(200, 213), 10), False),
        ({200: 16}, False),
        ({7: 60}, True),
    ],
)
def test_a_unit_dies_whole_where_the_family_holds_three_quarters_of_it_and_no_other_process_holds_much(others, is_most):
    """A scope also holds a terminal and its editors; the parent of the family is no editor."""
    members = herd()
    sizes = dict.fromkeys(pids(members), 12 * MIB)
    unit = sizes | {pid: mib * MIB for pid, mib in others.items()}
    assert families.is_most_of(members, unit, sizes, TERMS) is is_most


def test_a_family_of_which_nothing_is_in_the_unit_any_more_is_not_most_of_it():
    members = herd(3)
    assert not families.is_most_of(members, {200: MIB}, {}, TERMS)
