"""A process is ended only while it is the very one that was meant, and the user's own. The processes are the test's."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from bustd_monitor.cli.notifying import own_process
from bustd_monitor.cli.notifying.candidates import NamedProcess
from bustd_monitor.cli.notifying.own_process import CannotTouch, ask_to_end, group_of, held, may_end
from bustd_shared.kernel import cgroup_paths, process
from tests.fakes.procfs import FakeProc, stat_line, status_text
from tests.support.victims import NOBODY
from tests.unit.shared.forked import in_child

PATIENCE_S = 20


@pytest.fixture
def victim():
    with subprocess.Popen(["sleep", "600"]) as started:
        yield started
        if started.poll() is None:
            started.kill()


def named(pid: int, *, later: int = 0) -> NamedProcess:
    stat = process.read_stat(pid)
    assert stat is not None
    return NamedProcess(pid, stat.start_ticks + later, os.getuid(), 0, "sleep")


def why(function, *arguments) -> str:
    with pytest.raises(CannotTouch) as refused:
        function(*arguments)
    return str(refused.value)


def test_the_very_process_is_asked_to_end(victim):
    assert may_end(named(victim.pid))
    ask_to_end(named(victim.pid))
    assert victim.wait(PATIENCE_S) == -signal.SIGTERM


def test_a_stopped_process_can_obey(victim):
    victim.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, victim.pid, os.WSTOPPED)
    ask_to_end(named(victim.pid))
    assert victim.wait(PATIENCE_S) == -signal.SIGTERM


def test_a_process_that_obeys_before_it_could_be_continued_was_asked_to_end(victim, monkeypatch):
    send = signal.pidfd_send_signal

    def send_and_await_the_end(pidfd: int, number: int) -> None:
        send(pidfd, number)
        victim.wait(PATIENCE_S)

    monkeypatch.setattr(own_process.signal, "pidfd_send_signal", send_and_await_the_end)
    ask_to_end(named(victim.pid))
    assert victim.returncode == -signal.SIGTERM


@pytest.mark.parametrize("later", [-1, 1])
def test_a_process_with_another_start_time_is_left_alone(victim, later):
    assert why(ask_to_end, named(victim.pid, later=later)) == own_process.GONE
    assert not may_end(named(victim.pid, later=later))
    assert victim.poll() is None


def test_a_process_that_is_gone_is_left_alone(victim):
    target = named(victim.pid)
    victim.kill()
    os.waitid(os.P_PID, victim.pid, os.WEXITED | os.WNOWAIT)
    assert why(ask_to_end, target) == own_process.GONE, "a zombie"
    victim.wait()
    assert why(ask_to_end, target) == own_process.GONE


def test_the_agent_does_not_end_itself():
    assert in_child(lambda: why(ask_to_end, named(os.getpid()))) == own_process.ITSELF


def test_a_pid_that_goes_to_another_process_while_it_is_opened_is_seen(tmp_path, victim, monkeypatch):
    """The start time is read when the pidfd is open, and not before."""
    proc = FakeProc(tmp_path)
    proc.write(f"{victim.pid}/stat", stat_line(victim.pid, start_ticks=90))
    proc.write(f"{victim.pid}/status", status_text(uid=os.getuid()))
    target = NamedProcess(victim.pid, 90, os.getuid(), 0, "leak")
    assert may_end_in(proc, target)

    def opened(pid, open_now=os.pidfd_open):
        proc.write(f"{pid}/stat", stat_line(pid, start_ticks=91))
        return open_now(pid)

    monkeypatch.setattr(os, "pidfd_open", opened)
    assert not may_end_in(proc, target)
    assert why(ask_to_end, target, proc.path) == own_process.GONE
    assert victim.poll() is None


def may_end_in(proc: FakeProc, target: NamedProcess) -> bool:
    return may_end(target, proc.path)


@pytest.mark.parametrize("place", range(4))
def test_a_process_of_which_one_uid_is_another_users_is_left_alone(tmp_path, victim, place):
    proc = FakeProc(tmp_path)
    uids = [os.getuid()] * 4
    uids[place] += 1
    proc.write(f"{victim.pid}/stat", stat_line(victim.pid, start_ticks=90))
    proc.write(f"{victim.pid}/status", status_text(uid=tuple(uids)))
    target = NamedProcess(victim.pid, 90, os.getuid(), 0, "leak")
    assert why(ask_to_end, target, proc.path) == own_process.OF_ANOTHER
    assert victim.poll() is None


@pytest.mark.root
def test_another_users_process_is_left_alone(victim):
    target = named(victim.pid)

    def as_nobody():
        os.setresuid(*(NOBODY.pw_uid,) * 3)
        return why(ask_to_end, target), may_end(target)

    assert in_child(as_nobody) == (own_process.OF_ANOTHER, False)
    assert victim.poll() is None


def test_what_the_kernel_refuses_is_said_and_no_descriptor_stays(victim, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    assert why(ask_to_end, named(victim.pid)) == "Operation not permitted"
    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert why(ask_to_end, named(victim.pid)) == "Operation not permitted"


def test_one_that_goes_between_the_look_and_the_signal_is_gone(victim, monkeypatch):
    def gone(*_):
        raise ProcessLookupError

    monkeypatch.setattr(signal, "pidfd_send_signal", gone)
    assert why(ask_to_end, named(victim.pid)) == own_process.GONE


def test_its_control_group_is_known(victim):
    assert group_of(named(victim.pid)) == cgroup_paths.parse_path(Path("/proc/self/cgroup").read_bytes())
    with held(named(victim.pid)) as pidfd:
        assert os.get_inheritable(pidfd) is False
