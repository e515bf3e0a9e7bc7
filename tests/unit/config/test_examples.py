"""The files in packaging/ have every key with its default, commented out."""

import re
import tomllib
from pathlib import Path

import pytest

from bustd_monitor import config
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import keys_of, with_defaults

PACKAGING = Path(__file__).parents[3] / "packaging"
EXAMPLES = [
    pytest.param(PACKAGING / "bustd.toml", config.SCHEMA, config.config_of, id="bustd.toml"),
    pytest.param(PACKAGING / "killer.toml", killer_toml.SCHEMA, killer_toml.config_of, id="killer.toml"),
]


def uncommented(path: Path) -> str:
    return re.sub(r"^#(?=\w+ = )", "", path.read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(("path", "schema", "config_of"), EXAMPLES)
def test_the_example_as_it_is_changes_nothing(path, schema, config_of):
    assert config_of(tomllib.loads(path.read_text())) == config_of({})


@pytest.mark.parametrize(("path", "schema", "config_of"), EXAMPLES)
def test_the_example_has_each_key_with_its_default_and_no_other_key(path, schema, config_of):
    assert tomllib.loads(uncommented(path)) == with_defaults({}, schema)


@pytest.mark.parametrize(("path", "schema", "config_of"), EXAMPLES)
def test_above_each_key_stands_its_meaning(path, schema, config_of):
    lines = iter(path.read_text().splitlines())
    for key, spec in keys_of(schema):
        table, _, name = key.rpartition(".")
        comments: list[str] = []
        for line in lines:
            if line.startswith(f"#{name} = "):
                break
            comments = [] if line.startswith("[") else [*comments, line]
            assert not line.startswith("[") or line == f"[{table}]"
        assert f"# {spec.meaning}" in comments, key
        assert spec.meaning


@pytest.mark.parametrize(("path", "schema", "config_of"), EXAMPLES)
def test_the_lists_that_stand_there_for_instance_can_be_used(path, schema, config_of):
    for example in re.findall(r"# For instance: (.*)", path.read_text()):
        for part in re.findall(r"\w+ = \[.*?\]", example):
            ((name, value),) = tomllib.loads(part).items()
            assert name in ("units", "users", "names", "commands", "cgroups")
            assert value


def test_the_default_user_of_the_example_may_be_missing_on_the_machine_that_has_the_file(tmp_path):
    path = tmp_path / "killer.toml"
    path.write_text(uncommented(PACKAGING / "killer.toml"))
    path.chmod(0o644)
    assert killer_toml.load(path)._replace(peer_uid=None) == killer_toml.config_of({})


def test_the_loaded_example_of_the_monitor_is_the_default(tmp_path):
    path = tmp_path / "bustd.toml"
    path.write_text(uncommented(PACKAGING / "bustd.toml"))
    assert config.load(path) == config.config_of({})
