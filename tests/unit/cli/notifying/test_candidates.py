"""The candidates of a warning, and what the user may choose for them."""

import pytest

from bustd_monitor.cli.notifying.candidates import Glance, NamedProcess, Offer, offers_of, target_of, targets_of
from tests.unit.cli.notifying.making import UID, everything, line, nothing, target, warned


def test_a_candidate_is_five_words_of_which_the_name_may_have_spaces_or_be_empty():
    assert target_of("7 90 1000 2048 a b  c") == NamedProcess(7, 90, 1000, 2048, "a b  c")
    assert target_of("7 90 1000 2048 ") == NamedProcess(7, 90, 1000, 2048, "")


@pytest.mark.parametrize(
    "text",
    [
        *("", "7", "7 90 1000 2048", "x 90 1000 2048 a", "-7 90 1000 2048 a", "\u0667 90 1000 2048 a", "7 2048 name"),
        *("1 90 0 2048 init", "0 90 0 2048 a", f"{'9' * 20} 90 1000 2048 a", "7  1000 2048 a b"),
    ],
)
def test_what_is_no_candidate_is_none(text):
    assert target_of(text) is None


def test_those_of_an_event_keep_their_order_and_what_makes_no_sense_is_left_out():
    event = warned(line(7), b"nonsense", line(8, b"two words"))
    assert [(one.pid, one.comm) for one in targets_of(event)] == [(7, "leak"), (8, "two words")]


def test_only_processes_of_the_user_are_offered_and_three_at_most():
    targets = (target(1, uid=0), target(2), target(3, uid=1001), target(4), target(5), target(6))
    assert [one.target.pid for one in offers_of(targets, UID, everything)] == [2, 4, 5]


def test_only_the_first_of_all_can_be_spared():
    offers = offers_of((target(2), target(3)), UID, everything)
    assert [one.look for one in offers] == [Glance(True, True), Glance(True, False)]
    (behind_root,) = offers_of((target(1, uid=0), target(2)), UID, everything)
    assert behind_root.look == Glance(True, False)


def test_what_can_be_neither_ended_nor_spared_is_no_offer():
    assert offers_of((target(2), target(3)), UID, nothing) == ()
    assert offers_of((target(2), target(3)), UID, lambda _: Glance(may_spare=True)) == (
        Offer(target(2), Glance(may_spare=True)),
    )


def test_other_users_processes_are_not_even_looked_at():
    offers_of((target(2, uid=0),), UID, lambda _: pytest.fail("it was looked at"))
