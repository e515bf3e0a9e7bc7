"""Each reason for a default (packaging/man/reasons.toml) rests on a recorded trace, on a test, or on a measurement."""

import json
import re
import tomllib
from pathlib import Path

import pytest

from bustd_monitor import config
from bustd_shared.rules import killer_toml
from bustd_shared.rules.schema import keys_of
from tests.bench.__main__ import SECTIONS
from tests.support.traces import replay_of

TREE = Path(__file__).parents[3]
TRACES = TREE / "tests/data/traces"
REASONS = tomllib.loads((TREE / "packaging/man/reasons.toml").read_text())
EVERY = [(file, key, reason) for file, table in REASONS.items() for key, reason in table.items()]
BESIDE = {"traces", "later", "same", "sigkill"}
DEFAULTS = {
    "bustd": {key: spec.default for key, spec in keys_of(config.SCHEMA)},
    "killer": {key: spec.default for key, spec in keys_of(killer_toml.SCHEMA)},
}


def rows(kind: str) -> list:
    """(key, trace, what stands there) of each replay of this kind."""
    found = [(key, trace, row) for _, key, reason in EVERY for trace, row in reason.get(kind, {}).items()]
    return [pytest.param(*one, id=f"{one[0]}, {one[1]}") for one in found]


@pytest.fixture
def kills(tmp_path):
    """A function that replays a trace with one value instead of a default: (ms, name, signal) of each kill."""

    def replay(trace: str, key: str, value: object) -> list[tuple[int, str, str]]:
        nothing, own, changed = (tmp_path / name for name in ("nothing.toml", "own.toml", "own.toml.d/changed.toml"))
        beside = TRACES / f"{trace}.toml"
        table, _, name = key.rpartition(".")
        changed.parent.mkdir(exist_ok=True)
        nothing.write_text("")
        own.write_text(beside.read_text() if beside.exists() else "")
        changed.write_text(f"[{table}]\n{name} = {json.dumps(value)}\n")
        rules = TRACES / f"{trace}.killer.toml"
        run = replay_of(TRACES / f"{trace}.trace", str(own), str(rules if rules.exists() else nothing))
        return [(kill.at_ms, kill.comm.decode(), kill.signal.name) for kill in run.kills]

    return replay


def recorded(trace: str) -> list[tuple[int, str, str]]:
    """What dies with the defaults: test_recorded.py holds it."""
    kills = json.loads((TRACES / f"{trace}.json").read_text())["kills"]
    return [(kill["at_ms"], kill["comm"], kill["signal"]) for kill in kills]


def names(kills: list[tuple[int, str, str]]) -> list[str]:
    return [comm for _, comm, _ in kills]


@pytest.mark.parametrize(("key", "trace", "row"), rows("traces"))
def test_with_another_value_others_die(kills, key, trace, row):
    value, *victims = row
    assert value != DEFAULTS["bustd"][key]
    assert victims != names(recorded(trace))
    assert names(kills(trace, key, value)) == victims


@pytest.mark.parametrize(("key", "trace", "row"), rows("later"))
def test_with_another_value_the_same_die_later(kills, key, trace, row):
    value, later_ms = row
    with_it, with_default = kills(trace, key, value), recorded(trace)
    assert value != DEFAULTS["bustd"][key]
    assert names(with_it) == names(with_default)
    assert with_it[0][0] - with_default[0][0] == later_ms > 0


@pytest.mark.parametrize(("key", "trace", "row"), rows("sigkill"))
def test_with_another_value_the_same_get_no_time_to_save_their_work(kills, key, trace, row):
    (value,) = row
    assert any(signal == "TERM" for _, _, signal in recorded(trace))
    assert [kill[1:] for kill in kills(trace, key, value)] == [(comm, "KILL") for comm in names(recorded(trace))]


@pytest.mark.parametrize(("key", "trace", "row"), rows("same"))
def test_with_other_values_it_comes_to_the_same(kills, key, trace, row):
    assert DEFAULTS["bustd"][key] not in row
    for value in row:
        assert kills(trace, key, value) == recorded(trace)


@pytest.mark.parametrize(("file", "key", "reason"), EVERY, ids=lambda one: one if isinstance(one, str) else "")
def test_each_reason_is_a_sentence_about_a_key_and_rests_on_something(file, key, reason):
    assert DEFAULTS[file][key] not in (None, "", [])
    assert re.fullmatch(r"[A-Z].*\.", reason["why"])
    assert len(reason.keys() & {*BESIDE, "test", "bench"}) == len(reason) - 1 >= 1


def test_the_tests_and_measurements_that_reasons_rest_on_exist():
    for _, key, reason in EVERY:
        path, _, name = reason.get("test", "").partition("::")
        if path:
            assert f"\ndef {name}(" in (TREE / "tests" / path).read_text(), key
        assert reason.get("bench", SECTIONS[0]) in SECTIONS, key


def test_the_socket_and_the_user_are_those_of_the_units():
    unit = (TREE / "packaging/systemd/bustd-killer.socket").read_text()
    assert f"ListenSequentialPacket={DEFAULTS['bustd']['killer.socket']}\n" in unit
    users = (TREE / "packaging/sysusers.d/bustd.conf").read_text()
    assert f"\nu {DEFAULTS['killer']['peer.user']} " in users
