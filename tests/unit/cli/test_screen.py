"""How lines fit a screen: folded, cut or whole, and painted where there are colours."""

import io
import os
import pty

import pytest

from bustd_monitor.cli.screen import Column, Screen, Tone, cut, screen_of, width

COLUMNS = (Column("PID", is_number=True), Column("NAME", 8), Column("UNIT"))
ROWS = [("7", "a", "short.service"), ("123456", "a-long-name-here", "u" * 100)]


class Terminal(io.StringIO):
    """A pseudo-terminal as standard output."""

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.ends = pty.openpty()
        os.set_blocking(self.ends[0], False)
        import termios

        termios.tcsetwinsize(self.ends[1], (40, columns))

    def isatty(self) -> bool:
        return os.isatty(self.ends[1])

    def fileno(self) -> int:
        return self.ends[1]


@pytest.fixture
def terminal():
    made: list[Terminal] = []

    def opened(columns: int) -> Terminal:
        made.append(Terminal(columns))
        return made[-1]

    yield opened
    for one in made:
        for end in one.ends:
            os.close(end)


@pytest.mark.parametrize(("columns", "used"), [(200, 200), (80, 80), (40, 80), (0, 80)])
def test_the_width_is_the_terminals_and_80_at_least(terminal, columns, used):
    assert screen_of(terminal(columns), {"TERM": "xterm"}).columns == used


def test_in_a_pipe_nothing_is_cut_and_nothing_has_a_colour():
    assert screen_of(io.StringIO(), {"TERM": "xterm", "COLUMNS": "80"}) == Screen(0, has_colours=False)


@pytest.mark.parametrize(
    ("environ", "has_colours"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
        ({}, False),
    ],
)
def test_a_terminal_has_colours_unless_it_is_dumb_or_the_user_wants_none(terminal, environ, has_colours):
    screen = screen_of(terminal(80), environ)
    assert screen.has_colours is has_colours
    assert screen.painted("x", Tone.ALARM) == ("\x1b[1;31mx\x1b[0m" if has_colours else "x")


def test_a_sentence_is_folded_between_words_with_its_indents():
    folded = Screen(20).folded("one two three four five six", 2, 6)
    assert folded == "  one two three four\n      five six"
    assert Screen().folded("word " * 100, 2).count("\n") == 0
    assert Screen(20).folded("a" * 30, 2, 4) == f"  {'a' * 15}\n    {'a' * 15}"


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("text", ["x" * 500, "ab " * 300, "字" * 300, "a字 " * 200, "e\u0301" * 300])
def test_no_folded_line_is_wider_than_the_screen_and_no_word_is_lost(columns, text):
    folded = Screen(columns).folded(text, 6, 8)
    assert max(width(line) for line in folded.splitlines()) <= columns
    assert "".join(folded.split()) == "".join(text.split())


@pytest.mark.parametrize("columns", [80, 200])
def test_a_row_of_a_table_is_one_line_and_an_ellipsis_says_what_was_cut(columns):
    head, first, second = Screen(columns).table(COLUMNS, ROWS, 2)
    assert head == "     PID  NAME      UNIT"
    assert first == "       7  a         short.service"
    assert second.startswith("  123456  a-long-…  uuu")
    assert (len(second), second[-1]) == ((80, "…") if columns == 80 else (120, "u"))


def test_in_a_pipe_a_table_is_whole():
    *_, last = Screen().table(COLUMNS, ROWS)
    assert last == f"123456  a-long-name-here  {'u' * 100}"


@pytest.mark.parametrize(
    ("text", "kept"), [("12345678", "12345678"), ("123456789", "1234567…"), ("字字字字字", "字字字…"), ("", "")]
)
def test_a_text_is_cut_by_columns_and_not_by_characters(text, kept):
    assert cut(text, 8) == kept
    assert width(kept) <= 8
