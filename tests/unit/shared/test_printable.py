"""Text from the field, made fit to be printed."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bustd_shared.daemon.log import printable

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)


@given(st.one_of(ANY_TEXT, st.binary(max_size=40)))
@example("\ud800")
@example(b"\xff\n\x1b")
def test_whatever_comes_in_goes_out_in_one_line_that_disturbs_nothing(text):
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown.splitlines()) <= 1
    assert shown.encode().decode() == shown


@given(ANY_TEXT.filter(str.isprintable))
def test_what_is_printable_stays_as_it_is(text):
    assert printable(text) == text
    assert printable(text.encode()) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"foo) Z 1\n", r"foo) Z 1\n"),
        (b"\xff", r"\xff"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("\u202e", r"\u202e"),
        ("größer", "größer"),
        ("", ""),
    ],
)
def test_what_is_not_printable_is_shown_as_its_code(text, shown):
    assert printable(text) == shown
