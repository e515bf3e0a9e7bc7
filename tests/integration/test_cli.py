"""The commands that people type: what they print, and their exit codes."""

import os
import re
import shutil
import subprocess

import pytest

from bustd_monitor.cli import commands
from bustd_monitor.cli import run as cli_run
from bustd_monitor.cli.parser import parsed
from bustd_shared.kernel import version
from tests.support import install, pair, victims
from tests.support.pair import ALWAYS, PERMISSIVE
from tests.support.typed import typed

TEN = 10


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


# --- wrong arguments


COMMANDS = ", ".join(command.name for command in commands.COMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nonsense"], f"there is no command 'nonsense'; there are {COMMANDS}"),
        ([""], f"there is no command ''; there are {COMMANDS}"),
        (["--nonsense"], "--nonsense is unknown"),
        (["-p", "much"], "-p/--psi: expected a number from 0 to 100, found 'much'"),
        (["-p"], "-p/--psi: expected a number from 0 to 100, found nothing"),
        (["-n", "--only-descendants-of", "0"], "--only-descendants-of: expected the PID of a process, found '0'"),
        (["-n", "--only-descendants-of=-5"], "--only-descendants-of: expected the PID of a process, found '-5'"),
        (["-n", "--only-descendants-of="], "--only-descendants-of: expected the PID of a process, found ''"),
        (["-n", "--config="], "--config: expected the name of a file, found ''"),
        (["-n", "--cgroup", "a/../b"], "--cgroup: expected the path of a control group, found 'a/../b'"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_64(monkeypatch, capfd, words, sentence):
    line = f"bustd: {sentence} (bustd --help shows what there is)\n"
    assert typed(monkeypatch, capfd, *words) == (64, "", line)


@pytest.mark.parametrize("command", [["run", "-n"], ["explain"], ["check"]])
@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("-p", "200", "conditions.pressure.psi_some_avg10: expected a number from 0 to 100, found 200.0"),
        ("-p", "nan", "conditions.pressure.psi_some_avg10: expected a number from 0 to 100, found nan"),
        ("-u", "ok|longer-than-comm", "victims.never.names[1]: expected a glob that a process name can match"),
        ("-u", "[a", "victims.never.names[0]: expected a glob with a ] for each ["),
    ],
)
def test_an_impossible_value_on_the_command_line_is_named(
    monkeypatch, capfd, tmp_path, command, option, value, sentence
):
    scope = [] if command == ["check"] else pair.scope()
    words = [*command, *pair.files(tmp_path, {}, {}), *scope, option, value]
    code, out, err = typed(monkeypatch, capfd, *words)
    assert code == (1 if command == ["check"] else 78)
    name = {"-p": "-p/--psi", "-u": "-u/--unkillables"}[option]
    assert f"command line, {name}: {sentence}" in lines_of(out if command == ["check"] else err)[0]


def test_the_options_of_the_original_have_its_long_and_short_names():
    short = parsed(["-V", "-n", "-g", "-p", "40", "-u", "a|b"])
    long = ["--verbose", "--no-daemon", "--kill-pgroup", "--psi", "40", "--unkillables", "a|b"]
    assert parsed(long) == parsed(["run", *long]) == short
    assert parsed([]).command == short.command == "run"
    assert (short.verbose, short.no_daemon, short.psi) == (True, True, 40)


def test_help_names_every_command_and_every_exit_code(monkeypatch, capfd):
    code, out, _ = typed(monkeypatch, capfd, "--help")
    assert code == 0
    for word in ("run", "check", "explain", "selftest", "record", "replay"):
        assert re.search(rf"^    {word} +\w", out, re.MULTILINE)
    for number in (0, 1, 64, 69, 70, 71, 73, 78):
        assert re.search(rf"^  {number} +\w", out, re.MULTILINE)


# --- run


@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "code", "sentence"),
    [
        ("no-such-user", 69, "bustd: there is no user no-such-user for the monitor to run as: useradd --system"),
        ("root", 64, "bustd: the monitor must not run as root: choose another --user"),
    ],
)
@pytest.mark.parametrize("command", [["run", "-n", *pair.scope()], ["selftest"]])
def test_the_monitor_needs_a_user_of_its_own(command, user, code, sentence):
    result = pair.run(pair.CREWS["root"], *command, "--user", user)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith(sentence)
    assert len(lines_of(result.stderr)) == 1


@pytest.mark.root
def test_an_installation_that_the_monitors_user_cant_read_is_said_before_anything_is_started(tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    shutil.copytree(install.home(), private / "bustd", symlinks=True)
    command = [private / "bustd/bin/python3", "-I", "-m", "bustd_monitor.cli.main", "-n", *pair.scope()]
    result = subprocess.run([*command, "--user", "nobody"], capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stdout) == (69, "")
    assert result.stderr.startswith(f"bustd: the user nobody can't read {private}/bustd")
    assert "install it where every user can read it" in result.stderr
    assert len(lines_of(result.stderr)) == 1


def test_it_says_the_kernel_and_which_processes_it_can_kill(crew, place):
    words = ["-n", *pair.files(place, pair.NEVER, PERMISSIVE), *pair.scope(), "--user", "nobody"]
    command = install.bustd(*words)
    with pair.started(command, crew.identity, place / "log", stdout=subprocess.PIPE) as bustd:
        bustd.await_ready()
        with bustd.process.stdout as stdout:
            assert stdout.readline() == f"bustd on Linux {os.uname().release}\n".encode()
            if not crew.is_root:
                uid = crew.identity.get("user", os.geteuid())
                assert stdout.readline() == f"not root: only processes of uid {uid} can be killed\n".encode()
            assert bustd.stop() == 0


@pytest.mark.parametrize(
    ("release", "is_too_old"),
    [
        ("5.3.18-57-default", True),
        ("4.19.0-27-amd64", True),
        ("5.4.0-216-generic", False),
        ("5.10.0", False),
        ("6.12.9+deb13-amd64", False),
        ("10.0-rc1", False),
        ("5", True),
        ("", True),
    ],
)
def test_linux_before_5_4_is_too_old(release, is_too_old):
    assert version.too_old(release) is is_too_old


def test_an_old_kernel_is_refused_before_anything_else(monkeypatch, capfd):
    monkeypatch.setattr(cli_run.os, "uname", lambda: os.uname_result(("Linux", "x", "4.19.0", "#1", "x86_64")))
    assert cli_run.run(parsed(["-n", "--config", "/nonexistent"])) == 69
    assert capfd.readouterr() == ("", "bustd: Linux 4.19.0 is too old: bustd needs Linux 5.4 or later\n")


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_obstacle(crew, place, closed):
    words = ["-n", *pair.files(place, ALWAYS, PERMISSIVE), *pair.scope(), "--user", "nobody"]
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *install.bustd(*words)]
    with crew.victim() as leak, pair.started(shell, crew.identity, place / "log"):
        assert victims.exits_within(leak, 15)


# --- check


def test_check_says_that_all_is_well(crew, place):
    result = pair.run(crew, "check", *pair.files(place, ALWAYS, PERMISSIVE))
    assert (result.returncode, result.stderr) == (0, "")
    read = f"{place}/bustd.toml, {place}/killer.toml"
    assert result.stdout == f"bustd.toml and killer.toml are in order (files read: {read})\n"


def test_check_warns_of_a_condition_that_the_killer_would_not_follow(crew, place):
    result = pair.run(crew, "check", *pair.files(place, ALWAYS, {}))
    assert result.returncode == 0
    assert lines_of(result.stdout)[0].startswith("warning: conditions.floor can fire at 100 % of available memory")


def test_check_names_the_file_the_key_what_was_expected_and_the_nearest_key(crew, place):
    options = pair.files(place, {"conditions.flor.enabled": True, "sleep.longest_ms": 0}, {"limit.minimum_mib": 16})
    result = pair.run(crew, "check", *options)
    assert (result.returncode, result.stderr) == (1, "")
    assert lines_of(result.stdout) == [
        f"{place}/bustd.toml: conditions.flor: unknown key; nearest known key: conditions.floor",
        f"{place}/bustd.toml: sleep.longest_ms: expected a whole number from 1 to 600000, found 0",
        f"{place}/killer.toml: limit: unknown key; nearest known key: limits",
        "3 problems",
    ]


@pytest.mark.parametrize("option", ["--config", "--killer-config"])
def test_check_does_not_take_a_file_that_is_not_there_for_defaults(crew, option):
    result = pair.run(crew, "check", option, "/nonexistent.toml")
    assert result.returncode == 1
    assert lines_of(result.stdout) == ["/nonexistent.toml: no such file", "1 problem"]


def test_check_of_a_file_without_permission(crew, place):
    options = pair.files(place, ALWAYS, PERMISSIVE)
    (place / "bustd.toml").chmod(0)
    result = pair.run(crew, "check", *options)
    assert result.returncode == (0 if crew.is_root else 1)
    if not crew.is_root:
        assert lines_of(result.stdout)[0] == f"{place}/bustd.toml: can't be read: Permission denied"


@pytest.mark.parametrize("command", ["check", "--help"])
def test_a_reader_that_has_gone_is_no_error(crew, place, command):
    words = install.bustd(command, *pair.files(place, ALWAYS, PERMISSIVE))
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as stdout:
        result = subprocess.run(
            words, stdout=stdout, stderr=subprocess.PIPE, env={"PATH": os.defpath}, cwd="/", **crew.identity
        )
    assert result.stderr == b""
    assert result.returncode == 0


def test_a_full_disk_is_one_sentence(crew, place):
    with open("/dev/full", "w") as stdout:  # noqa: PTH123 - a device, and no path of the test's
        words = install.bustd("check", *pair.files(place, ALWAYS, PERMISSIVE))
        result = subprocess.run(
            words, stdout=stdout, stderr=subprocess.PIPE, env={"PATH": os.defpath}, cwd="/", **crew.identity
        )
    assert b"Traceback" not in result.stderr
    assert result.returncode != 0
