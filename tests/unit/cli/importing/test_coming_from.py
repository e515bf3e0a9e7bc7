"""docs/coming-from.md names keys that exist, and every option of earlyoom."""

import re
import tomllib
from pathlib import Path

import pytest

from bustd_monitor import config
from bustd_monitor.cli.import_config import examined
from bustd_monitor.cli.importing.earlyoom import LONG, SHORT
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import keys_of

TREE = Path(__file__).parents[4]
TEXT = (TREE / "docs/coming-from.md").read_text()
KEYS = {key for schema in (config.SCHEMA, killer_toml.SCHEMA) for key, _ in keys_of(schema)}
NAMED = re.findall(r"`((?:floor|conditions|victims|sleep|grace|limits)(?:\.\w+)+)(?![\w.])", TEXT)


@pytest.mark.parametrize("key", sorted(set(NAMED)))
def test_a_key_that_is_named_exists(key):
    assert re.sub(r"^floor\.", "conditions.floor.", key) in KEYS


def test_every_option_of_earlyoom_has_a_row_except_those_that_do_nothing_there():
    text = TEXT.partition("## earlyoom")[2].partition("\n## ")[0]
    options = {f"-{letter}" for letter in SHORT.replace(":", "")} | {f"--{name.rstrip('=')}" for name in LONG}
    assert {option for option in options if f"`{option}" not in text} == {"-k", "-i", "-v", "-h", "--help"}


def test_the_configuration_that_it_shows_is_valid():
    block = "\n".join(line[4:] for line in TEXT.partition("as near as it gets:")[2].splitlines())
    assert tomllib.loads(block)["conditions"]["pressure"] == {"available_percent": 100, "swap_percent": 100}
    assert examined(block).problems == []


def test_readme_up_to_architecture_has_less_than_1000_words():
    assert len((TREE / "README.md").read_text().partition("## Architecture")[0].split()) < 1000
