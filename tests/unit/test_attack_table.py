"""The table of `make attack`, made of tests that a test invents."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TESTS = '''"""What an attacker tries here: everything.

The rest is not shown."""
import pytest
pytestmark = pytest.mark.attack("a local user")

def test_a_door_is_closed(): pass

@pytest.mark.attack("a captured monitor")
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_window_breaks_at_the_second(number): assert number != 2

@pytest.mark.left("the cellar")
@pytest.mark.parametrize("scenario", ["by_day", "by_night"])
def test_in_a_namespace(scenario): pass

def test_the_roof(record_property): record_property("left", "a tile")

def test_the_sea(): pytest.skip("no sea here")

@pytest.mark.xfail(strict=True, reason="nobody looks there")
def test_the_chimney(): assert 0
'''

EXPECTED = """
What an attacker tries here: everything.
  a door is closed | a local user | repelled
  a window breaks at the second | a captured monitor | FAILED
  by day | a local user | left: the cellar
  by night | a local user | left: the cellar
  the roof | a local user | left: a tile
  the sea | a local user | not tried: no sea here
  the chimney | a local user | left: nobody looks there

7 attacks: 1 repelled, 4 of which something is left to the attacker (killer/THREATS.md), 1 not tried here, 1 FAILED
"""


def test_each_attack_is_a_row_with_the_worst_of_its_outcomes(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    attack(who)\n    left(what)\n")
    (tmp_path / "test_invented.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.hostile.attack_table"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert ran.returncode == 1
    table = ran.stdout.partition("OUTCOME\n")[2].partition("\n=====")[0]
    lines = [" | ".join(filter(None, map(str.strip, line[2:].split("   ")))) for line in table.splitlines()]
    shown = [f"  {line}" if " | " in line else whole for line, whole in zip(lines, table.splitlines(), strict=True)]
    assert "\n".join(shown).strip() == EXPECTED.strip()
