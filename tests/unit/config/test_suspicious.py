"""A rule that does nothing or matches every process is said, with what to write instead; any other rule is not."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor import config
from bustd_shared.rules import killer_toml, suspicious
from bustd_shared.rules.globs import can_end_with, cut, parts
from bustd_shared.rules.regular_expressions import as_globs, look
from bustd_shared.rules.schema import Key, keys_of
from bustd_shared.rules.suspicious import Rule, suspicion, suspicions

PACKAGING = Path(__file__).parents[3] / "packaging"

LEGITIMATE = {
    "names": [
        *("X", "Xorg", "chrom*", "firefox", "g++", "c++filt", "cc1plus", "notepad++.exe", "*.exe", "ld.bfd", "a.out"),
        *("org.gnome.*", "com.docker.*", "python3.*", "python3.1[0-9]", "[0-9]*", "[!a-z]*", "[^a-z]x", "?", "7z"),
        *("Web Content", "Isolated Web Co", "(sd-pam)", "(udev-worker)", "(*)", ".*-wrapped", ".firefox-wrapp*"),
        *(
            "qemu-system-*",
            "C:\\windows\\*",
            "npm exec @a/b*",
            "kworker/*",
            "Baldur's Gate*",
            "café",
            "gnome-session-b",
        ),
    ],
    "units": [
        *("getty@*.service", "user@*.service", "user@1000.service", "postgresql*", "postgresql*.service", "*.scope"),
        *("docker-*.scope", "run-*.scope", "session-*.scope", "init.scope", "systemd-nspawn@*.service", "-.mount"),
        *("dev-disk-by\\x2duuid-*.swap", "php8.*-fpm.service", "docker.*", "snap.lxd.*.service", "apache2.servic[e]"),
        *("dbus-:1.2-org.gnome.*@0.service", "lxc.payload.web", "kubepods", "kubepods*", "libvirtd.service", "*ervice"),
    ],
    "commands": [
        *("*--type=renderer*", "java *DataNode*", "bash", "-bash", "/usr/bin/python3.* -m http.server", "*g++ *"),
        *("*\\steamapps\\common\\*", "C:\\Program Files (x86)\\*", "*/node_modules/.bin/*", "sh -c * | *", "*a+b*"),
        *("*org.example.Outer$Inner*", "/home/*/.*", "postgres: * idle", "*[[:digit:]]*", "* --label=a,b*", "*'x'"),
    ],
    "cgroups": [
        *("/system.slice/*", "*/app-firefox-*.scope", "*/kubepods/burstable/*", "/machine.slice", "*/session.slice"),
        *("*/app-org.chromium*", "*\\x2d*", "/user.slice/user-1000.slice/session-?.scope"),
    ],
}

REGULAR_EXPRESSIONS = {
    "names": [
        *("^(java|chromium)$", "(^|/)(init|X|sshd)$", ".*postgres.*", "^(X)$", "java$", "foo|bar", "chrom(e|ium)"),
        *("[0-9]+", "\\.exe$", "\\bjava\\b", "Web\\ Content", ".+", "postgres.*", "{Xorg,Xwayland}", "[a-z]{3}", "(X)"),
        *("^(java", "chromium)$", "-.*", "[ab].*", "(?i)java", "*postgres.*"),
    ],
    "units": ["^postgresql", "nginx\\.service", "ssh(d)?.service", "libpod-.*.scope", "run-.*", "a|b", "getty@.*"],
    "commands": [
        *(".*--type=renderer.*", "^/usr/bin/java", "java .*DataNode$", "*(java|python)*", "java.*DataNode", "(?i)x"),
        *("\\/usr\\/bin\\/x*", "x*\\d", "*[0-9]+*", "*[0-9]{2}*"),
    ],
    "cgroups": ["^/system.slice", "/(system|user).slice", "/system\\.slice/*", "/user.slice/.*x"],
}


def each(table: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(kind, glob) for kind, globs in table.items() for glob in globs]


def said(kind: str, glob: str, **where) -> str:
    return suspicion(Rule(kind, glob, **where))


def lines_of(values, schema, file: str) -> list[str]:
    return [warning.line() for warning in suspicions(values, schema, file)]


@pytest.mark.parametrize(("kind", "glob"), each(LEGITIMATE))
def test_what_processes_and_units_are_really_called_is_not_suspicious(kind, glob):
    assert said(kind, glob) == ""


@pytest.mark.parametrize(
    ("kind", "glob"),
    [
        *(("units", unit) for unit in killer_toml.SHIPPED_UNITS),
        *(("names", n.decode()) for n in killer_toml.SHIPPED_NAMES),
    ],
)
def test_no_rule_that_is_shipped_is_suspicious(kind, glob):
    assert said(kind, glob) == ""


@pytest.mark.parametrize(("kind", "glob"), each(REGULAR_EXPRESSIONS))
def test_a_regular_expression_is_called_one(kind, glob):
    assert look(kind, glob)
    assert "looks like a regular expression" in said(kind, glob)


@pytest.mark.parametrize(
    ("kind", "glob", "instead"),
    [
        ("names", "^(java|chromium)$", '"java", "chromium"'),
        ("names", "(^|/)(init|X|sshd)$", '"init", "X", "sshd"'),
        ("names", ".*postgres.*", '"*postgres*"'),
        ("names", "^java", '"java*"'),
        ("names", "java$", '"*java"'),
        ("names", "chrom(e|ium)?", '"chrome", "chromium", "chrom"'),
        ("names", "firefox|chrom(e|ium)", '"firefox", "chrome", "chromium"'),
        ("names", "^(java", '"java"'),
        ("names", "{Xorg,Xwayland}", '"Xorg", "Xwayland"'),
        ("names", "(?i)java", '"java"'),
        ("names", "^gnome-session-binary$", '"gnome-session-b"'),
        ("names", "python3\\.\\d+", '"python3.[0-9]*"'),
        ("names", "[a-f]+", '"[a-f]*"'),
        ("commands", ".*--type=renderer.*", '"*--type=renderer*"'),
        ("units", "^postgresql", '"postgresql*"'),
        ("units", "^nginx$", '"nginx.service"'),
        ("cgroups", "^/system.slice", '"/system.slice*"'),
        ("names", ".*", "a glob for each text, with * for anything"),
        ("names", "(a|b|c|d|e)(f|g|h|i)", "a glob for each text, with * for anything"),
    ],
)
def test_for_a_regular_expression_the_globs_are_said_that_mean_the_same(kind, glob, instead):
    assert said(kind, glob).endswith(f"and is matched as a glob: write {instead}")


@pytest.mark.parametrize(("kind", "glob"), each(REGULAR_EXPRESSIONS))
def test_the_globs_that_are_suggested_look_like_no_regular_expression(kind, glob):
    assert said(kind, glob).endswith("with * for anything") or not [one for one in as_globs(glob) if look(kind, one)]


@pytest.mark.parametrize(
    ("kind", "glob", "sentence"),
    [
        ("names", "'Xorg'", 'has quotes that are a part of it: write "Xorg"'),
        ("names", '"Xorg"', 'has quotes that are a part of it: write "Xorg"'),
        ("names", "'Xorg", 'has quotes that are a part of it: write "Xorg"'),
        ("names", "sshd'", 'has quotes that are a part of it: write "sshd"'),
        ("names", "“X”", 'has quotes that are a part of it: write "X"'),
        ("names", "''", "is nothing but quotes"),
        ("commands", "'java *'", 'has quotes that are a part of it: write "java *"'),
        ("names", " sshd", 'has blanks around it that are a part of it: write "sshd"'),
        ("names", "Xorg ", 'has blanks around it that are a part of it: write "Xorg"'),
        ("names", " ", "is nothing but blanks"),
        ("names", "Xorg, sshd", 'is one glob: write each by itself, "Xorg", "sshd"'),
        ("names", "/usr/bin/java", 'is a path, and a process name has none: write "java"'),
        ("names", "*/sshd", 'is a path, and a process name has none: write "sshd"'),
        (
            "names",
            "gnome-session-binary",
            'is longer than any process name, of which the kernel keeps 15 bytes: write "gnome-session-b"',
        ),
        ("names", "*-a-very-long-ending", "is longer than any process name, of which the kernel keeps 15 bytes"),
        ("units", "postgresql", 'has no suffix, and a unit\'s name has one: write "postgresql.service"'),
        ("units", "*postgres", 'has no suffix, and a unit\'s name has one: write "*postgres.service"'),
        ("units", "container-[12]", 'has no suffix, and a unit\'s name has one: write "container-[12].service"'),
        ("units", "getty@", 'has no suffix, and a unit\'s name has one: write "getty@*.service"'),
        ("units", "docker", 'has no suffix, and a unit\'s name has one: write "docker.service"'),
        ("units", "getty@.service", 'is a template, which never runs: write "getty@*.service"'),
        ("units", "backup.timer", 'has no processes, as a unit that ends in .timer: write "backup.service"'),
        ("units", "graphical.target", "has no processes, as a unit that ends in .target"),
        ("units", "system.slice/x.service", 'is a path, and a unit is a name: write "x.service"'),
        (
            "units",
            "user.slice",
            "is a slice, and a process belongs to a service or scope in it: write the services and scopes in it",
        ),
        ("commands", "--type=renderer", "is no whole command line, which begins with the program: write "),
        ("cgroups", "system.slice/*", 'is no whole path, which begins with /: write "*/system.slice/*"'),
        ("cgroups", "/sys/fs/cgroup/system.slice", "is the path of a folder: write that in the hierarchy, "),
        ("cgroups", "/system.slice/", 'ends with a slash, as no path does: write "/system.slice"'),
        ("cgroups", "/", "is the root, which has no name"),
    ],
)
def test_a_rule_that_can_match_nothing_is_said_with_what_to_write(kind, glob, sentence):
    assert said(kind, glob).startswith(sentence)


@pytest.mark.parametrize(
    "glob", ["app-firefox-*.scope", "app-org.chromium*", "snap.*.scope", "pipewire.service", "vte-spawn-*"]
)
def test_a_unit_of_a_users_own_manager_is_said_with_the_control_group_where_there_is_such_a_rule(glob):
    assert f'write cgroups = ["*/{glob}"]' in said("units", glob, has_cgroups=True)
    assert "user@UID.service, which is all that this user runs" in said("units", glob)


def test_a_regular_expression_for_a_unit_of_a_users_own_manager_is_said_with_the_glob_on_its_control_group():
    assert said("units", "app-firefox.*", has_cgroups=True).endswith('write cgroups = ["*/app-firefox*"]')
    assert said("units", "app-org.chromium.*", has_cgroups=True).endswith('write cgroups = ["*/app-org.chromium.*"]')


def test_a_unit_that_both_root_and_users_have_is_said_to_mean_roots_alone():
    sentence = said("units", "libpod-*.scope", has_cgroups=True)
    assert sentence.startswith("matches what root starts, and not what a user starts")
    assert sentence.endswith('write cgroups = ["*/libpod-*.scope"] as well')
    assert said("units", "libpod-*.scope").endswith("which counts as user@UID.service")


def test_a_slice_and_a_path_are_said_with_the_control_group_where_there_is_such_a_rule():
    assert said("units", "machine.slice", has_cgroups=True).endswith('write cgroups = ["*/machine.slice"]')
    assert said("units", "a.slice/b.service", has_cgroups=True).endswith('write cgroups = ["*/b.service"]')


@pytest.mark.parametrize(
    ("kind", "glob"),
    [("names", "*"), ("names", "?*"), ("commands", "**"), ("units", "*"), ("units", "*.*"), ("cgroups", "/*")],
)
def test_a_rule_that_matches_every_process_is_said_with_what_comes_of_it(kind, glob):
    assert said(kind, glob) == "matches every process: it would set no process apart"
    assert said(kind, glob, spares=True) == "matches every process: nothing could be killed"


@settings(database=None, deadline=None, max_examples=400)
@given(st.sampled_from(sorted(suspicious._OF)), st.text("ab1.*?[]()|^$+\\{},'/- x@", min_size=1, max_size=24))
def test_whatever_a_rule_is_there_is_one_sentence_or_none(kind, glob):
    try:
        parts(glob)
    except ValueError:
        return
    sentence = said(kind, glob, has_cgroups=True)
    assert sentence == "" or (sentence.isprintable() and not sentence.endswith(": write "))


# --- whole configurations


def test_the_rules_of_both_configurations_are_found_by_their_schema():
    values = {"protect": {"names": [b"'X'"], "units": ["*"]}, "rate": {"burst": 1}}
    assert lines_of(values, killer_toml.SCHEMA, "killer.toml") == [
        'killer.toml: protect.units: "*" matches every process: nothing could be killed',
        'killer.toml: protect.names: "\'X\'" has quotes that are a part of it: write "X"',
    ]
    lists = {
        key
        for schema in (config.SCHEMA, killer_toml.SCHEMA)
        for key, spec in keys_of(schema)
        if spec.kind in ("globs", "names")
    }
    values = {"victims": {"never": {"commands": ["*"]}, "prefer": {"names": [b"*"]}}, "verbose": True}
    assert lines_of(values, config.SCHEMA, "b") == [
        'b: victims.prefer.names: "*" matches every process: it would set no process apart',
        'b: victims.never.commands: "*" matches every process: nothing could be killed',
    ]
    assert {key.rpartition(".")[2] for key in lists} <= set(suspicious._OF)


def test_the_tables_that_spare_are_in_the_schemas():
    tables = {key.rpartition(".")[0] for schema in (config.SCHEMA, killer_toml.SCHEMA) for key, _ in keys_of(schema)}
    assert set(suspicious._SPARING) <= tables


def test_a_table_that_has_a_list_of_control_groups_is_told_of_it():
    schema = {"rules": {"units": Key("globs", [], ""), "cgroups": Key("globs", [], "")}}
    (line,) = lines_of({"rules": {"units": ["user.slice"]}}, schema, "f")
    assert line.endswith('write cgroups = ["*/user.slice"]')


def test_a_pattern_can_not_forge_a_line():
    (line,) = lines_of({"protect": {"names": [b"'a\n\xff"]}}, killer_toml.SCHEMA, "f")
    assert line.isprintable()


def test_the_examples_that_are_shipped_are_not_suspicious():
    for name, schema in (("bustd.toml", config.SCHEMA), ("killer.toml", killer_toml.SCHEMA)):
        for line in (PACKAGING / name).read_text().splitlines():
            if line.startswith("# For instance: "):
                for part in line.removeprefix("# For instance: ").replace("], ", "]\n").splitlines():
                    for kind, globs in tomllib.loads(part).items():
                        assert kind == "users" or not any(said(kind, glob) for glob in globs), line
        assert suspicions({}, schema, name) == []


# --- globs


@pytest.mark.parametrize(
    ("glob", "as_cut"),
    [
        ("gnome-session-binary", "gnome-session-b"),
        ("[gG]nome-session-binary", "[gG]nome-session-b"),
        ("gnome-session-?????", "gnome-session-?"),
        ("gnome-session-b*x", "gnome-session-b"),
        ("é" * 8, "é" * 7 + "*"),
        ("*gnome-session-binary", ""),
        ("short", "short"),
    ],
)
def test_a_glob_is_cut_as_the_kernel_cuts_a_name(glob, as_cut):
    assert cut(glob, 15) == as_cut


@pytest.mark.parametrize(
    ("glob", "can"),
    [
        ("a.service", True),
        ("*", True),
        ("a*", True),
        ("a*vice", True),
        ("*.servic?", True),
        ("*.servic[e]", True),
        ("[.]service", True),
        ("service", False),
        ("a.servicf", False),
        ("a.s*x", False),
        ("*.servic[f]", False),
    ],
)
def test_whether_a_glob_can_match_what_ends_so(glob, can):
    assert can_end_with(glob, ".service") is can
