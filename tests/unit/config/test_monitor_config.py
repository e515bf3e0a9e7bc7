import os

import pytest

from bustd_monitor.conditions.emergency import Emergency
from bustd_monitor.conditions.floor import Floor
from bustd_monitor.conditions.forecast import Forecast
from bustd_monitor.conditions.pressure import Pressure
from bustd_monitor.conditions.stall import Stall
from bustd_monitor.conditions.table import Conditions
from bustd_monitor.config import SCHEMA, Killer, MonitorConfig, Sleep, config_of, load
from bustd_monitor.ranking.settings import Matchers, Victims
from bustd_shared.rules.schema import ConfigError, keys_of
from bustd_shared.rules.validation import validate

NOBODY_MATCHES = Matchers((), (), (), ())


@pytest.fixture
def path(tmp_path):
    return tmp_path / "bustd.toml"


@pytest.fixture
def written(path):
    def write(text: str):
        path.write_text(text)
        return path

    return write


def problems_of(path, **options) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, **options)
    return caught.value.problems


def test_without_a_file_everything_has_its_default(path):
    assert load(path) == MonitorConfig(
        dry_run=False,
        verbose=False,
        conditions=Conditions(
            Pressure(True, 15, 25.0, 15, 50),
            Floor(True, 10, 1024, 10, 50, 25),
            Stall(True, 150, 900, 2, 15, 20, 25, 30),
            Forecast(True, 2, 8),
            Emergency(True, 300, 10, 35, 10),
        ),
        sleep=Sleep(0, 20, 10000, 1000),
        victims=Victims("process", 100, 300, 300, NOBODY_MATCHES, NOBODY_MATCHES, NOBODY_MATCHES),
        killer=Killer("/run/bustd/killer.sock", 120),
    )


def test_what_is_loaded_is_what_the_values_alone_would_give(path):
    assert load(path) == config_of({})


def test_a_missing_file_is_an_error_when_it_is_required(path):
    assert problems_of(path, required=True) == [f"{path}: no such file"]


def test_every_key_arrives_in_its_field(written):
    config = load(
        written("""
            dry_run = true
            verbose = true
            [conditions.pressure]
            enabled = false
            free_percent = 1.5
            psi_some_avg10 = 2
            available_percent = 3
            swap_percent = 4
            [conditions.floor]
            enabled = true
            available_percent = 4
            available_mib = 5
            swap_percent = 6
            kill_fraction_percent = 7
            relief_percent = 71
            [conditions.stall]
            enabled = false
            full_ms_per_second = 8
            some_ms_per_second = 81
            seconds = 9
            available_percent = 10
            refault_percent = 101
            thrash_available_percent = 102e-1
            patience_seconds = 103
            [conditions.forecast]
            enabled = false
            exhaustion_seconds = 1.25
            available_percent = 30
            [conditions.emergency]
            enabled = false
            full_ms_per_second = 31
            seconds = 32
            available_percent = 33
            swap_percent = 34
            [sleep]
            fill_mib_per_second = 11
            shortest_ms = 12
            longest_ms = 13
            watch_longest_ms = 14
            [victims]
            scope = "group"
            signal = "kill"
            growth_percent = 14
            prefer_points = 15
            avoid_points = 16
            avoid_shipped = false
            adj_percent = 61
            [victims.prefer]
            units = ["a.service"]
            users = ["root", 17]
            names = ["b*"]
            commands = ["* --leak"]
            [victims.avoid]
            names = ["c"]
            [victims.never]
            names = ["d"]
            cgroups = ["/a/*"]
            [victims.only]
            cgroups = ["*/b.scope"]
            [victims.grace]
            units = ["e*.service"]
            [killer]
            socket = "/run/x.sock"
            ping_seconds = 18
        """)
    )
    assert config == MonitorConfig(
        dry_run=True,
        verbose=True,
        conditions=Conditions(
            Pressure(False, 1.5, 2, 3, 4),
            Floor(True, 4, 5, 6, 7, 71),
            Stall(False, 8, 81, 9, 10, 101, 10.2, 103),
            Forecast(False, 1.25, 30),
            Emergency(False, 31, 32, 33, 34),
        ),
        sleep=Sleep(11, 12, 13, 14),
        victims=Victims(
            scope="group",
            growth_percent=14,
            prefer_points=15,
            avoid_points=16,
            prefer=Matchers(("a.service",), (0, 17), (b"b*",), ("* --leak",)),
            avoid=Matchers((), (), (b"c",), ()),
            never=Matchers((), (), (b"d",), (), ("/a/*",)),
            only=Matchers((), (), (), (), ("*/b.scope",)),
            avoid_shipped=False,
            adj_percent=61,
            signal="kill",
            grace=Matchers(("e*.service",), (), (), ()),
        ),
        killer=Killer("/run/x.sock", 18),
    )


def test_the_records_are_nested_as_the_file_is():
    config = config_of({})
    for key, spec in keys_of(SCHEMA):
        value = config
        for part in key.replace("users", "uids").split("."):
            value = getattr(value, part)
        assert value == (tuple(spec.default) if isinstance(spec.default, list) else spec.default)


def test_every_default_is_within_its_own_range():
    for key, spec in keys_of(SCHEMA):
        document: dict = spec.default
        for part in reversed(key.split(".")):
            document = {part: document}
        assert validate(document, SCHEMA, "default")[1] == []


def test_the_command_line_wins_over_the_file_and_its_drop_ins(written):
    path = written("verbose = false\n[conditions.pressure]\npsi_some_avg10 = 1\nfree_percent = 2\n")
    overrides = {"verbose": True, "conditions": {"pressure": {"psi_some_avg10": 30.5}}}
    config = load(path, overrides=overrides)
    assert config.verbose is True
    assert config.conditions.pressure == Pressure(True, 2, 30.5, 15, 50)


def test_the_command_line_adds_to_the_lists_of_the_file(written):
    path = written('[victims.never]\nnames = ["a"]')
    overrides = {"victims": {"never": {"names": ["b*", os.fsdecode(b"\xff")]}}}
    assert load(path, overrides=overrides).victims.never.names == (b"a", b"b*", b"\xff")


def test_the_command_line_is_checked_like_a_file_and_named_in_its_problems(path):
    overrides = {"conditions": {"pressure": {"psi_some_avg10": 200}}, "victims": {"never": {"names": ["x" * 16]}}}
    assert problems_of(path, overrides=overrides) == [
        "command line: conditions.pressure.psi_some_avg10: expected a number from 0 to 100, found 200",
        "command line: victims.never.names[0]: expected a glob that a process name can match "
        '(comm has at most 15 bytes), found "xxxxxxxxxxxxxxxx"; it is longer than any process name, of which '
        'the kernel keeps 15 bytes: write "xxxxxxxxxxxxxxx"',
    ]


def test_problems_of_the_file_and_of_the_command_line_are_told_together(written):
    path = written("[conditions.flor]\n")
    assert problems_of(path, overrides={"verbose": 1}) == [
        f"{path}: conditions.flor: unknown key; nearest known key: conditions.floor",
        "command line: verbose: expected true or false, found 1",
    ]


def test_a_problem_is_the_sentence_that_the_documentation_promises(written):
    path = written('[conditions.pressure]\nfree_percent = "x"')
    assert problems_of(path) == [
        f'{path}: conditions.pressure.free_percent: expected a number from 0 to 100, found "x"'
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[protect]\nunits = ['x.service']", "protect: unknown key; [protect] belongs in killer.toml"),
        ("[victims.protect]", "victims.protect: unknown key; [protect] belongs in killer.toml"),
        ("[rate]\nburst = 5", "rate: unknown key; [rate] belongs in killer.toml"),
        ("[floor]", "floor: unknown key; nearest known key: conditions.floor"),
    ],
)
def test_what_belongs_in_the_killers_file_is_an_error_that_names_that_file(written, text, sentence):
    path = written(text)
    assert problems_of(path) == [f"{path}: {sentence}"]


@pytest.mark.parametrize("condition", ["pressure", "floor", "stall"])
def test_a_condition_that_could_never_hold_is_an_error(written, condition):
    path = written(f"[conditions.{condition}]\navailable_percent = 0")
    key = f"conditions.{condition}.available_percent"
    assert problems_of(path) == [f"{path}: {key}: expected a number from 0.1 to 100, found 0"]


def test_a_shortest_sleep_above_the_longest_is_an_error(written):
    path = written("[sleep]\nshortest_ms = 500\nlongest_ms = 400")
    assert problems_of(path) == [f"{path}: sleep.shortest_ms: expected at most sleep.longest_ms (400), found 500"]


def test_a_shortest_sleep_above_the_longest_of_watch_is_an_error(written):
    path = written("[sleep]\nshortest_ms = 1001")
    assert problems_of(path) == [
        f"{path}: sleep.shortest_ms: expected at most sleep.watch_longest_ms (1000), found 1001"
    ]


def test_sleeps_that_are_all_the_same_are_in_order(written):
    config = load(written("[sleep]\nshortest_ms = 100\nlongest_ms = 100\nwatch_longest_ms = 100"))
    assert config.sleep == Sleep(0, 100, 100, 100)


def test_readings_too_far_apart_for_a_condition_are_an_error_only_while_it_is_enabled(written):
    path = written("[sleep]\nwatch_longest_ms = 1201")
    assert problems_of(path) == [
        f"{path}: sleep.watch_longest_ms: expected at most 1200 while conditions.{name} is enabled, found 1201"
        for name in ("stall", "emergency")
    ]
    load(written("[sleep]\nwatch_longest_ms = 1200"))
    off = "".join(f"[conditions.{name}]\nenabled = false\n" for name in ("stall", "emergency"))
    load(written(f"[sleep]\nwatch_longest_ms = 1201\n{off}"))


def test_a_monitor_without_any_condition_is_an_error(written):
    off = "".join(f"[conditions.{name}]\nenabled = false\n" for name in Conditions._fields)
    path = written(off)
    assert problems_of(path) == [f"{path}: conditions: expected one that is enabled, found all of them switched off"]


def test_one_condition_alone_is_in_order(written):
    others = [name for name in Conditions._fields if name != "floor"]
    config = load(written("".join(f"[conditions.{name}]\nenabled = false\n" for name in others)))
    assert [name for name in Conditions._fields if getattr(config.conditions, name).enabled] == ["floor"]


def test_a_contradiction_that_the_command_line_makes_is_named_after_it(written):
    path = written("[sleep]\nlongest_ms = 400")
    assert problems_of(path, overrides={"sleep": {"shortest_ms": 500}}) == [
        "command line: sleep.shortest_ms: expected at most sleep.longest_ms (400), found 500"
    ]


def test_rules_that_others_can_write_are_the_monitors_own_affair(written):
    path = written("verbose = true")
    path.chmod(0o666)
    assert load(path).verbose is True


def test_the_control_group_of_the_command_line_replaces_that_of_the_file(written):
    path = written('cgroup = "/a"')
    assert load(path).cgroup == "/a"
    assert load(path, overrides={"cgroup": "/sys/fs/cgroup/b"}).cgroup == "/b"
