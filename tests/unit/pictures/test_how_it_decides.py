"""docs/how-it-decides.md and its pictures say what is in the recorded trace."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bustd_monitor.amounts import size
from bustd_monitor.reporting import reasons, sentences
from tests.pictures.__main__ import DIRECTORY
from tests.pictures.crisis import TRACE, crisis
from tests.pictures.draw import PICTURES, spans

PAGE = (Path(__file__).parents[3] / "docs/how-it-decides.md").read_text()
WORDS = " ".join(PAGE.split())
MIB = 2**20


@pytest.fixture(scope="module")
def seen():
    return crisis()


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_drawn_from_the_trace_byte_for_byte(seen, name):
    assert (DIRECTORY / f"{name}.svg").read_text() == PICTURES[name](seen), "run: python -m tests.pictures"


def test_every_picture_is_on_the_page_with_its_title_as_its_words():
    shown = re.findall(r"!\[(.*)\]\(pictures/(\w+)\.svg\)", PAGE)
    assert {name for _, name in shown} == set(PICTURES) == {path.stem for path in DIRECTORY.iterdir()}
    for words, name in shown:
        root = ET.parse(DIRECTORY / f"{name}.svg").getroot()
        assert [child.text for child in root if child.tag.endswith("title")] == [words]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_a_light_card_of_its_own_and_nothing_outside_of_it(name):
    root = ET.parse(DIRECTORY / f"{name}.svg").getroot()
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    _title, card, *parts = root
    assert card.attrib["fill"] == "#ffffff"
    for part in parts:
        for key, most in (("x", width), ("x1", width), ("x2", width), ("y", height), ("y1", height), ("y2", height)):
            assert 0 <= float(part.attrib.get(key, 0)) <= most


def test_the_figures_of_the_page_are_those_of_the_trace(seen):
    reading, chosen = seen.reading_at(seen.killed_ms), seen.ask.candidate
    hold, script = seen.ask.runners_up
    back = seen.reading_at(seen.gone_ms)
    bonus = chosen.badness - chosen.held_bytes
    percent = 100 * reading.available / reading.total
    for said in (
        f"machine with {size(reading.ram)} of memory",
        f"{size(reading.available)} of {size(reading.total)} are available: {percent:.1f} %",
        f"at {seen.killed_ms / 1000:.1f} s",
        f"{size(chosen.held_bytes)} for `leak`, {size(hold.held_bytes)} for `hold` and {size(script.held_bytes)} for",
        f"gained {size(chosen.process.gained_bytes)}, more than all other",
        f"{size(chosen.held_bytes)} and a bonus of {size(bonus)} are {size(chosen.badness)} of badness",
        f"stays at {hold.badness / MIB:.0f}",
        f"{seen.gone_ms - seen.killed_ms} ms later `leak` is gone",
        f"{size(back.available)} are available again, {100 * back.available / back.total:.1f} %",
        f"SIG{seen.ask.finding.signal.name} for {chosen.process.pid} (leak)",
        reasons.place(chosen),
        sentences.readings(reading),
    ):
        assert said in WORDS, said
    assert reading.pressure.some_avg10 == 0.0
    assert TRACE.name in PAGE


def test_the_moments_of_the_conditions_are_those_of_the_trace(seen):
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.M))
    assert set(rows) == set(seen.states)
    for name, told in seen.states.items():
        began_ms = next((at_ms for at_ms, state in told if state != "quiet"), None)
        assert (f"{began_ms / 1000:.1f} s" in rows[name]) if began_ms else "quiet" in rows[name]
        assert ("**fires**" in rows[name]) == any(state == "fires" for _, state in told)


def test_a_state_lasts_until_the_next_reading_and_no_longer_than_is_shown():
    told = [(0, "quiet"), (10, "quiet"), (20, "scarce"), (30, "quiet")]
    assert spans(told, 5, 40) == [(5, 20, "quiet"), (20, 30, "scarce"), (30, 40, "quiet")]
    assert spans(told, 21, 25) == [(21, 25, "scarce")]
