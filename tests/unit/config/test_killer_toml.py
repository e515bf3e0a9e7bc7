import os
import pwd
import struct

import pytest

from bustd_monitor import config
from bustd_shared.daemon.libc import matches_glob
from bustd_shared.rules.killer_toml import (
    SCHEMA,
    SHIPPED_NAMES,
    SHIPPED_UNITS,
    ConfigError,
    KillerConfig,
    config_of,
    load,
    protection_of,
)
from bustd_shared.rules.protection import protected_by
from bustd_shared.rules.schema import keys_of
from bustd_shared.rules.validation import TABLES, validate


@pytest.fixture
def path(tmp_path):
    return tmp_path / "killer.toml"


@pytest.fixture
def written(path):
    def write(text: str):
        path.write_text(text)
        path.chmod(0o644)
        return path

    return write


@pytest.fixture
def only_root_exists(monkeypatch):
    def getpwnam(name):
        if name == "root":
            return pwd.getpwuid(0)
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", getpwnam)


@pytest.fixture
def bustd_is_4242(monkeypatch):
    entry = pwd.struct_passwd(("bustd", "x", 4242, 4242, "", "/", "/usr/sbin/nologin"))
    monkeypatch.setattr(pwd, "getpwnam", {"bustd": entry}.__getitem__)


def problems_of(path, **options) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(path, **options)
    return caught.value.problems


def test_without_a_file_everything_has_its_default(path, only_root_exists):
    assert load(path) == KillerConfig(
        peer_uid=None,
        protect_units=SHIPPED_UNITS,
        protect_uids=(),
        protect_names=(),
        shipped_names=SHIPPED_NAMES,
        claimed_percent=50,
        minimum_mib=16,
        minimum_percent=1,
        available_percent=40,
        burst=3,
        interval_ms=500,
        per_minute=60,
        term_ms=2000,
        stuck_ms=5000,
    )


def test_what_is_loaded_is_what_the_values_alone_would_give(path, only_root_exists):
    assert load(path) == config_of({})


def test_a_missing_file_is_an_error_when_it_is_required(path):
    assert problems_of(path, required=True) == [f"{path}: no such file"]


def test_every_key_arrives_in_its_field(written):
    config = load(
        written("""
            [peer]
            user = 77
            [protect]
            shipped = false
            units = ["postgresql*.service"]
            users = ["root", 12]
            names = ["caf\\u00e9*"]
            [limits]
            claimed_percent = 1
            minimum_mib = 2
            minimum_percent = 3
            available_percent = 4
            [rate]
            burst = 7
            interval_ms = 8
            per_minute = 9
            [grace]
            term_ms = 10
            stuck_ms = 11
        """)
    )
    protected = (("postgresql*.service",), (0, 12), ("café*".encode(),), ())
    assert config == KillerConfig(77, *protected, 1, 2, 3, 4, 7, 8, 9, 10, 11)


def test_a_key_that_has_no_effect_any_more_is_accepted_and_said(written):
    path = written("[limits]\npressured_available_percent = 100\npressure_some_avg10 = 5\n")
    why = "has no effect any more: available_percent alone decides, because any user can raise the pressure"
    config = load(path)
    assert config._replace(warnings=()) == config_of({})
    assert config.warnings == tuple(
        f"{path}: limits.{key}: {why}" for key in ("pressured_available_percent", "pressure_some_avg10")
    )


def test_own_rules_are_added_to_those_that_are_shipped(written):
    config = load(written('[protect]\nunits = ["x.service"]\nnames = ["y"]'))
    assert config.protect_units == (*SHIPPED_UNITS, "x.service")
    assert (config.protect_names, config.shipped_names) == ((b"y",), SHIPPED_NAMES)


def test_a_name_that_root_writes_is_roots_own_even_if_it_is_shipped_too(written):
    """So it protects every process that has the name, and not the system's and small ones alone."""
    config = load(written('[protect]\nnames = ["sshd"]'))
    assert protected_by(protection_of(config), "", 1000, b"sshd", is_trusted=False) == "name sshd"
    assert protected_by(protection_of(config_of({})), "", 1000, b"sshd", is_trusted=False) == ""


def test_the_shipped_rules_can_be_left_out(written):
    config = load(written("[protect]\nshipped = false"))
    assert (config.protect_units, config.protect_names, config.shipped_names) == ((), (), ())


def test_drop_ins_add_protection(written):
    path = written('[protect]\nnames = ["a"]')
    directory = path.with_name("killer.toml.d")
    directory.mkdir(mode=0o755)
    (directory / "10-x.toml").write_text('[protect]\nnames = ["b"]\n[rate]\nburst = 5')
    (directory / "10-x.toml").chmod(0o644)
    config = load(path)
    assert config.protect_names == (b"a", b"b")
    assert config.burst == 5


def test_the_default_user_is_looked_up(path, bustd_is_4242):
    assert load(path).peer_uid == 4242


def test_the_default_user_in_so_many_words_may_be_missing_too(written, only_root_exists):
    assert load(written('[peer]\nuser = "bustd"')).peer_uid is None


def test_the_peer_may_be_any_user_by_name(written):
    assert load(written('[peer]\nuser = "root"')).peer_uid == 0


def test_another_peer_that_does_not_exist_is_an_error(written, only_root_exists):
    path = written('[peer]\nuser = "bsutd"')
    assert problems_of(path) == [
        f"{path}: peer.user: expected the name of a user of this machine, or a uid (a number, not in quotes), "
        'found "bsutd"'
    ]


def test_every_problem_is_in_the_error(written):
    path = written('[protect]\nnames = ["dbus-broker-launch", "ok", "["]\n[limit]\n[rate]\nburst = 0\n')
    assert problems_of(path) == [
        f"{path}: protect.names[0]: expected a glob that a process name can match (comm has at most 15 bytes), "
        'found "dbus-broker-launch"; it is longer than any process name, of which the kernel keeps 15 bytes: '
        'write "dbus-broker-lau"',
        f'{path}: protect.names[2]: expected a glob with a ] for each [, found "["',
        f"{path}: limit: unknown key; nearest known key: limits",
        f"{path}: rate.burst: expected a whole number from 1 to 1000, found 0",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[victims.never]\nnames = ['x']", "victims: unknown key; [victims] belongs in bustd.toml"),
        ("[conditions.floor]", "conditions: unknown key; [conditions] belongs in bustd.toml"),
        ("[protect.never]\nnames = ['x']", "protect.never: unknown key; [victims.never] belongs in bustd.toml"),
        ("dry_run = true", "dry_run: unknown key; dry_run belongs in bustd.toml"),
    ],
)
def test_what_belongs_in_the_monitors_file_is_an_error_that_names_that_file(written, text, sentence):
    path = written(text)
    assert problems_of(path) == [f"{path}: {sentence}"]


def test_the_names_of_the_tables_are_those_of_the_two_schemas():
    schemas = {"bustd.toml": config.SCHEMA, "killer.toml": SCHEMA}
    for file, schema in schemas.items():
        tables = {key.rpartition(".")[0] or key for key, _ in keys_of(schema)} - {"cgroup"}
        tables |= {table.partition(".")[0] for table in tables}
        assert tables == set(TABLES[file])


def test_a_burst_above_the_rate_of_a_minute_is_an_error_of_the_file_that_says_so(written):
    path = written("[rate]\nburst = 61")
    assert problems_of(path) == [f"{path}: rate.burst: expected at most rate.per_minute (60), found 61"]
    path = written("[rate]\nper_minute = 2")
    assert problems_of(path) == [f"{path}: rate.burst: expected at most rate.per_minute (2), found 3"]


def test_a_contradiction_is_looked_for_only_where_each_key_is_right(written):
    assert len(problems_of(written('[rate]\nburst = 100\nper_minute = "x"'))) == 1


def test_rules_that_others_can_write_are_an_error(written):
    path = written("")
    path.chmod(0o666)
    assert "chmod go-w" in problems_of(path)[0]


@pytest.mark.root
def test_rules_of_another_user_are_an_error(written):
    path = written("")
    os.chown(path, 65534, 65534)
    assert problems_of(path) == [f"{path}: expected owner root, found owner uid 65534"]


@pytest.mark.parametrize("name", SHIPPED_NAMES)
def test_each_shipped_name_fits_into_comm(name):
    assert validate({"protect": {"names": [name.decode()]}}, SCHEMA, "f")[1] == []


@pytest.mark.parametrize("unit", SHIPPED_UNITS)
def test_each_shipped_unit_is_a_glob_on_a_unit_that_is_no_slice(unit):
    assert validate({"protect": {"units": [unit]}}, SCHEMA, "f")[1] == []
    assert unit.endswith((".service", ".scope"))
    assert matches_glob(unit.encode(), unit.encode())


@pytest.mark.parametrize(
    "unit",
    [
        "systemd-journald.service",
        "systemd-logind.service",
        "dbus.service",
        "ssh.service",
        "getty@tty1.service",
        "gdm.service",
    ],
)
def test_what_the_machine_cannot_do_without_is_protected_as_shipped(unit):
    assert protected_by(protection_of(config_of({})), unit, 1000, b"x", is_trusted=False) != ""


@pytest.mark.parametrize("comm", [b"sshd", b"sshd-session", b"dbus-daemon", b"systemd", b"elogind", b"lightdm"])
def test_its_names_are_protected_where_there_are_no_units(comm):
    assert protected_by(protection_of(config_of({})), "", 1000, comm, is_trusted=True) != ""
    assert protected_by(protection_of(config_of({})), "", 1000, comm, is_trusted=False) == ""


@pytest.mark.parametrize(
    ("unit", "uid", "comm"),
    [
        ("systemd-nspawn@web.service", 0, b"python3"),
        ("systemd-coredump@1.service", 0, b"x"),
        ("user@1000.service", 1000, b"firefox"),
        ("session-2.scope", 1000, b"bash"),
        ("docker.service", 0, b"java"),
        ("", 0, b"python3"),
    ],
)
def test_containers_sessions_and_roots_own_programs_are_not_protected_as_shipped(unit, uid, comm):
    assert protected_by(protection_of(config_of({})), unit, uid, comm, is_trusted=True) == ""


def test_every_limit_fits_into_the_killers_hello():
    for key, spec in keys_of(SCHEMA):
        if key.endswith(("percent", "avg10")):
            assert spec.low >= 0
            assert spec.high <= 100
        elif spec.kind == "int":
            struct.pack("I", int(spec.high))


def test_every_default_is_within_its_own_range():
    for key, spec in keys_of(SCHEMA):
        document: dict = spec.default
        for part in reversed(key.split(".")):
            document = {part: document}
        assert validate(document, SCHEMA, "default")[1] == []


@pytest.mark.parametrize("named", ["/a.slice/b.service", "a.slice/b.service", "/sys/fs/cgroup/a.slice/b.service/"])
def test_a_control_group_is_the_same_however_it_is_named(written, named):
    assert load(written(f'cgroup = "{named}"')).cgroup == "/a.slice/b.service"


@pytest.mark.parametrize("wrong", ["3", '"/a/../b"', '"a\\u0000"'])
def test_what_names_no_control_group_is_a_problem(written, wrong):
    path = written(f"cgroup = {wrong}")
    (problem,) = problems_of(path)
    assert 'cgroup: expected the path of a control group, or "", found' in problem
