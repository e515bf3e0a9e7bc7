"""The commands that people type: what they say and how they end."""

import os
import pwd
import re
import signal
import subprocess

import pytest

from bustd_common import kernel
from bustd_monitor.cli import main as cli_main
from bustd_monitor.cli import run as cli_run
from tests.support import install, pair, victims
from tests.support.pair import ALWAYS, PERMISSIVE

TEN = 10


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


# --- wrong arguments


def bustd(monkeypatch, capfd, *words: str) -> tuple[int, str, str]:
    """The command in this process, for what ends before it starts anything: its code and what it printed."""
    monkeypatch.setattr("sys.argv", ["bustd", *words])
    try:
        code = cli_main.main()
    except SystemExit as end:
        code = end.code
    return code, *capfd.readouterr()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["-p", "much"], "invalid float value: 'much'"),
        (["-p"], "expected one argument"),
        (["run", "explain"], "unrecognized arguments: explain"),
        (["-n", "--only-descendants-of", "0"], "'0' is not a PID"),
        (["-n", "--only-descendants-of=-5"], "'-5' is not a PID"),
        (["-n", "--only-descendants-of="], "'' is not a PID"),
        (["-n", "--config="], "the name of a file is missing"),
    ],
)
def test_wrong_arguments_are_one_sentence_and_64(monkeypatch, capfd, words, sentence):
    code, out, err = bustd(monkeypatch, capfd, *words)
    assert (code, out) == (64, "")
    assert err.startswith("bustd: ")
    assert err.endswith("(bustd --help shows what there is)\n")
    assert sentence in err
    assert len(lines_of(err)) == 1


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
    words = [*command, *pair.files(tmp_path, {}, {}), *pair.scope(), option, value]
    code, out, err = bustd(monkeypatch, capfd, *words)
    assert code == (1 if command == ["check"] else 78)
    assert f"command line: {sentence}" in lines_of(out if command == ["check"] else err)[0]


def test_help_names_every_command_and_every_exit_code(monkeypatch, capfd):
    code, out, _ = bustd(monkeypatch, capfd, "--help")
    assert code == 0
    for word in ("run", "check", "explain", "selftest"):
        assert re.search(rf"^  {word} +\w", out, re.MULTILINE)
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
@pytest.mark.parametrize("command", [["run", "-n"], ["selftest"]])
def test_the_monitor_needs_a_user_of_its_own(command, user, code, sentence):
    result = pair.run(pair.CREWS["root"], *command, *pair.scope(), "--user", user)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr.startswith(sentence)
    assert len(lines_of(result.stderr)) == 1


def test_it_says_the_kernel_and_whom_it_can_kill(crew, place):
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
    assert kernel.too_old(release) is is_too_old


def test_an_old_kernel_is_refused_before_anything_else(monkeypatch, capfd):
    monkeypatch.setattr(cli_run.os, "uname", lambda: os.uname_result(("Linux", "x", "4.19.0", "#1", "x86_64")))
    options = cli_main.parser().parse_args(["-n", "--config", "/nonexistent"])
    assert cli_run.run(options) == 69
    assert capfd.readouterr() == ("", "bustd: Linux 4.19.0 is too old: bustd needs Linux 5.4 or later\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_obstacle(crew, place, closed):
    words = ["-n", *pair.files(place, ALWAYS, PERMISSIVE), *pair.scope(), "--user", "nobody"]
    shell = ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", *install.bustd(*words)]
    with crew.victim() as leak, pair.started(shell, crew.identity, place / "log"):
        assert victims.exits_within(leak, 5)


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


# --- explain


def explain(crew, place, *options: str, monitor=ALWAYS, killer=PERMISSIVE) -> subprocess.CompletedProcess[str]:
    result = pair.run(crew, "explain", *pair.files(place, monitor, killer), *pair.scope(), *options)
    assert result.stderr == "" or result.returncode
    return result


def test_explain_shows_each_condition_with_its_present_values(crew, place):
    monitor = {"conditions.stall.enabled": False, "conditions.floor.available_mib": 1}
    result = explain(crew, place, "-p", "40", monitor=monitor)
    assert result.returncode == 0
    assert re.match(r"Now: .* of .* available \(\d+\.\d %\), .* free, .*PSI", result.stdout)
    assert re.search(r"^  floor +quiet: available at most 1024 KiB.*SIGKILL at 50 % of that$", result.stdout, re.M)
    assert re.search(r"^  pressure +quiet: free at most 15 %.*PSI some avg10 at least 40 ", result.stdout, re.M)
    assert re.search(r"^  stall +off$", result.stdout, re.M)
    assert re.search(r"^ +\d+\.?\d* [GM]iB away$", result.stdout, re.M)
    assert re.search(r"the next look would be in \d+ ms", result.stdout)
    assert "nobody: no process may be killed whose death would help" in result.stdout


def test_explain_shows_the_ten_most_likely_victims_and_the_reason_for_each_place(crew, place):
    children = [victims.start(18 + i, name=b"n%d" % i, as_nobody=crew.victims_as_nobody) for i in range(TEN + 1)]
    try:
        result = explain(crew, place)
        assert result.returncode == 0
        shown = re.findall(r"^ +(\d+)\. (\d+) \((n\d+)\) holding (\d+) MiB, unit (\S+): (.*)$", result.stdout, re.M)
        assert [int(place) for place, *_ in shown] == list(range(1, TEN + 1))
        assert [int(pid) for _, pid, *_ in shown] == [child.pid for child in reversed(children)][:TEN]
        assert all(reason.startswith("oom_score ") for *_, reason in shown)
        user = pwd.getpwuid(crew.monitor_uid).pw_name
        assert len(re.findall(rf"^      user {user}, \d+ s old, `.*`, started by .*$", result.stdout, re.M)) == TEN
        assert re.search(r"^  floor +FIRES, SIGTERM: ", result.stdout, re.M)
        assert all(victims.is_alive(child) for child in children), "it kills nothing"
    finally:
        for child in children:
            victims.end(child)


def test_explain_says_who_is_left_out_and_why_on_a_line_each_whatever_they_call_themselves(crew, place):
    with (
        crew.victim(40, name=b"mine") as mine,
        crew.victim(30, name=b"roots") as roots,
        crew.victim(20, name=b"\x1b[2J\n 1. \xff") as leak,
        crew.victim(2, name=b"small") as small,
    ):
        result = explain(crew, place, "-u", "min?", killer={**PERMISSIVE, "protect.names": ["roots"]})
    candidates, _, left_out = result.stdout.partition("\nLeft out:\n")
    assert rf"   1. {leak.pid} (\x1b[2J\n 1. \xff) holding" in candidates
    reasons = dict(re.findall(r"^  (\d+) \(.*\), \d+ MiB: (.*)$", left_out, re.M))
    assert reasons[str(roots.pid)] == "protected by killer.toml: name roots"
    assert reasons[str(small.pid)] == "its death would not help"
    assert "name min?" in reasons[str(mine.pid)]
    assert all(line.isprintable() for line in result.stdout.splitlines())


def test_explain_with_a_broken_file_is_78(crew, place):
    result = explain(crew, place, monitor={"verbose": 1})
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr == f"bustd: {place}/bustd.toml: verbose: expected true or false, found 1\n"


@pytest.mark.parametrize("command", ["check", "--help"])
def test_a_reader_that_has_gone_is_no_error(crew, place, command):
    words = install.bustd(command, *pair.files(place, ALWAYS, PERMISSIVE), *pair.scope())
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


# --- selftest


def selftest_words(crew) -> list[str]:
    return ["selftest", "--user", "nobody"] if crew.is_root else ["selftest"]


def test_selftest_shows_that_its_own_leak_dies_and_nothing_else(crew):
    with crew.victim() as bystander:
        result = pair.run(crew, *selftest_words(crew))
        assert result.stdout == "selftest passed: the pair killed the leak of 64 MiB (SIGTERM), and nothing else\n"
        assert (result.returncode, result.stderr) == (0, "")
        assert victims.is_alive(bystander)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_selftest_that_is_stopped_leaves_nothing(crew, place, number):
    with pair.planted({"bustd_killer/start.py": "\nimport signal\nsignal.pause()\n"}) as python:
        command = [python, *install.bustd(*selftest_words(crew))[1:]]
        with pair.started(command, crew.identity, place / "log") as selftest:
            while len(pair.session_members(selftest.pid)) < 4:  # itself, the leak, the bystander, and a pair that waits
                assert not victims.exits_within(selftest.process, 0.02)
            os.kill(selftest.pid, number)
            assert selftest.ends() == 128 + number


def test_a_selftest_in_which_the_pair_does_not_come_up_says_so_and_is_1(crew):
    with pair.planted({"bustd_killer/start.py": "\nsys.exit('planted')\n"}) as python:
        command = [python, *install.bustd(*selftest_words(crew))[1:]]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", **crew.identity)
    assert result.returncode == 1
    assert result.stdout.startswith("planted\nselftest FAILED (leak None, bystander None, pair 1, then 1)")
