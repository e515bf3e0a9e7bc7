"""The copies of the installed units for `bustd selftest`: what changes in their texts, and what does not."""

import re

import pytest

from bustd_monitor.cli import selftest
from bustd_monitor.cli.daemons import arguments_of, killer_words, monitor_words
from bustd_monitor.cli.unit_copies import (
    COPIES,
    KILLER,
    MONITOR,
    SOCKET,
    UNITS,
    Unit,
    Unusable,
    copies,
    exec_start,
    parse_units,
    peer_of,
    renamed,
)

OWN = "zzzz-bustd-selftest.conf"
TEXTS = {
    SOCKET: "[Socket]\nListenSequentialPacket=/run/bustd/killer.sock\nSocketGroup=bustd\n",
    KILLER: "[Unit]\nRequires=bustd-killer.socket\n[Service]\nExecStart=/usr/bin/python3 /lib/bustd_killer\nNice=-20\n",
    MONITOR: "[Service]\nUser=bustd\nRuntimeDirectory=bustd-monitor\nExecStart=/usr/bin/python3 /lib/bustd_monitor\n",
}

OPTIONS = selftest.options("/run/place")
OPTIONS.only_descendants_of = 4711
TOLD = {KILLER: killer_words(OPTIONS), MONITOR: monitor_words(arguments_of(OPTIONS)._replace(only_uid=-1))}

# --- what is installed


def test_units_are_read_from_what_systemctl_says():
    text = (
        "Id=bustd-killer.socket\nLoadState=loaded\nFragmentPath=/lib/s/bustd-killer.socket\nDropInPaths=\nUser=\n\n"
        "User=monitor=1\nDropInPaths=/etc/a.conf /run/b.conf\nFragmentPath=/lib/s/m\nLoadState=loaded\n"
        "Id=bustd-monitor.service\n\nId=other.service\nLoadState=loaded\n"
    )
    assert parse_units(text) == {
        SOCKET: Unit("loaded", ("/lib/s/bustd-killer.socket",)),
        KILLER: Unit("not-found"),
        MONITOR: Unit("loaded", ("/lib/s/m", "/etc/a.conf", "/run/b.conf"), "monitor=1"),
    }
    assert parse_units("System has not been booted with systemd as init system.\n")[KILLER].state == "not-found"


@pytest.mark.parametrize(
    ("installed", "copied"),
    [
        ("Requires=bustd-killer.socket", "Requires=bustd-selftest-killer.socket"),
        ("Wants=bustd-events.socket", "Wants=bustd-selftest-events.socket"),
        ("After=a.service bustd-monitor.service", "After=a.service bustd-selftest-monitor.service"),
        ("RuntimeDirectory=bustd-monitor", "RuntimeDirectory=bustd-selftest-monitor"),
        ("ReadWritePaths=/run/bustd-monitor", "ReadWritePaths=/run/bustd-selftest-monitor"),
        ("Documentation=man:bustd-killer(8)", "Documentation=man:bustd-selftest-killer(8)"),
        ("EnvironmentFile=-/etc/default/bustd-monitor", None),
        ("Slice=bustd.slice", None),
        ("User=bustd-killer", None),
        ("Group=bustd-killer", None),
        ("ListenSequentialPacket=/run/bustd/killer.sock", None),
        ("ExecStart=python3 /x/bustd_killer/__main__.py", None),
        ("After=bustd-monitor-extra.service my-bustd-killer.service", None),
    ],
)  # fmt: skip
def test_only_the_names_of_the_units_change(installed, copied):
    assert renamed(installed) == (copied or installed)


@pytest.mark.parametrize(
    ("texts", "command"),
    [
        (["[Service]\nExecStart=/bin/a -x\n"], "/bin/a -x"),
        (["[Service]\n ExecStart = /bin/a '%n' \"b c\"  \nExecStartPre=/bin/b"], "/bin/a '%n' \"b c\""),
        (["ExecStart=/bin/a \\\n# a comment \\\n  -x \\\n; another\n  -y\n"], "/bin/a    -x    -y"),
        (["#ExecStart=/bin/b\n;ExecStart=/bin/c\nExecStart=/bin/a"], "/bin/a"),
        (["ExecStart=/bin/a", "[Service]\nExecStart=\nExecStart=/bin/b"], "/bin/b"),
        (["ExecStart=/bin/a", "[Service]\nNice=5", "ExecStart=", "ExecStart=-/bin/c"], "-/bin/c"),
    ],
)
def test_the_command_line_is_what_the_files_come_to(texts, command):
    assert exec_start(KILLER, texts) == command


@pytest.mark.parametrize(("text", "count"), [("ExecStart=/bin/a\nExecStart=/bin/b", 2), ("ExecStart=a\nExecStart=", 0)])
def test_a_unit_without_exactly_one_command_line_has_no_copy(text, count):
    with pytest.raises(Unusable, match=f"bustd-killer.service has {count} lines ExecStart= where one is expected"):
        exec_start(KILLER, [text])


@pytest.mark.parametrize(("user", "value"), [("bustd", '"bustd"'), ("990", "990")])
def test_the_killers_peer_is_the_user_of_the_unit(user, value):
    assert peer_of(user) == value


@pytest.mark.parametrize("user", ["", "root", "0"])
def test_a_monitor_of_root_is_not_tested(user):
    with pytest.raises(Unusable, match="would run as root"):
        peer_of(user)


# --- the copies


def files_of(drop_ins: dict[str, dict[str, str]] | None = None) -> dict[str, str]:
    units = {name: {f"/lib/{name}": text} | (drop_ins or {}).get(name, {}) for name, text in TEXTS.items()}
    return copies(units, "/run/place", TOLD)


def test_each_copy_is_a_unit_and_a_drop_in_of_its_own():
    assert set(files_of()) == {*COPIES, *(f"{name}.d/{OWN}" for name in COPIES)}


def test_the_administrators_drop_ins_are_drop_ins_of_the_copy_and_ours_is_the_last():
    files = files_of({KILLER: {"/etc/10-a.conf": "[Service]\nSyslogIdentifier=bustd-killer\n", "/run/zzz.conf": "x"}})
    folder = "bustd-selftest-killer.service.d"
    assert files[f"{folder}/10-a.conf"] == "[Service]\nSyslogIdentifier=bustd-selftest-killer\n"
    assert sorted(name for name in files if name.startswith(folder))[-1] == f"{folder}/{OWN}"


def test_the_copies_have_a_socket_and_a_policy_of_their_own_and_may_kill_in_one_subtree_only():
    files = files_of()
    reset, own = re.findall(r"^ListenSequentialPacket=(.*)$", files[f"{COPIES[0]}.d/{OWN}"], re.MULTILINE)
    assert (reset, own) == ("", "/run/place/killer.sock")
    killer, monitor = (re.findall(r"^ExecStart=(.*)$", files[f"{name}.d/{OWN}"], re.MULTILINE) for name in COPIES[1:])
    scope = "--only-descendants-of 4711"
    assert killer == ["", f"/usr/bin/python3 /lib/bustd_killer --config /run/place/killer.toml {scope}"]
    policy = "--config /run/place/bustd.toml --killer-config /run/place/killer.toml"
    assert monitor == ["", f"/usr/bin/python3 /lib/bustd_monitor {policy} {scope}"]


def test_nothing_of_the_sandbox_changes():
    files = files_of()
    for name, copy in zip(UNITS, COPIES, strict=True):
        assert files[copy] == renamed(TEXTS[name])
    keys = {line.partition("=")[0] for copy in COPIES for line in files[f"{copy}.d/{OWN}"].splitlines() if "=" in line}
    assert keys == {
        *("ListenSequentialPacket", "Symlinks", "ExecStart", "Restart", "RuntimeMaxSec", "RuntimeDirectoryPreserve"),
        *("StartLimitIntervalSec", "StartLimitBurst", "StartLimitAction", "FailureAction", "SuccessAction"),
    }


def test_a_percent_sign_in_the_command_line_stays_what_it_is():
    units = {name: {name: text} for name, text in (TEXTS | {KILLER: "ExecStart=/bin/a %n {b} %%"}).items()}
    assert "\nExecStart=/bin/a %n {b} %% --config" in copies(units, "/run/place", TOLD)[f"{COPIES[1]}.d/{OWN}"]
