"""The words of the notifications: names can neither disturb nor fill them, and of other users they say little."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.cli.notifying import texts
from bustd_monitor.cli.notifying.candidates import Glance, Offer
from bustd_monitor.cli.notifying.texts import LONGEST_BODY, LONGEST_NAME, Death, Shortage, markup, name_of
from tests.unit.cli.notifying.making import GIB, MIB, UID, target

BOTH = Glance(may_end=True, may_spare=True)


def shortage(*offers: Offer, first=None, short_in_ms: int = 20_000, total: int = 16 * GIB) -> Shortage:
    return Shortage(short_in_ms, GIB, total, first, offers)


def test_a_warning_says_when_how_much_is_left_and_what_bustd_will_end():
    note = texts.warning(shortage(first=target(name="leak")), UID)
    assert note.summary == "Memory is running out"
    assert note.body == (
        "In about 20 s memory will be short: 1024 MiB of 16.0 GiB are available. "
        "Then bustd will end leak, which holds 1024 MiB."
    )
    assert (note.urgency, note.actions) == (texts.CRITICAL, ())


@pytest.mark.parametrize(("short_in_ms", "words"), [(0, "1 s"), (1499, "1 s"), (1500, "2 s"), (65_000, "65 s")])
def test_the_time_is_in_whole_seconds(short_in_ms, words):
    assert f"In about {words} memory" in texts.warning(shortage(short_in_ms=short_in_ms), UID).body


def test_what_the_event_does_not_tell_is_not_said():
    assert texts.warning(shortage(total=0), UID).body == "In about 20 s memory will be short."


def test_the_buttons_name_the_processes_and_their_keys_say_which():
    leak, other = target(7, "leak"), target(8, "a <b> & c")
    note = texts.warning(shortage(Offer(leak, BOTH), Offer(other, Glance(may_end=True)), first=leak), UID)
    assert note.actions == (
        ("end 7 90", "End leak"),
        ("end 8 90", "End a <b> & c"),
        ("spare 7 90", "Not this one"),
    )


def test_a_process_that_can_only_be_spared_has_no_button_to_end_it():
    leak = target(7)
    note = texts.warning(shortage(Offer(leak, Glance(may_spare=True)), first=leak), UID)
    assert note.actions == (("spare 7 90", "Not this one"),)


def test_the_answer_to_the_last_button_comes_first():
    assert texts.warning(shortage(), UID, "leak was asked to end.").body.startswith("leak was asked to end. In about")


def test_of_another_users_process_a_warning_has_the_name_alone():
    body = texts.warning(shortage(first=target(name="postgres", uid=26, held_bytes=5 * GIB)), UID).body
    assert body.endswith("Then bustd will end postgres, of another user.")
    assert "5120" not in body and "5.0" not in body


# --- deaths


def test_a_death_says_what_died_why_what_it_held_and_what_there_is_now():
    note = texts.deaths((Death("leak", True, 2 * GIB, "floor", 3 * GIB, 16 * GIB),))
    assert note.summary == "bustd ended leak"
    assert note.body == (
        "leak was ended because memory was short (condition floor). It held 2048 MiB.\n"
        "Now 3072 MiB of 16.0 GiB are available."
    )
    assert note.urgency == texts.NORMAL


def test_of_another_users_process_a_death_has_the_name_alone():
    note = texts.deaths((Death("postgres", False, 2 * GIB, "floor"),))
    assert note.body == "postgres, of another user, was ended because memory was short."


def test_what_is_not_known_of_a_death_is_not_said():
    assert texts.deaths((Death("leak", True),)).body == "leak was ended because memory was short."


def test_one_that_lives_is_no_death():
    note = texts.deaths((Death("leak", True, lives=True),))
    assert (note.summary, note.body) == ("leak does not end", "bustd has signalled leak, and it still lives.")
    both = texts.deaths((Death("leak", True, lives=True), Death("other", True)))
    assert both.summary == "bustd ended other"


def test_many_deaths_are_named_up_to_five_and_counted():
    note = texts.deaths(tuple(Death(f"p{at}", True) for at in range(9)))
    assert note.summary == "bustd ended p0 and 8 more"
    assert note.body.splitlines()[-1] == "And 4 more."
    assert "p4 " in note.body and "p5 " not in note.body


# --- names


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        ("", "(no name)"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("evil\u202etxt", "evil\\u202etxt"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("\udc80", "\\udc80"),
        ("\0", "\\x00"),
        ("größer", "größer"),
    ],
)
def test_what_can_not_be_printed_is_escaped(comm, shown):
    assert name_of(comm) == shown


def test_a_long_name_is_cut_and_says_so():
    assert name_of("x" * 41) == "x" * 39 + "…"
    assert len(name_of("\x01" * 15)) == LONGEST_NAME


def test_markup_is_text():
    assert markup("""<a href="x">&'""") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
    assert markup("&amp;") == "&amp;amp;"


@given(st.lists(st.text(), min_size=1, max_size=20), st.booleans())
def test_whatever_programs_call_themselves_each_text_is_printable_and_bounded(names, lives):
    first, offers = target(name=names[0]), [Offer(target(name=name), BOTH) for name in names[:3]]
    for note in (
        texts.warning(shortage(*offers, first=first), UID, texts.ending(first)),
        texts.deaths(tuple(Death(name, True, MIB, name, GIB, GIB, lives) for name in names)),
    ):
        for text in (note.summary, *note.body.split("\n"), *(label for _, label in note.actions)):
            assert text.isprintable()
        assert len(note.body) <= LONGEST_BODY
        assert len(note.summary) <= LONGEST_NAME + 40
        assert all(len(label) <= LONGEST_NAME + 10 for _, label in note.actions)
        assert not set(markup(note.body)) & set("<>\"'")
