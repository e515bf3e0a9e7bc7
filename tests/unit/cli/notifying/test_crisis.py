"""From events, the clock and the user's answers to what should be on the screen."""

import pytest

from bustd_monitor.cli.notifying import crisis
from bustd_monitor.cli.notifying.candidates import Glance
from bustd_monitor.cli.notifying.crisis import (
    END,
    FRESH_DEATH_US,
    FRESH_WARNING_US,
    SPARE,
    STALE_MS,
    TOGETHER_MS,
    Crisis,
    wanted,
)
from bustd_monitor.reporting import events
from tests.unit.cli.notifying.making import (
    GIB,
    NOW_MS,
    NOW_US,
    UID,
    decided,
    ended,
    entry,
    everything,
    line,
    target,
    warned,
)


def after(*events_, at: Crisis | None = None, now_us: int = NOW_US) -> Crisis:
    state = at or Crisis(UID)
    for event in events_:
        state = crisis.heard(state, event, now_us, everything)
    return state


def warning(state: Crisis):
    return wanted(state).warning


def deaths(state: Crisis):
    return wanted(state).deaths


WARNED = after(warned(line(7), line(8, b"other")))


def test_at_first_nothing_is_wanted():
    assert (warning(Crisis(UID)), deaths(Crisis(UID))) == (None, None)


def test_a_warning_is_shown_with_its_buttons():
    assert "bustd will end leak" in warning(WARNED).body
    assert [label for _, label in warning(WARNED).actions] == ["End leak", "End other", "Not this one"]


def test_a_warning_without_candidates_is_shown_too():
    assert warning(after(warned())).actions == ()


def test_the_same_warning_again_changes_nothing_on_the_screen_but_lasts_longer():
    again = after(warned(line(7), line(8, b"other"), short_in_ms=9_000), at=WARNED, now_us=NOW_US + 4_000_000)
    assert warning(again) == warning(WARNED)
    assert again.alarm.stale_at_ms == WARNED.alarm.stale_at_ms + 4_000


@pytest.mark.parametrize("others", [(line(8, b"other"), line(7)), (line(9, b"third"),), ()])
def test_a_warning_of_other_processes_takes_its_place(others):
    assert warning(after(warned(*others), at=WARNED)) != warning(WARNED)


# --- when it is over


def test_a_warning_ends_with_the_shortage():
    assert warning(after(entry(events.NO_SHORTAGE), at=WARNED)) is None


def test_a_warning_ends_with_a_death_and_not_with_one_that_did_not_happen():
    assert warning(after(ended(7), at=WARNED)) is None
    assert warning(after(ended(7, kind=events.LIVES), at=WARNED)) is not None


def test_a_warning_ends_when_clearly_more_is_available_than_it_said():
    """It said 1 GiB of 16."""
    assert warning(crisis.available(WARNED, GIB + 16 * GIB // 20)) is not None
    assert warning(crisis.available(WARNED, GIB + 16 * GIB // 20 + 1)) is None
    assert crisis.available(Crisis(UID), GIB) == Crisis(UID)


def test_a_warning_that_is_not_repeated_ends_after_a_while():
    assert warning(crisis.passed(WARNED, NOW_MS + STALE_MS - 1)) is not None
    assert warning(crisis.passed(WARNED, NOW_MS + STALE_MS)) is None
    far = after(warned(short_in_ms=STALE_MS))
    assert warning(crisis.passed(far, NOW_MS + 2 * STALE_MS - 1)) is not None


def test_a_decision_alone_and_what_is_not_for_the_user_change_nothing_on_the_screen():
    others = [kind for kind in events.KINDS if kind not in (events.SHORT_SOON, events.ENDED, events.LIVES)]
    for kind in (one for one in others if one != events.NO_SHORTAGE):
        state = after(entry(kind, VICTIM_PID=7, VICTIM_BYTES=5), at=WARNED)
        assert wanted(state) == wanted(WARNED), kind.name


# --- deaths


def test_a_death_has_the_bytes_of_its_decision():
    state = after(decided(7, 2 * GIB), decided(8, GIB), ended(7))
    assert "It held 2048 MiB" in deaths(state).body
    assert [one.pid for one in state.decided] == [8]


def test_a_death_of_which_no_decision_was_heard_is_told_all_the_same():
    assert deaths(after(ended(7))).summary == "bustd ended leak"


def test_an_end_without_a_victim_tells_nothing():
    assert deaths(after(entry(events.ENDED))) is None


def test_another_users_death_is_told_by_its_name():
    assert "postgres, of another user," in deaths(after(decided(7), ended(7, "postgres", uid=26))).body


def test_deaths_within_a_minute_are_one_notification_and_a_later_one_is_another():
    first = after(ended(7))
    second = after(ended(8, "two"), at=first, now_us=NOW_US + TOGETHER_MS * 1000)
    assert (wanted(first).story, wanted(second).story) == (1, 1)
    assert deaths(second).summary == "bustd ended leak and 1 more"
    third = after(ended(9, "three"), at=first, now_us=NOW_US + TOGETHER_MS * 1000 + 1000)
    assert (wanted(third).story, deaths(third).summary) == (2, "bustd ended three")


def test_a_death_that_the_user_has_read_is_not_told_again():
    state = crisis.dismissed_deaths(after(ended(7)))
    assert deaths(state) is None
    later = after(ended(8, "two"), at=state)
    assert (deaths(later).summary, wanted(later).story) == ("bustd ended two", 2)


def test_what_is_remembered_is_bounded():
    state = after(*[decided(pid) for pid in range(2, 200)], *[ended(pid) for pid in range(200, 500)])
    assert len(state.decided) == 16
    assert len(state.died) == 64


# --- what was told before the agent listened


def test_an_old_warning_is_over_and_an_old_death_is_told():
    made_us = NOW_US - FRESH_WARNING_US
    assert warning(after(warned(made_us=made_us))) is not None
    assert warning(after(warned(made_us=made_us - 1))) is None
    made_us = NOW_US - FRESH_DEATH_US
    assert deaths(after(ended(7, made_us=made_us))) is not None
    assert deaths(after(ended(7, made_us=made_us - 1))) is None


def test_an_event_that_does_not_say_when_it_was_made_is_not_shown():
    assert after(warned(made_us=0), ended(7, made_us=0)) == Crisis(UID)


def test_after_a_new_connection_nothing_is_told_twice():
    state = crisis.reconnected(after(ended(7, made_us=NOW_US - 10), warned(line(7), made_us=NOW_US - 5)))
    state = crisis.dismissed_deaths(state)
    again = after(ended(7, made_us=NOW_US - 10), warned(made_us=NOW_US - 5), at=state)
    assert again == state
    assert deaths(after(ended(8, "two", made_us=NOW_US), at=state)).summary == "bustd ended two"


def test_two_events_of_the_same_microsecond_are_two():
    state = after(ended(7), ended(8, "two"))
    assert deaths(state).summary == "bustd ended leak and 1 more"


# --- the user


def test_a_dismissed_warning_does_not_come_back_in_the_same_crisis_and_comes_in_the_next():
    state = crisis.dismissed_warning(WARNED)
    assert warning(state) is None
    assert warning(after(warned(line(9, b"third")), at=state)) is None
    over = crisis.available(state, 16 * GIB)
    assert warning(after(warned(line(9, b"third")), at=over)) is not None
    assert crisis.dismissed_warning(Crisis(UID)) == Crisis(UID)


def test_a_button_means_the_process_that_it_was_made_for():
    assert crisis.offered(WARNED, "end 7 90") == (target(7), END)
    assert crisis.offered(WARNED, "end 8 90") == (target(8, "other"), END)
    assert crisis.offered(WARNED, "spare 7 90") == (target(7), SPARE)


@pytest.mark.parametrize("key", ["spare 8 90", "end 7 91", "end 9 90", "default", "", "end", "end 7"])
def test_what_is_not_offered_is_not_done(key):
    assert crisis.offered(WARNED, key) is None


def test_a_process_that_can_only_be_spared_is_not_ended_and_the_other_way_round():
    spared = crisis.heard(Crisis(UID), warned(line(7)), NOW_US, lambda _: Glance(may_spare=True))
    assert (crisis.offered(spared, "end 7 90"), crisis.offered(spared, "spare 7 90")) == (None, (target(7), SPARE))
    ended_ = crisis.heard(Crisis(UID), warned(line(7)), NOW_US, lambda _: Glance(may_end=True))
    assert (crisis.offered(ended_, "end 7 90"), crisis.offered(ended_, "spare 7 90")) == ((target(7), END), None)


def test_without_a_warning_no_button_means_anything():
    assert crisis.offered(Crisis(UID), "end 7 90") is None


def test_after_an_answer_the_warning_says_so_and_offers_the_others():
    state = crisis.answered(WARNED, target(7), "leak was asked to end.", everything)
    note = warning(state)
    assert note.body.startswith("leak was asked to end.")
    assert "bustd will end other" in note.body
    assert [label for _, label in note.actions] == ["End other", "Not this one"]
    assert crisis.offered(state, "end 7 90") is None
    assert crisis.answered(Crisis(UID), target(7), "", everything) == Crisis(UID)
