"""The standalone pair: how the monitor is started, what it is given, and how it is made to leave."""

import errno
import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bustd_killer import pair
from bustd_killer.stage1.launcher import MonitorPlan, Spawned, spawn_monitor
from tests.support import install
from tests.unit.shared.forked import exits, in_child

NOBODY = 65534

REPORT = """
import json, os, socket, sys
link = socket.socket(fileno=3)
status = {line.split(":")[0]: line.split(":")[1].split() for line in open("/proc/self/status")}
paths = {int(name): os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if int(name) != 3
         and os.path.exists(f"/proc/self/fd/{name}")}
report = {"uids": status["Uid"], "gids": status["Gid"], "groups": status["Groups"], "paths": paths,
          "environment": dict(os.environ), "is_for_me": os.environ["LISTEN_PID"] == str(os.getpid()),
          "session": int(open("/proc/self/stat").read().rpartition(")")[2].split()[3]),
          "priority": os.path.exists("/proc/self/autogroup") and open("/proc/self/autogroup").read().split()[1:],
          "parent": os.getppid(), "arguments": sys.argv[1:], "isolated": sys.flags.isolated,
          "status": {name: words[0] for name, words in status.items() if name.startswith(("Cap", "NoNewPrivs"))},
          "family": int(link.family), "kind": int(link.type) & 15}
os.write(2, b"said on its standard error\\n")
link.send(json.dumps(report).encode())
link.recvmsg(1)
sys.exit(7)
"""
FLOODS = """
import os, socket
try:
    while True:
        os.write(2, b"one more line\\n")
except OSError as error:
    socket.socket(fileno=3).send(str(error.errno).encode())
"""
WAITS = """
import socket, time
socket.socket(fileno=3).send(b"here")
time.sleep(60)
"""
STUBBORN = """
import signal, socket, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
socket.socket(fileno=3).send(b"here")
time.sleep(60)
"""


@pytest.fixture(autouse=True)
def an_interpreter_for_everybody(monkeypatch):
    """The tests' own may lie where another user can't go."""
    monkeypatch.setattr(sys, "executable", install.python())


def plan(*command: str, passed: tuple[tuple[str, int], ...] = (), uid: int = -1, gid: int = -1) -> MonitorPlan:
    return MonitorPlan(uid, gid, ("-c", *command), passed)


def reported(a_plan: MonitorPlan) -> dict:
    """What a monitor that is started so says of itself; it is ended as the killer would."""
    with spawned(a_plan) as monitor:
        report = json.loads(monitor.link.recv(65536))
        pidfd = os.pidfd_open(monitor.pid)
        monitor.link.close()
        report["code"] = pair.end_monitor(monitor.pid, pidfd)
        report["pid"], report["said"] = monitor.pid, monitor.log.recv(100).decode()
    return report


@contextmanager
def spawned(a_plan: MonitorPlan) -> Iterator[Spawned]:
    """It, with both sockets closed at the end."""
    monitor = spawn_monitor(a_plan)
    try:
        yield monitor
    finally:
        monitor.link.close()
        monitor.log.close()


def test_the_monitor_finds_its_connection_where_systemd_would_have_put_it():
    report = reported(plan(REPORT, "--dry-run", "x y"))
    environment = report["environment"]
    assert report["is_for_me"]
    assert (environment["LISTEN_FDS"], environment["LISTEN_FDNAMES"]) == ("1", "killer")
    assert (report["family"], report["kind"]) == (1, 5), "AF_UNIX, SOCK_SEQPACKET"
    assert report["arguments"] == ["--dry-run", "x y"]
    assert report["parent"] == os.getpid()
    assert report["isolated"] == 1


def test_nothing_of_the_killers_environment_goes_to_the_monitor(monkeypatch):
    monkeypatch.setenv("SECRET", "of the administrator")
    report = reported(plan(REPORT))
    names = set(report["environment"]) - {"LC_CTYPE"}  # Python's own, PEP 538
    assert names == {"PATH", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}


def test_it_inherits_the_psi_files_and_no_other_descriptor(tmp_path):
    files = [os.open(tmp_path / name, os.O_RDWR | os.O_CREAT) for name in ("some", "full")]
    os.set_inheritable(files[0], True)
    stray = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(stray, True)
    report = reported(plan(REPORT, passed=(("psi-some", files[0]), ("psi-full", files[1]))))
    assert report["environment"]["LISTEN_FDNAMES"] == "killer:psi-some:psi-full"
    assert report["environment"]["LISTEN_FDS"] == "3"
    assert report["paths"]["4"] == str(tmp_path / "some")
    assert report["paths"]["5"] == str(tmp_path / "full")
    assert set(report["paths"]) <= {"0", "1", "2", "4", "5"}
    os.close(stray)
    for descriptor in files:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def test_descriptors_that_are_in_each_others_place_are_not_mixed_up(tmp_path):
    def arranged():
        for at, name in ((3, "full"), (4, "some")):
            descriptor = os.open(tmp_path / name, os.O_RDWR | os.O_CREAT)
            os.dup2(descriptor, 80 + at)
        for at in (3, 4):
            os.dup2(80 + at, at)
        return reported(plan(REPORT, passed=(("psi-some", 4), ("psi-full", 3))))

    paths = in_child(arranged)["paths"]
    assert (paths["4"], paths["5"]) == (str(tmp_path / "some"), str(tmp_path / "full"))
    assert paths["2"].startswith("socket:")


def test_what_it_says_on_its_standard_error_comes_to_the_killer_a_line_a_packet():
    report = reported(plan(REPORT))
    assert report["paths"]["2"].startswith("socket:")
    assert report["said"] == "said on its standard error\n"


def test_a_standard_error_that_nobody_reads_does_not_make_it_wait():
    with spawned(plan(FLOODS)) as monitor:
        monitor.link.settimeout(20)
        assert int(monitor.link.recv(10)) == errno.EAGAIN
        assert os.waitpid(monitor.pid, 0)[1] == 0


def test_it_has_a_session_of_its_own():
    report = reported(plan(REPORT))
    assert report["session"] == report["pid"] != os.getsid(0)
    if os.geteuid() == 0 and report["priority"]:
        assert report["priority"] == ["nice", "-20"], "nice counts within a session alone"


def test_it_has_no_terminal_to_read_from():
    def with_a_terminal():
        _, terminal = os.openpty()
        for descriptor in (0, 1):
            os.dup2(terminal, descriptor)
        return reported(plan(REPORT))

    paths = in_child(with_a_terminal)["paths"]
    assert (paths["0"], paths["1"]) == (os.devnull, os.devnull)


@pytest.mark.root
def test_it_keeps_nothing_of_root():
    def from_many_groups():
        os.setgroups([4, 24, 1000])
        return reported(plan(REPORT, uid=NOBODY, gid=NOBODY))

    report = in_child(from_many_groups)
    assert report["uids"] == [str(NOBODY)] * 4
    assert report["gids"] == [str(NOBODY)] * 4
    assert report["groups"] == []


@pytest.mark.parametrize("uid", [-1, pytest.param(NOBODY, marks=pytest.mark.root)])
def test_it_ends_when_the_killer_dies_although_it_has_changed_its_user(uid):
    def killer():
        monitor = spawn_monitor(plan(WAITS, uid=uid, gid=uid))
        assert monitor.link.recv(10) == b"here"
        return monitor.pid

    assert exits(in_child(killer))


def test_a_monitor_that_leaves_by_itself_is_reaped_and_its_code_known():
    assert reported(plan(REPORT))["code"] == 7


def test_a_monitor_that_will_not_leave_is_made_to(monkeypatch):
    monkeypatch.setattr(pair, "_PATIENCE_MS", 10)
    with spawned(plan(STUBBORN)) as monitor:
        assert monitor.link.recv(10) == b"here"
        pidfd = os.pidfd_open(monitor.pid)
        monitor.link.close()
        assert pair.end_monitor(monitor.pid, pidfd) == -signal.SIGKILL
        with pytest.raises(ChildProcessError):
            os.waitpid(monitor.pid, 0)


def test_a_monitor_that_can_not_be_started_says_so_and_is_no_second_killer(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "missing"))
    with spawned(plan(REPORT)) as monitor:
        assert os.waitstatus_to_exitcode(os.waitpid(monitor.pid, 0)[1]) == 71
        assert monitor.link.recv(10) == b""
        said = monitor.log.recv(1000).decode()
    assert said.startswith("bustd-monitor: it can't be started: ")
    assert os.strerror(errno.ENOENT) in said
    assert len(said.splitlines()) == 1


@pytest.mark.root
def test_a_monitor_of_root_has_no_capability_and_no_way_back_to_one():
    status = reported(plan(REPORT, uid=NOBODY, gid=NOBODY))["status"]
    assert {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
