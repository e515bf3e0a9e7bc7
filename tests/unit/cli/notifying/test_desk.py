"""What is on the screen is made equal to what is wanted, whatever the server does."""

import pytest

pytest.importorskip("jeepney", reason="the Python package jeepney is not installed")

from bustd_monitor.cli.notifying.crisis import Wanted
from bustd_monitor.cli.notifying.desk import DEATHS, RETRY_MS, WARNING, Desk, Dismissed, PressedKey
from bustd_monitor.cli.notifying.pace import KEPT_FOR_DEATHS, MINUTE_MS, MOST_A_MINUTE
from bustd_monitor.cli.notifying.session_bus import CallFailed, NoteClosed, Pressed, Replied, ServerChanged
from bustd_monitor.cli.notifying.texts import CRITICAL, NORMAL, Note

OWNER = ":1.7"
FULL = ["actions", "body", "body-markup"]


class Calls:
    """A bus that answers when the test says so."""

    def __init__(self):
        self.serial = 0
        self.asked, self.shown, self.closed = [], [], []

    def ask_capabilities(self):
        self.serial += 1
        self.asked.append(self.serial)
        return self.serial

    def notify(self, replaces_id, summary, body, actions, urgency):
        self.serial += 1
        self.shown.append((replaces_id, summary, body, actions, urgency))
        return self.serial

    def close_note(self, note_id):
        self.closed.append(note_id)


class Place:
    """A desk and its server."""

    def __init__(self, capabilities=FULL):
        self.calls = Calls()
        self.desk = Desk(self.calls)
        self.now_ms = 1000
        self.wanted = Wanted(None, None, 0)
        self.capabilities = capabilities

    def want(self, warning=None, deaths=None, story=0):
        self.wanted = Wanted(warning, deaths, story)
        return self.desk.show(self.wanted, self.now_ms)

    def come(self, message):
        done = self.desk.on(message, self.now_ms)
        self.desk.show(self.wanted, self.now_ms)
        return done

    def answer(self, value):
        return self.come(Replied(self.calls.serial, OWNER, (value,)))

    def known(self):
        """A server that has told what it can do."""
        self.want(note("x"))
        self.answer(list(self.capabilities))
        self.answer(1)
        self.want()
        self.calls.shown.clear()
        self.calls.closed.clear()
        self.now_ms += MINUTE_MS
        return self


def note(body="b", **changed):
    return Note("s", body, CRITICAL, ())._replace(**changed)


def test_nothing_is_asked_before_something_is_wanted():
    place = Place()
    assert place.want() is None
    assert place.calls.serial == 0


def test_the_server_is_asked_once_what_it_can_do_and_then_shows_it():
    place = Place()
    place.want(note("<b>", actions=(("k", "Label"),)))
    place.want(note("<b>", actions=(("k", "Label"),)))
    assert (place.calls.asked, place.calls.shown) == ([1], [])
    place.answer(FULL)
    assert place.calls.shown == [(0, "s", "&lt;b&gt;", ["k", "Label"], CRITICAL)]


@pytest.mark.parametrize(
    ("capabilities", "body", "actions"),
    [
        (["body"], "<b>", []),
        (["actions"], "<b>", ["k", "Label"]),
        (["body-markup"], "&lt;b&gt;", []),
        ([], "<b>", []),
        ([7, None, "actions"], "<b>", ["k", "Label"]),
        ("actions", "<b>", []),
        (None, "<b>", []),
    ],
)
def test_buttons_and_markup_go_only_to_a_server_that_has_them(capabilities, body, actions):
    place = Place()
    place.want(note("<b>", actions=(("k", "Label"),)))
    place.answer(capabilities)
    assert place.calls.shown == [(0, "s", body, actions, CRITICAL)]


def test_a_server_that_does_not_know_the_question_has_no_buttons():
    place = Place()
    place.want(note("<b>", actions=(("k", "Label"),)))
    place.come(CallFailed(1, "org.freedesktop.DBus.Error.UnknownMethod"))
    assert place.calls.shown == [(0, "s", "<b>", [], CRITICAL)]


def test_the_same_is_shown_once_and_a_change_replaces_it():
    place = Place().known()
    place.want(note("one"))
    place.answer(5)
    place.want(note("one"))
    place.want(note("two"))
    assert [(one[0], one[2]) for one in place.calls.shown] == [(0, "one"), (5, "two")]


def test_what_changes_while_the_server_has_not_answered_is_shown_once_when_it_has():
    place = Place().known()
    for body in ("one", "two", "three"):
        place.want(note(body))
    assert [one[2] for one in place.calls.shown] == ["one"]
    place.answer(5)
    assert [(one[0], one[2]) for one in place.calls.shown[1:]] == [(5, "three")]


def test_what_is_wanted_no_more_is_closed():
    place = Place().known()
    place.want(note())
    place.answer(5)
    place.want()
    assert place.calls.closed == [5]
    place.want()
    assert place.calls.closed == [5]


def test_what_is_wanted_no_more_before_its_id_is_known_is_closed_when_it_is():
    place = Place().known()
    place.want(note("one"))
    first = place.calls.serial
    place.want()
    assert place.calls.closed == []
    place.want(note("two"))
    place.come(Replied(first, OWNER, (5,)))
    place.answer(6)
    place.want(note("three"))
    assert place.calls.closed == [5]
    assert [one[0] for one in place.calls.shown] == [0, 0, 6]


def test_a_warning_and_deaths_are_two_notifications():
    place = Place().known()
    place.want(note("w"), note("d", urgency=NORMAL), 1)
    assert [(one[0], one[2]) for one in place.calls.shown] == [(0, "d"), (0, "w")]


def test_deaths_of_one_story_replace_each_other_and_those_of_the_next_do_not():
    place = Place().known()
    for at, (body, story) in enumerate((("one", 1), ("one, two", 1), ("three", 2), ("three", 3))):
        place.want(None, note(body), story)
        place.answer(10 + at)
    assert [(one[0], one[2]) for one in place.calls.shown] == [
        (0, "one"),
        (10, "one, two"),
        (0, "three"),
        (0, "three"),
    ]
    assert place.calls.closed == []


# --- the user


def on_screen(**changed):
    place = Place().known()
    place.want(note(**changed), note("d"), 1)
    serial = place.calls.serial
    place.come(Replied(serial - 1, OWNER, (4,)))
    place.come(Replied(serial, OWNER, (5,)))
    return place


def test_a_button_of_the_warning_comes_back_and_what_follows_is_a_new_notification():
    place = on_screen(actions=(("k", "Label"),))
    assert place.desk.on(Pressed(OWNER, 5, "k"), 0) == PressedKey("k")
    assert place.calls.closed == [5]
    assert place.come(NoteClosed(OWNER, 5)) is None, "the server says so when it closes it"
    assert place.calls.shown[-1][0] == 0


def test_a_closed_notification_is_known_as_which_of_the_two():
    assert on_screen().desk.on(NoteClosed(OWNER, 5), 0) == Dismissed(WARNING)
    assert on_screen().desk.on(NoteClosed(OWNER, 4), 0) == Dismissed(DEATHS)
    assert on_screen().desk.on(Pressed(OWNER, 4, "default"), 0) == Dismissed(DEATHS)


def test_a_closed_notification_is_neither_closed_nor_replaced():
    place = on_screen()
    place.desk.on(NoteClosed(OWNER, 5), 0)
    place.want(note("new"), note("d"), 1)
    assert place.calls.shown[-1][:3] == (0, "s", "new")
    place.want(None, note("d"), 1)
    assert place.calls.closed == []


def test_a_notification_that_is_closed_while_its_successor_is_under_way_takes_that_with_it():
    place = on_screen()
    place.want(note("new"), note("d"), 1)
    assert place.desk.on(NoteClosed(OWNER, 5), 0) == Dismissed(WARNING)
    place.want(None, note("d"), 1)
    place.answer(6)
    assert place.calls.closed == [6]


@pytest.mark.parametrize("made", [Pressed, lambda sender, note_id, _: NoteClosed(sender, note_id)])
@pytest.mark.parametrize(("sender", "note_id"), [(":1.99", 5), (OWNER, 6), (OWNER, 0)])
def test_what_another_program_says_and_what_is_not_ours_is_not_listened_to(made, sender, note_id):
    place = on_screen(actions=(("k", "Label"),))
    assert place.desk.on(made(sender, note_id, "k"), 0) is None
    assert place.calls.closed == []


def test_before_anything_is_shown_no_id_is_ours():
    assert Place().known().desk.on(Pressed(OWNER, 0, "k"), 0) is None


# --- a server that fails


def test_without_a_server_it_is_tried_again_later_and_said():
    place = Place()
    place.want(note())
    place.come(CallFailed(1, "org.freedesktop.DBus.Error.ServiceUnknown"))
    assert place.desk.trouble == "org.freedesktop.DBus.Error.ServiceUnknown"
    assert place.want(note()) == place.now_ms + RETRY_MS
    assert place.calls.serial == 1
    place.now_ms += RETRY_MS
    place.want(note())
    place.answer(FULL)
    assert (len(place.calls.shown), place.desk.trouble) == (1, "")


def test_a_notification_that_is_refused_is_tried_again_later():
    place = Place().known()
    place.want(note())
    place.come(CallFailed(place.calls.serial, "it is full"))
    assert place.want(note()) == place.now_ms + RETRY_MS
    place.now_ms += RETRY_MS
    place.want(note())
    assert len(place.calls.shown) == 2


def test_to_a_server_that_hangs_one_call_is_made_and_no_more():
    place = Place()
    for at in range(100):
        place.now_ms += MINUTE_MS
        place.want(note(str(at)))
    assert place.calls.serial == 1
    place.answer(FULL)
    for at in range(100):
        place.now_ms += MINUTE_MS
        place.want(note(str(at)), note(str(at)), 1)
    assert len(place.calls.shown) == 2


def test_a_new_server_is_asked_and_shown_what_is_still_wanted():
    place = on_screen()
    place.come(ServerChanged(":1.8"))
    place.come(Replied(place.calls.serial, ":1.8", (["body"],)))
    assert [one[0] for one in place.calls.shown[-2:]] == [0, 0]
    assert place.desk.on(NoteClosed(OWNER, 5), 0) is None


def test_the_end_of_a_server_that_was_about_to_answer_is_survived():
    place = Place()
    place.want(note())
    place.come(ServerChanged(""))
    place.come(Replied(1, OWNER, (FULL,)))
    assert place.calls.asked == [1, 2]
    place.answer(FULL)
    assert len(place.calls.shown) == 1


# --- the pace


def test_more_than_a_few_a_minute_wait_and_of_those_the_last_is_shown():
    place = Place().known()
    at = [place.want(note(str(number))) for number in range(20) for _ in [place.answer(5)]]
    assert len(place.calls.shown) == MOST_A_MINUTE - KEPT_FOR_DEATHS
    assert at[-1] == place.now_ms + MINUTE_MS
    place.now_ms += MINUTE_MS
    place.want(note("last"))
    assert place.calls.shown[-1][2] == "last"


def test_a_death_is_shown_when_warnings_have_used_their_share():
    place = Place().known()
    for number in range(20):
        place.want(note(str(number)))
        place.answer(5)
    place.want(note("19"), note("d"), 1)
    assert place.calls.shown[-1][2] == "d"
