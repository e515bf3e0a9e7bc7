import re
import sys
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[3]


@pytest.fixture
def guest(monkeypatch):
    """The guest's modules are programs of their own, which import each other by their names."""
    monkeypatch.setattr(sys, "path", [str(TREE / "tests/vm/guest"), *sys.path])
    import captured

    return captured


def test_what_is_left_to_a_captured_killer_inside_its_unit_is_the_list_in_threats(guest):
    text = (TREE / "killer/THREATS.md").read_text().partition("## What a captured killer can still do")[2]
    text = text.partition("These are the kernel's")[0]
    standalone = set(re.findall(r"^- `([^`]+)`", text, re.MULTILINE))
    in_the_unit = set(re.findall(r"`([^`]+)`", text.partition("Inside its unit")[2].replace("\n", " ")))
    assert standalone
    assert in_the_unit
    assert standalone | in_the_unit == guest.LEFT


def test_what_is_left_to_a_captured_monitor_inside_its_unit_is_the_list_in_threats(guest):
    text = (TREE / "killer/THREATS.md").read_text().partition("## What a captured monitor can do")[2]
    standalone, _, in_the_unit = text.partition("## What it cannot do")[0].partition("Inside its unit")
    listed = set(re.findall(r"^- `([^`]+)`", standalone, re.MULTILINE))
    more = set(re.findall(r"`([^`]+)`", in_the_unit)) - {"systemctl status"}
    assert listed
    assert more
    assert listed | more == guest.LEFT_TO_THE_MONITOR
