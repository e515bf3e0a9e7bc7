"""`bustd selftest` inside the installed units: which way to go, and how it ends. The texts: test_unit_copies.py.

What needs systemd is played by a program `systemctl` on PATH; that the real one takes the copies is shown in tests/vm.
"""

import fcntl
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bustd_monitor.cli.real_state import why_not_protected
from bustd_monitor.cli.selftest_units import Host, choice
from bustd_monitor.cli.unit_copies import COPIES, KILLER, MONITOR, SOCKET, UNITS
from tests.support import install
from tests.support.typed import typed

TEXTS = {
    SOCKET: "[Socket]\nListenSequentialPacket=/run/bustd/killer.sock\nSocketGroup=bustd\n",
    KILLER: "[Unit]\nRequires=bustd-killer.socket\n[Service]\nExecStart=/usr/bin/python3 /lib/bustd_killer\nNice=-20\n",
    MONITOR: "[Service]\nUser=bustd\nRuntimeDirectory=bustd-monitor\nExecStart=/usr/bin/python3 /lib/bustd_monitor\n",
}

# --- a machine with systemd

SYSTEMCTL = """
import os, re, signal, sys
run = {run!r}
words = [word for word in sys.argv[1:] if not word.startswith("-")]
with open(f"{{run}}/calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + chr(10))

def children_that_say(word):
    drop_in = open(f"{{run}}/systemd/system/bustd-selftest-monitor.service.d/zzzz-bustd-selftest.conf").read()
    parent = re.search("--only-descendants-of ([0-9]+)", drop_in)[1]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = open(f"/proc/{{pid}}/stat", "rb").read()  # of any process here, whose name need not be UTF-8
            if stat.rpartition(b")")[2].split()[1] == parent.encode():
                if b"print('" + word.encode() in open(f"/proc/{{pid}}/cmdline", "rb").read():
                    yield int(pid)
        except OSError:
            pass

def kill(word, number=signal.SIGTERM):
    for pid in children_that_say(word):
        os.kill(pid, number)

actions = {actions!r}
exec(actions.get(words[0], ""))
"""
ABSENT = "".join(f"Id={name}\nLoadState=not-found\n\n" for name in UNITS)
KILLS_THE_LEAK = "kill('full')"


class Machine(NamedTuple):
    """A folder that stands for /run, and a PATH with nothing but what is played."""

    root: Path

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def host(self) -> Host:
        """The process that made the socket of the journal is this one, and no other can be seen in its /proc."""
        return Host(self.run, os.getpid(), True, str(self.root / "proc"))

    def has_systemctl(self, *, show: str | None = None, results: str = "success\n\n" * 3, **actions: str) -> None:
        """`actions` are statements of Python, by the verb with underscores."""
        says = f"print({results!r} if '--property=Result' in sys.argv else {show or self.installed()!r}, end='')"
        ordinary = {"show": says, "is-failed": "sys.exit(1)", "is-active": "sys.exit(3)"}
        given = {verb.replace("_", "-"): action for verb, action in actions.items()}
        (self.root / "systemctl.py").write_text(SYSTEMCTL.format(run=str(self.run), actions=ordinary | given))
        program = shlex.join([sys.executable, "-IS", str(self.root / "systemctl.py")])
        self.has_program("systemctl", f'#!/bin/sh\nexec {program} "$@"\n')

    def has_program(self, name: str, text: str) -> None:
        (self.root / "bin" / name).write_text(text)
        (self.root / "bin" / name).chmod(0o755)

    def installed(self, words: Mapping[str, str] | None = None, **states: str) -> str:
        """What systemctl says of units whose files are in `root`. `words`: what is added to their command lines.

        `states` are those that are not loaded and active, by the unit's name with underscores.
        """
        said = []
        for name, text in TEXTS.items():
            added = (words or {}).get(name, "")
            (self.root / name).write_text(re.sub(r"^(ExecStart=.*)$", rf"\1{added}", text, flags=re.MULTILINE))
            state = states.get(name.replace("-", "_").replace(".", "_"), "loaded")
            loaded, active = (state, "inactive") if state in ("masked", "bad-setting") else ("loaded", state)
            active = "active" if active == "loaded" else active
            said.append(
                f"Id={name}\nLoadState={loaded}\nActiveState={active}\nFragmentPath={self.root / name}\nDropInPaths=\n"
                "User=bustd\n"
            )
        return "\n".join(said)

    def calls(self) -> list[str]:
        """The verbs that systemctl was called with, and `result` for the look at how the copies ended."""
        lines = (self.run / "calls").read_text().splitlines()
        words = [[word for word in line.split() if not word.startswith("-")] for line in lines]
        return ["result" if "Result" in line else verb for line, (verb, *_) in zip(lines, words, strict=True)]

    def command(self, host: Host, *how: str) -> dict[str, Any]:
        """`bustd selftest` there, for subprocess; SIGHUP is not ignored, although these tests may run under nohup."""
        user = how[how.index("--user") + 1] if "--user" in how else "bustd"
        text = (
            "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL);"
            "from pathlib import Path; from bustd_monitor.cli.selftest_units import Host, selftest;"
            f"host = Host(Path({str(host.run)!r}), {host.init}, {host.is_root}, {host.proc!r});"
            f"sys.exit(selftest({user!r}, host=host, standalone='standalone' in sys.argv))"
        )
        arguments = [install.python(), "-I", "-c", text, *how]  # where the user of a pair can read it
        return {"args": arguments, "env": {"PATH": str(self.root / "bin")}, "cwd": "/", "text": True}

    def selftest(self, *how: str, host: Host | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(host or self.host, *how), capture_output=True, timeout=60)

    def traces(self) -> list[str]:
        """What is in /run beside what was there before."""
        before = {"systemd", "systemd/system", "systemd/journal", "systemd/journal/stdout", "calls"}
        return sorted({str(path.relative_to(self.run)) for path in self.run.rglob("*")} - before)


@pytest.fixture
def machine() -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(prefix="bustd-") as name, socket.socket(socket.AF_UNIX) as journal:
        made = Machine(Path(name))
        for folder in ("bin", "run/systemd/system", "run/systemd/journal", "proc/1"):
            (made.root / folder).mkdir(parents=True)
        (made.root / "proc/1/stat").write_text("1 (init) S 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0\n")
        journal.bind(f"{made.run}/systemd/journal/stdout")
        journal.listen()
        yield made


# --- which way


def states(killer: str = "loaded", monitor: str = "loaded", listener: str = "loaded") -> dict[str, str]:
    return {SOCKET: listener, KILLER: killer, MONITOR: monitor}


@pytest.mark.parametrize(
    ("said", "remark"),
    [
        (states("not-found", "not-found", "not-found"), ""),
        (states("not-found", "not-found"), ""),
        (states("not-found"), "bustd-killer.service is not-found"),
        (states(monitor="masked"), "bustd-monitor.service is masked"),
        (states("masked", "not-found"), "bustd-killer.service is masked, bustd-monitor.service is not-found"),
    ],
)
def test_units_that_are_not_there_are_not_tested_and_half_of_them_is_worth_a_word(machine, said, remark):
    assert choice(said, machine.host) == (False, remark)


@pytest.mark.parametrize("said", [states(), states(killer="bad-setting"), states(listener="not-found")])
def test_units_that_are_there_are_tested_in_whatever_state_they_are(machine, said):
    assert choice(said, machine.host) == (True, "")


def test_only_root_can_test_the_units(machine):
    assert choice(states(), machine.host._replace(is_root=False)) == (False, "that needs root")


def test_a_systemd_that_counts_processes_otherwise_is_left_alone(machine):
    outside = (False, "to systemd, this command has another PID (is this a container?)")
    assert choice(states(), machine.host._replace(init=1)) == outside
    (machine.run / "systemd/journal/stdout").unlink()
    assert choice(states(), machine.host) == outside


def test_standalone_belongs_to_selftest(monkeypatch, capfd):
    sentence = "bustd: --standalone is an option of selftest, not of check (bustd check --help shows what there is)\n"
    assert typed(monkeypatch, capfd, "check", "--standalone") == (64, "", sentence)


# --- the truth about this machine

PASSED = "selftest passed inside bustd-killer.service and bustd-monitor.service: "
BUT = "the sandbox works, but this machine is not protected, because "


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        ({"bustd_monitor_service": "failed"}, "bustd-monitor.service is failed"),
        ({"bustd_killer_service": "inactive"}, "bustd-killer.service is inactive"),
        ({"bustd_killer_socket": "failed"}, "bustd-killer.socket is failed"),
        (
            {"bustd_monitor_service": "activating", "bustd_killer_service": "failed"},
            "bustd-killer.service is failed; bustd-monitor.service is activating",
        ),
    ],
)
def test_units_that_do_not_run_protect_nothing_however_well_their_copies_do(machine, states, reason):
    machine.has_systemctl(start=KILLS_THE_LEAK, show=machine.installed(**states))
    result = machine.selftest()
    passed, told = result.stdout.splitlines()
    assert passed.startswith(PASSED)
    assert (result.returncode, told) == (1, f"{BUT}{reason}")


SPARES = "which spares every process"


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("bustd.toml", "dry_run = true\n", "dry_run is set: the monitor never asks for a kill"),
        ("bustd.toml", "[victims.never]\nnames = ['*']\n", f'victims.never.names has "*", {SPARES}'),
        ("bustd.toml", "[victims.never]\ncgroups = ['/*']\n", f'victims.never.cgroups has "/*", {SPARES}'),
        ("killer.toml", "[protect]\nunits = ['ssh.service', '*']\n", f'protect.units has "*", {SPARES}'),
        ("killer.toml", "[protect]\nnames = ['?*']\n", f'protect.names has "?*", {SPARES}'),
        ("killer.toml", "[limit]\n", "limit: unknown key"),
    ],
)
def test_a_configuration_in_which_nothing_dies_protects_nothing(machine, file, text, reason):
    for name in ("bustd.toml", "killer.toml"):
        (machine.root / name).write_text(text if name == file else "")
    words = {MONITOR: f" --config {machine.root}/bustd.toml", KILLER: f" --config {machine.root}/killer.toml"}
    machine.has_systemctl(start=KILLS_THE_LEAK, show=machine.installed(words))
    result = machine.selftest()
    assert result.stdout.startswith(PASSED)
    assert result.returncode == 1
    assert f"{BUT}" in result.stdout
    assert reason in result.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (" --dry-run", "dry_run is set"),
        (" $OPTIONS --dry-run", "dry_run is set"),
        (" --colour", "the command line of the units is wrong: --colour is unknown"),
    ],
)
def test_what_a_drop_in_tells_the_monitor_counts_too(machine, words, reason):
    machine.has_systemctl(start=KILLS_THE_LEAK, show=machine.installed({MONITOR: words}))
    result = machine.selftest()
    assert (result.returncode, reason in result.stdout) == (1, True), result


def test_a_rule_that_spares_some_is_no_reason(machine):
    (machine.root / "bustd.toml").write_text("[victims.avoid]\nnames = ['*']\n[victims.never]\nnames = ['X*']\n")
    words = {MONITOR: f" --config {machine.root}/bustd.toml"}
    machine.has_systemctl(start=KILLS_THE_LEAK, show=machine.installed(words))
    result = machine.selftest()
    assert (result.returncode, result.stdout.count("\n")) == (0, 1), result


def test_units_that_are_stopped_are_no_reason_where_another_pair_has_the_lock(machine):
    (machine.run / "bustd").mkdir()
    os.mkfifo(machine.run / "bustd/lock")
    lock = os.open(machine.run / "bustd/lock", os.O_RDWR)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    stopped = {"bustd_killer_service": "inactive", "bustd_monitor_service": "inactive"}
    machine.has_systemctl(start=KILLS_THE_LEAK, show=machine.installed(**stopped))
    result = machine.selftest()
    os.close(lock)
    assert (result.returncode, result.stdout.count("\n")) == (0, 1), result


NO_PAIR = f"{BUT}no pair of bustd runs\n"


def test_where_no_units_are_installed_a_pair_must_run(machine):
    machine.has_systemctl(show=ABSENT)
    result = machine.selftest("--user", "nobody")
    assert (result.returncode, result.stdout.splitlines(keepends=True)[1:]) == (1, [NO_PAIR]), result


def test_a_pair_that_was_started_by_hand_protects_it(machine):
    (machine.run / "bustd").mkdir()
    os.mkfifo(machine.run / "bustd/lock")
    lock = os.open(machine.run / "bustd/lock", os.O_RDWR)
    fcntl.lockf(lock, fcntl.LOCK_EX)
    machine.has_systemctl(show=ABSENT)
    result = machine.selftest("--user", "nobody")
    os.close(lock)
    assert (result.returncode, result.stdout.count("\n")) == (0, 1), result


@pytest.mark.parametrize(("uid", "is_one"), [(0, True), (999, True), (65534, False)])
def test_a_monitor_that_runs_is_a_pair_unless_any_user_could_have_called_it_so(machine, uid, is_one):
    monitor = Path(machine.host.proc, "77")
    monitor.mkdir()
    (monitor / "stat").write_text("77 (bustd-monitor) S 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 3 0 0\n")
    (monitor / "status").write_text(f"Name:\tbustd-monitor\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n")
    reasons = why_not_protected({}, {}, str(machine.run / "bustd/lock"), machine.host.proc)
    assert ("no pair of bustd runs" in reasons) is not is_one


def test_where_processes_are_hidden_it_is_not_known_whether_a_pair_runs(machine):
    Path(machine.host.proc, "1/stat").unlink()
    assert "no pair" not in str(why_not_protected({}, {}, str(machine.run / "bustd/lock"), machine.host.proc))


def test_a_failed_trial_says_that_alone(machine):
    machine.has_systemctl(start="sys.exit(1)", show=machine.installed(bustd_monitor_service="failed"))
    result = machine.selftest()
    assert result.returncode == 1
    assert "selftest FAILED" in result.stdout
    assert BUT not in result.stdout


# --- how it ends


def test_the_leak_dies_in_the_copies_and_nothing_is_left(machine):
    machine.has_systemctl(start=KILLS_THE_LEAK)
    result = machine.selftest()
    how = "the pair killed the leak of 64 MiB (SIGTERM), and nothing else"
    assert result.stdout == f"selftest passed inside bustd-killer.service and bustd-monitor.service: {how}\n"
    assert (result.returncode, result.stderr) == (0, "")
    expected = ["show", "daemon-reload", "start", "stop", "result", "stop", "reset-failed", "daemon-reload"]
    assert machine.calls() == expected
    assert machine.traces() == []


def test_every_call_that_changes_something_is_about_the_copies(machine):
    machine.has_systemctl(start=KILLS_THE_LEAK)
    machine.selftest()
    for line in (machine.run / "calls").read_text().splitlines():
        if "show" not in line:
            assert {word for word in line.split() if "." in word} <= set(COPIES)


def test_the_copies_can_read_their_files(machine):
    look = "import glob; print([(path, oct(os.stat(path).st_mode)) for path in glob.glob(run + '/**', recursive=True)])"
    machine.has_systemctl(start=f"{look}; sys.exit(1)")
    shown = machine.selftest().stdout
    for name in ("bustd.toml", "killer.toml"):
        assert re.search(rf"bustd-selftest-\w+/{name}', '0o100644'", shown)
    assert re.search(r"bustd-selftest-\w+', '0o40755'", shown)
    assert re.search(rf"{re.escape(COPIES[1])}', '0o100644'", shown)


@pytest.mark.parametrize(
    ("start", "fates"),
    [
        (f"{KILLS_THE_LEAK}; kill('idle')", "leak -15, bystander -15"),
        ("kill('full', signal.SIGINT)", "leak -2, bystander None"),
        ("kill('idle', signal.SIGKILL); kill('full', signal.SIGKILL)", "leak -9, bystander -9"),
    ],
)
def test_it_fails_where_another_or_not_only_the_leak_dies(machine, start, fates):
    machine.has_systemctl(start=start, status="print('what they said')")
    result = machine.selftest()
    assert result.returncode == 1
    assert "what they said" in result.stdout
    assert f"selftest FAILED inside bustd-killer.service and bustd-monitor.service ({fates}, " in result.stdout
    assert machine.traces() == []


def test_a_copy_that_ended_badly_is_a_failure_although_the_leak_died(machine):
    machine.has_systemctl(start=KILLS_THE_LEAK, results="success\n\nexit-code\n\nsuccess\n")
    result = machine.selftest()
    assert result.returncode == 1
    assert "bustd-killer.service exit-code, bustd-monitor.service success); above is" in result.stdout


def test_a_copy_that_fails_is_not_waited_for(machine):
    machine.has_systemctl(is_failed="sys.exit(0)", results="success\n\nexit-code\n\nsuccess\n")
    began_s = time.monotonic()
    assert "(leak None, bystander None, bustd-killer.socket success, " in machine.selftest().stdout
    assert time.monotonic() - began_s < 15
    assert machine.traces() == []


def test_copies_that_do_not_start_are_a_failure_with_what_systemctl_said(machine):
    machine.has_systemctl(
        start="print('Failed to start it.', file=sys.stderr); sys.exit(1)", status="print('inactive')"
    )
    result = machine.selftest()
    assert result.returncode == 1
    assert result.stdout.startswith("Failed to start it.\ninactive\nselftest FAILED inside ")
    assert machine.traces() == []


def test_a_systemd_that_does_not_reload_is_a_failure(machine):
    machine.has_systemctl(daemon_reload="print('Access denied'); sys.exit(1)")
    result = machine.selftest()
    assert result.returncode == 1
    assert "Access denied" in result.stdout
    assert "start" not in machine.calls()
    assert machine.traces() == []


def test_the_journal_is_preferred_for_what_the_copies_said(machine):
    machine.has_systemctl(start="sys.exit(1)", status="print('status')")
    machine.has_program("journalctl", '#!/bin/sh\necho "the journal: $*"\n')
    result = machine.selftest()
    asked = " ".join(f"-u {name}" for name in COPIES)
    assert re.match(rf"the journal: {asked} --since=@\d+ --no-pager -o cat\nselftest FAILED", result.stdout)


def test_a_unit_that_can_not_be_copied_is_a_failure_and_nothing_is_started(machine):
    machine.has_systemctl(show=machine.installed(bustd_killer_socket="bad-setting"))
    result = machine.selftest()
    assert (result.returncode, result.stdout) == (1, "selftest FAILED (bustd-killer.socket: bad-setting)\n")
    assert machine.calls() == ["show"]
    assert machine.traces() == []


def test_a_second_selftest_is_refused_while_one_is_running(machine):
    machine.has_systemctl()
    lock = os.open(machine.run / "bustd-selftest.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    result = machine.selftest()
    os.close(lock)
    assert (result.returncode, result.stderr) == (73, "bustd: another selftest is running\n")


def test_what_a_killed_selftest_left_is_cleared_first(machine):
    machine.has_systemctl(start=KILLS_THE_LEAK)
    (machine.run / "systemd/system" / COPIES[1]).write_text("[Service]\n")
    (machine.run / "systemd/system" / f"{COPIES[1]}.d").mkdir()
    (machine.run / "systemd/system" / f"{COPIES[1]}.d/old.conf").write_text("[Service]\n")
    (machine.run / "bustd-selftest-abcdefgh").mkdir()
    assert machine.selftest().returncode == 0
    assert machine.calls()[:5] == ["show", "stop", "reset-failed", "daemon-reload", "daemon-reload"]
    assert machine.traces() == []


def test_copies_that_can_not_be_stopped_are_said_and_keep_the_limit_of_their_time(machine):
    machine.has_systemctl(start=KILLS_THE_LEAK, stop="sys.exit(1)", is_active="")
    result = machine.selftest()
    assert result.stderr == f"bustd: can't stop all of {', '.join(COPIES)}\n"
    assert [line for line in (machine.run / "calls").read_text().splitlines() if " kill " in line]
    assert COPIES[1] in "".join(machine.traces())


@contextmanager
def waiting(machine: Machine) -> Iterator[subprocess.Popen[str]]:
    """A selftest whose copies run and kill nobody."""
    machine.has_systemctl(start="open(f'{run}/started', 'w').close()")
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(**machine.command(machine.host), **pipes, start_new_session=True) as running:
        try:
            while not (machine.run / "started").exists():
                assert running.poll() is None
                time.sleep(0.02)
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_stops_the_copies_and_leaves_nothing(machine, number):
    with waiting(machine) as running:
        os.killpg(running.pid, number)  # as ctrl-C does
        out, err = running.communicate(timeout=30)
    assert (running.returncode, out, err) == (128 + number, "", "")
    assert machine.calls()[-3:] == ["stop", "reset-failed", "daemon-reload"]
    assert machine.traces() == ["started"]


@pytest.mark.parametrize("target", ["it alone", "its process group"])
def test_one_that_is_killed_leaves_nothing_either(machine, target):
    with waiting(machine) as running:
        (os.kill if target == "it alone" else os.killpg)(running.pid, signal.SIGKILL)
        out, err = running.communicate(timeout=30)  # what clears up has its standard output until it has done so
    assert (running.returncode, out, err) == (-signal.SIGKILL, "", "")
    assert machine.calls()[-3:] == ["stop", "reset-failed", "daemon-reload"]
    assert machine.traces() == ["started"]


@pytest.mark.parametrize(
    ("how", "show", "is_root", "calls"),
    [([], ABSENT, True, ["show"]), (["standalone"], None, True, []), ([], None, False, ["show"])],
)
def test_without_units_or_root_or_if_asked_for_it_is_the_standalone_pair(machine, how, show, is_root, calls):
    machine.has_systemctl(show=show)
    result = machine.selftest(*how, host=machine.host._replace(is_root=is_root))
    assert "inside" not in result.stdout
    assert ("the installed units were not tested: that needs root\n" in result.stdout) is not is_root
    assert result.stdout.startswith("selftest passed: ") or "there is no user bustd" in result.stderr
    assert (machine.calls() if calls else (machine.run / "calls").exists()) == (calls or False)
    assert machine.traces() == []


def test_no_systemctl_is_no_systemd(machine):
    result = machine.selftest()
    assert result.stdout.startswith("selftest passed: ") or "there is no user bustd" in result.stderr
