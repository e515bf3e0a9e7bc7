"""`bustd explain` shows what would die, and `bustd selftest` proves a kill on a leak of its own."""

import json
import os
import pty
import pwd
import re
import signal
import subprocess
import termios

import pytest

from bustd_monitor.cli.screen import width
from tests.support import install, pair, victims
from tests.support.pair import ALWAYS, NEVER, PERMISSIVE

TEN = 10


def on_a_terminal(command: list[str], columns: int, identity: dict, **environment: str) -> str:
    """What a command prints on a pseudo-terminal of so many columns."""
    controlling, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (40, columns))
    whole = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **environment}
    process = subprocess.Popen(
        command, stdin=terminal, stdout=terminal, stderr=terminal, env=whole, cwd="/", **identity
    )
    os.close(terminal)
    printed = b""
    try:
        while True:
            printed += os.read(controlling, 65536)
    except OSError:  # EIO: nobody has the other end any more
        assert process.wait(60) == 0
        return printed.decode().replace("\r\n", "\n")
    finally:
        os.close(controlling)


def explain(crew, place, *options: str, monitor=ALWAYS, killer=PERMISSIVE) -> subprocess.CompletedProcess[str]:
    result = pair.run(crew, "explain", *pair.files(place, monitor, killer), *pair.scope(), *options)
    assert result.stderr == "" or result.returncode
    return result


def test_explain_shows_each_condition_with_its_present_values(crew, place):
    monitor = {"conditions.stall.enabled": False, "conditions.floor.available_mib": 1}
    result = explain(crew, place, "-p", "40", monitor=monitor)
    assert result.returncode == 0
    assert re.match(r"Watching (the whole machine|this container.s control group, .*)\n", result.stdout)
    assert re.search(r"^Now: .* of .* available \(\d+\.\d %\), .* free, .*PSI", result.stdout, re.M)
    assert re.search(r"^  floor +quiet: available at most 1 MiB.*SIGKILL at 50 % of that$", result.stdout, re.M)
    assert re.search(r"^  pressure +quiet: free at most 15 %.*PSI some avg10 at least 40 and ", result.stdout, re.M)
    assert re.search(r"^  stall +off$", result.stdout, re.M)
    forecast = r"^  forecast +quiet: memory and swap gone within 2 s .*\n.* away\n"
    assert re.search(forecast + r" +memory (is not filling up|and swap fill at .*)$", result.stdout, re.M)
    assert re.search(r"^ +\d+\.?\d* [GM]iB away$", result.stdout, re.M)
    assert re.search(r"the next look would be in \d+ ms", result.stdout)
    assert re.search(r"^  programs fill memory by [\d.]+ [MG]iB a second at most \(", result.stdout, re.M)
    assert "none: no process may be killed whose death would help" in result.stdout


def test_explain_says_that_a_dry_run_kills_nothing(crew, place):
    result = explain(crew, place, monitor={"dry_run": True})
    assert "\nDry run: everything is decided and logged, nothing is ever killed\nNow: " in result.stdout
    assert "Dry run" not in explain(crew, place).stdout


def test_explain_shows_the_ten_most_likely_victims_and_the_reason_for_each_place(crew, place):
    how = {"as_nobody": crew.victims_as_nobody, "own_group": True}  # in one group they would be a family
    children = [victims.start(18 + i, name=b"n%d" % i, **how) for i in range(TEN + 1)]
    try:
        result = explain(crew, place)
        assert result.returncode == 0
        row = r"^ +(\d+)\. +(\d+)  (n\d+) +(\d+) MiB  (\S+)\n      (.*)$"
        shown = re.findall(row, result.stdout, re.M)
        assert [int(place) for place, *_ in shown] == list(range(1, TEN + 1))
        assert [int(pid) for _, pid, *_ in shown] == [child.pid for child in reversed(children)][:TEN]
        assert all(reason.startswith("holds ") for *_, reason in shown)
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
    hostile = re.escape(r"\x1b[2J\n 1. \xff")
    assert re.search(rf"^ 1\. +{leak.pid}  {hostile} +\d+ MiB  ", candidates, re.M)
    reasons = dict(re.findall(r"^ +(\d+)  .* \d+ MiB  (.*)$", left_out, re.M))
    assert reasons[str(roots.pid)] == "protected by killer.toml: name roots"
    assert reasons[str(small.pid)] == "its death would not help"
    assert "name min?" in reasons[str(mine.pid)]
    assert all(line.isprintable() for line in result.stdout.splitlines())


def test_explain_shows_the_largest_that_is_left_out_first(crew, place):
    with crew.victim(20, name=b"mine1") as small, crew.victim(40, name=b"mine2") as large:
        result = explain(crew, place, "-u", "mine?")
    left_out = re.findall(r"^ +(\d+)  mine\d ", result.stdout.partition("\nLeft out:\n")[2], re.M)
    assert left_out == [str(large.pid), str(small.pid)]


def test_explain_shows_for_each_rule_how_many_processes_it_matches_now(crew, place):
    rules = {**ALWAYS, "victims.prefer.names": ["n*", "nothing"]}
    with crew.victim(20, name=b"n1"), crew.victim(40, name=b"n2") as large:
        result = explain(crew, place, monitor=rules)
    shown = result.stdout.partition("\nRules, and what each of them matches now:\n")[2].splitlines()
    largest = rf"the largest {large.pid} \(n2\) with 4\d MiB"
    assert re.fullmatch(rf'  victims\.prefer\.names "n\*": 2 processes with 6\d MiB, {largest}', shown[0])
    assert '  victims.prefer.names "nothing": no process' in shown


def test_another_daemon_that_runs_is_named_by_explain_and_in_the_log_at_start(crew, place):
    with crew.victim(20, name=b"earlyoom"):
        result = explain(crew, place)
        with pair.pair(crew, place, monitor=NEVER) as bustd:
            bustd.await_line("earlyoom runs too: the faster one kills")
    assert "  warning: earlyoom runs too: the faster one kills, and neither knows of the other's kills" in result.stdout
    assert "runs too" not in explain(crew, place).stdout


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal_no_line_is_wider_than_it_and_the_colours_are_those_of_a_pipe_without(crew, place, columns):
    words = ["explain", *pair.files(place, ALWAYS, PERMISSIVE), *pair.scope(), "-u", "x" * 15]
    with crew.victim(40, name="字字字字字".encode()), crew.victim(20, name=b"\xff" * 15):
        shown = on_a_terminal(install.bustd(*words), columns, crew.identity, TERM="xterm")
        plain = on_a_terminal(install.bustd(*words), columns, crew.identity, TERM="xterm", NO_COLOR="1")
    assert "\x1b[1;31mFIRES, SIGTERM\x1b[0m" in shown
    assert "\x1b" not in plain
    lines = plain.splitlines()
    assert 60 < max(width(line) for line in lines) <= columns
    assert [line for line in lines if re.match(r" 1\. +\d+  字字字字字", line)]
    assert "  floor     FIRES, SIGTERM: available at most " in plain


def test_explain_as_json_has_the_same_victims_and_no_byte_that_is_no_ascii(crew, place):
    with crew.victim(40, name=b"\xff\n") as one:
        result = explain(crew, place, "--json")
    found = json.loads(result.stdout)
    assert result.stdout.isascii()
    assert [(first["pid"], first["comm"]) for first in found["candidates"][:1]] == [(one.pid, "\\xff\n")]
    assert {condition["name"]: condition["state"] for condition in found["conditions"]}["floor"] == "fires"


def test_explain_with_a_broken_file_is_78(crew, place):
    result = explain(crew, place, monitor={"verbose": 1})
    assert (result.returncode, result.stdout) == (78, "")
    assert result.stderr == f"bustd: {place}/bustd.toml: verbose: expected true or false, found 1\n"


def selftest_words(crew) -> list[str]:
    return ["selftest", "--user", "nobody"] if crew.is_root else ["selftest"]


def test_selftest_shows_that_its_own_leak_dies_and_nothing_else(crew):
    with crew.victim() as bystander:
        result = pair.run(crew, *selftest_words(crew))
        passed, *more = result.stdout.splitlines()
        assert passed == "selftest passed: the pair killed the leak of 64 MiB (SIGTERM), and nothing else"
        no_pair = "the sandbox works, but this machine is not protected, because no pair of bustd runs"
        assert more in ([], [no_pair])  # it looks at the machine that this test runs on
        assert (result.returncode, result.stderr) == (len(more), "")
        assert victims.is_alive(bystander)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_selftest_that_is_stopped_leaves_nothing(crew, place, number):
    with pair.planted({"bustd_killer/start.py": "\nimport signal\nsignal.pause()\n"}) as python:
        command = [python, *install.bustd(*selftest_words(crew))[1:]]
        with pair.started(command, crew.identity, place / "log") as selftest:
            while len(pair.session_members(selftest.pid)) < 4:  # itself, the leak, a bystander, a pair that waits
                assert not victims.exits_within(selftest.process, 0.02)
            os.kill(selftest.pid, number)
            assert selftest.ends() == 128 + number


def test_a_selftest_in_which_the_pair_does_not_come_up_says_so_and_is_1(crew):
    with pair.planted({"bustd_killer/start.py": "\nsys.exit('planted')\n"}) as python:
        command = [python, *install.bustd(*selftest_words(crew))[1:]]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd="/", **crew.identity)
    assert result.returncode == 1
    assert result.stdout.startswith("planted\nselftest FAILED (leak None, bystander None, pair 1, then 1)")


def test_explain_of_one_process_says_whether_it_could_die_and_what_decides_that(crew, place):
    with crew.victim(40, name=b"large"), crew.victim(20, name=b"small", adj=200) as small:
        result = explain(crew, place, str(small.pid), monitor={**ALWAYS, "victims.never.commands": ["*small*"]})
        assert rf"{small.pid} (small) of uid " in result.stdout
        assert "\nIt could not die now, because of victims.never: command *small*.\n" in result.stdout
        assert re.search(r"^  victims\.never: command \*small\* \(spares it\)\n  oom_score_adj \+", result.stdout, re.M)
        assert "  for it to die: no rule in [victims.never] of bustd.toml" in result.stdout
        result = explain(crew, place, str(small.pid))
        assert re.search(r"^It could die now: it is number [12] of 2 in the order\.$", result.stdout, re.M)
        assert victims.is_alive(small)
    assert result.returncode == 0


def test_explain_of_a_process_that_never_dies_is_69(crew, place):
    result = explain(crew, place, "1")
    assert result.returncode == 69
    assert result.stderr == "bustd: 1 never dies: it is gone, a kernel thread, PID 1, or can't be seen\n"


def test_a_report_shows_a_victim_and_its_name_only_where_names_are_asked_for(crew, place):
    names = [*pair.files(place, {**ALWAYS, "victims.prefer.names": ["zqsecret"]}, PERMISSIVE)]
    with crew.victim(40, name=b"zqsecret") as one:
        plain, named = (pair.run(crew, "report", *names, *words) for words in ((), ("--names",)))
    assert (plain.returncode, plain.stderr) == (named.returncode, named.stderr) == (0, "")
    assert "zqsecret" not in plain.stdout
    assert f'  victims.prefer.names "…": 1 process, {one.pid} (…) with ' in plain.stdout
    assert not re.search(rf"\b{re.escape(os.uname().nodename)}\b(?!\.)", plain.stdout.replace(os.uname().release, ""))
    assert f'  victims.prefer.names "zqsecret": 1 process, {one.pid} (zqsecret) with ' in named.stdout
