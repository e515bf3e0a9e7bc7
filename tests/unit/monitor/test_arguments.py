"""The monitor's command line, and what it says on top of the files."""

import pytest

from bustd_monitor import start
from bustd_monitor.arguments import KEYS, OPTIONS, Arguments, UsageError, overrides, parse_arguments
from bustd_monitor.config import SCHEMA, load
from bustd_shared.rules.schema import ConfigError, keys_of


def test_without_a_word_the_files_are_the_default_ones():
    arguments = parse_arguments([])
    assert arguments == Arguments()
    assert (arguments.config, arguments.killer_config) == (None, None)
    assert overrides(arguments) == {}


def test_each_option_is_understood():
    words = (
        "--config b.toml --killer-config k.toml --psi 12.5 --unkillable sshd --unkillable X* --kill-group --verbose "
        "--dry-run --only-uid 1000 --only-descendants-of 77 --ancestor-ticks 5 --cgroup /a"
    )
    assert parse_arguments(words.split()) == Arguments(
        "b.toml", "k.toml", 12.5, ("sshd", "X*"), "group", True, True, 1000, 77, 5, "/a"
    )


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--colour"], "--colour is unknown"),
        (["--colour", "blue"], "--colour is unknown"),
        (["extra", "word"], "extra is unknown"),
        (["--verbose", "--", "word"], "-- is unknown"),
        (["--config"], "--config lacks its value"),
        (["--psi", "high"], "--psi: 'high' is not a number"),
        (["--only-uid", "nobody"], "--only-uid: 'nobody' is not a whole number"),
        (["--only-uid", "-1"], "--only-uid: -1 is below 0"),
        (["--only-descendants-of", "1.5"], "--only-descendants-of: '1.5' is not a whole number"),
        (["--only-descendants-of", "0"], "--only-descendants-of: 0 is below 1"),
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


def test_every_option_sets_a_field_and_every_field_on_top_of_the_files_has_its_key():
    assert [option.field for option in OPTIONS.values()] == list(Arguments._fields)
    known = {key for key, _ in keys_of(SCHEMA)}
    assert set(KEYS) < set(Arguments._fields)
    assert set(KEYS.values()) < known


@pytest.mark.parametrize("read", [start._configuration, start._rules])
@pytest.mark.parametrize("path", ["missing.toml", ""])
def test_a_file_that_was_named_has_to_be_there_and_an_empty_name_is_not_the_default_file(
    read, path, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="no such file"):
        read(Arguments(config=path, killer_config=path))


@pytest.mark.parametrize(("read", "name"), [(start._configuration, "CONFIG"), (start._rules, "KILLER_CONFIG")])
def test_a_default_file_need_not_be_there(read, name, monkeypatch, tmp_path):
    monkeypatch.setattr(start, f"DEFAULT_{name}", f"{tmp_path}/missing.toml")
    assert read(Arguments())
