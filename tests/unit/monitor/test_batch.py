"""The members of one kill: each is named once, at most 330 in a packet, in at most eight continuations."""

from bustd_monitor.batch import Batch
from bustd_protocol import limits

NOW = 50_000


def crowd(count: int, first: int = 1000) -> list[tuple[int, int]]:
    return [(first + place, 7) for place in range(count)]


def continuations(batch: Batch, now_ms: int = NOW) -> list[list[tuple[int, int]]]:
    named = []
    while further := batch.further(now_ms):
        named.append(further)
    return named


def test_a_small_group_is_named_by_the_request_alone():
    batch = Batch(crowd(330))
    assert batch.first() == crowd(330)
    assert batch.further(NOW) == []


def test_a_victim_without_members_names_none():
    batch = Batch([])
    assert (batch.first(), batch.further(NOW)) == ([], [])


def test_the_others_of_a_larger_group_are_named_by_continuations_each_once():
    members = crowd(700)
    batch = Batch(members)
    assert batch.first() == members[:330]
    assert continuations(batch) == [members[330:660], members[660:]]


def test_after_eight_continuations_nothing_more_is_named():
    members = crowd(330 * 10)
    batch = Batch(members)
    batch.first()
    assert continuations(batch) == [members[330 * at : 330 * (at + 1)] for at in range(1, 9)]
    assert not batch.may_look_again(NOW), "a look at the group would be in vain"


def test_the_group_is_looked_at_again_only_when_all_are_named_and_five_times():
    batch = Batch(crowd(331))
    batch.first()
    assert not batch.may_look_again(NOW)
    batch.further(NOW)
    assert [batch.may_look_again(NOW) for _ in range(7)] == [True] * 5 + [False] * 2


def test_what_came_meanwhile_is_named_and_what_was_named_is_not_named_again():
    batch = Batch(crowd(3))
    batch.first()
    batch.found([*crowd(3), (2000, 9), (2001, 9)])
    assert batch.further(NOW) == [(2000, 9), (2001, 9)]
    batch.found([*crowd(3), (2000, 9), (2002, 9)])
    assert batch.further(NOW) == [(2002, 9)]


def test_another_process_with_the_pid_of_one_that_was_named_is_a_newcomer():
    batch = Batch([(1000, 7)])
    batch.first()
    batch.found([(1000, 8)])
    assert batch.further(NOW) == [(1000, 8)]


def test_members_that_come_too_fast_for_the_killer_are_named_again_when_it_says():
    members = crowd(700)
    batch = Batch(members)
    batch.first()
    assert batch.further(NOW) == members[330:660]
    batch.put_off(NOW, 400)
    assert batch.due_ms() == NOW + 400 and batch.further(NOW + 399) == []
    assert not batch.may_look_again(NOW + 399)
    assert batch.further(NOW + 400) == members[330:660]
    assert batch.due_ms() is None, "it is sent, and not refused"
    assert batch.further(NOW + 500) == members[660:]


def test_what_was_refused_because_of_the_rate_is_no_continuation_that_was_made():
    batch = Batch(crowd(330 * 10))
    batch.first()
    for _ in range(20):
        batch.further(NOW)
        batch.put_off(NOW, 0)
    assert len(continuations(batch)) == limits.CONTINUATIONS


def test_without_a_refusal_nothing_is_ever_due():
    batch = Batch(crowd(700))
    assert batch.due_ms() is None
    batch.first()
    assert batch.due_ms() is None


def test_after_the_victims_death_the_others_are_named_for_less_than_a_second():
    batch = Batch(crowd(330 * 4))
    batch.first()
    batch.over(NOW)
    assert batch.further(NOW + 800)
    assert batch.further(NOW + 801) == []
    assert not batch.may_look_again(NOW + 801)
    assert limits.CONTINUATION_MS > 800


def test_when_the_victim_lives_nothing_more_is_named():
    batch = Batch(crowd(700))
    batch.first()
    batch.end()
    assert batch.further(NOW) == []
    batch.found([(1, 1)])
    assert not batch.may_look_again(NOW)


def test_what_was_put_off_beyond_that_is_not_due_and_what_was_missed_is_not_due_for_ever():
    for wait_ms, due_ms in ((800, NOW + 800), (801, None)):
        batch = Batch(crowd(700))
        batch.first()
        batch.further(NOW)
        batch.put_off(NOW, wait_ms)
        batch.over(NOW)
        assert batch.due_ms() == due_ms
        assert batch.further(NOW + 900) == []
        assert batch.due_ms() is None
