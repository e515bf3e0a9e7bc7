"""The monitor's command line, and what it says on top of the files."""

import pytest

from bustd_monitor.arguments import (
    DEFAULT_CONFIG,
    DEFAULT_KILLER_CONFIG,
    Arguments,
    UsageError,
    overrides,
    parse_arguments,
)
from bustd_monitor.config import SCHEMA, load


def test_without_a_word_the_files_are_where_they_belong_and_need_not_exist():
    arguments = parse_arguments([])
    assert arguments == Arguments()
    assert (arguments.config, arguments.config_required) == (DEFAULT_CONFIG, False)
    assert (arguments.killer_config, arguments.killer_config_required) == (DEFAULT_KILLER_CONFIG, False)
    assert overrides(arguments) == {}


def test_each_option_is_understood():
    words = (
        "--config b.toml --killer-config k.toml --psi 12.5 --unkillable sshd --unkillable X* --kill-group --verbose "
        "--dry-run --only-uid 1000 --only-descendants-of 77 --cgroup /a"
    )
    assert parse_arguments(words.split()) == Arguments(
        "b.toml", True, "k.toml", True, 12.5, ("sshd", "X*"), True, True, True, 1000, 77, "/a"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--colour"], "--colour is unknown or lacks its value"),
        (["--colour", "blue"], "--colour is unknown"),
        (["extra", "word"], "extra is unknown"),
        (["--config"], "--config is unknown or lacks its value"),
        (["--psi", "high"], "--psi: 'high' is not a number"),
        (["--only-uid", "nobody"], "--only-uid: 'nobody' is not a number"),
        (["--only-descendants-of", "1.5"], "--only-descendants-of: '1.5' is not a number"),
    ],
)
def test_what_makes_no_sense_is_said(words, complaint):
    with pytest.raises(UsageError) as caught:
        parse_arguments(words)
    assert str(caught.value) == complaint


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--psi", "0"], {"conditions": {"pressure": {"psi_some_avg10": 0.0}}}),
        (["--kill-group"], {"victims": {"scope": "group"}}),
        (["--unkillable", "X*"], {"victims": {"never": {"names": ["X*"]}}}),
        (["--kill-group", "--unkillable", "X"], {"victims": {"scope": "group", "never": {"names": ["X"]}}}),
        (["--verbose"], {"verbose": True}),
        (["--cgroup", "/a"], {"cgroup": "/a"}),
        (["--dry-run", "--verbose"], {"dry_run": True, "verbose": True}),
        (["--only-uid", "5", "--only-descendants-of", "7", "--config", "x"], {}),
    ],
)
def test_what_goes_on_top_of_the_files_is_nested_as_they_are(words, values):
    assert overrides(parse_arguments(words)) == values


def test_everything_that_goes_on_top_is_known_to_the_configuration(tmp_path):
    words = ["--psi", "12.5", "--unkillable", "X*", "--kill-group", "--verbose", "--dry-run"]
    config = load(tmp_path / "missing.toml", overrides=overrides(parse_arguments(words)))
    assert config.conditions.pressure.psi_some_avg10 == 12.5
    assert config.victims.never.names == (b"X*",)
    assert (config.victims.scope, config.verbose, config.dry_run) == ("group", True, True)
    assert set(overrides(parse_arguments(words))) <= set(SCHEMA)
