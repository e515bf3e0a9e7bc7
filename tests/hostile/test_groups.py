"""Whole process groups, and processes that may not be among them."""

import errno
import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer import facts, flight
from bustd_killer.checks import Ruling
from bustd_protocol.messages import Exited, Fate, Outcome, Reason, Scope, Signal
from bustd_shared.rules.protection import Protection
from tests.support import victims
from tests.support.dialogue import peer
from tests.support.honest import all_survive, dies_of, is_served, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

STARTS_A_KILLER = """
import signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:], process_group=0)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
sys.exit(child.wait())
"""


@pytest.fixture
def leader() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"leader", own_group=True) as process:
        yield process


@pytest.fixture
def member(leader: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(0, name=b"member", group=leader.pid) as process:
        yield process


@pytest.mark.parametrize("named", ["leader", "member"])
def test_a_whole_group_dies_whichever_member_was_named(
    place: Path,
    leader: subprocess.Popen[bytes],
    member: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    named: str,
) -> None:
    pid = leader.pid if named == "leader" else member.pid
    with killer(place, limits="minimum_mib = 0") as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            request = request_for(pid, scope=Scope.GROUP)
            verdict = monitor.ask(request)
            assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE)
            assert verdict.signalled_count == 2
            assert dies_of(leader)
            assert dies_of(member)
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert exited[:2] == (request.id, Fate.GONE)
        assert is_served(daemon, bystander)


def test_of_a_group_only_the_process_dies_if_only_the_process_was_asked_for(
    place: Path, leader: subprocess.Popen[bytes], member: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon, all_survive(member):
        assert is_served(daemon, leader)


def test_a_member_that_ignores_sigterm_gets_sigkill(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with (
        victims.victim(0, ignore_term=True, group=leader.pid) as stubborn,
        killer(place, grace="term_ms = 300") as daemon,
    ):
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            verdict = monitor.ask(request_for(leader.pid, scope=Scope.GROUP, signal=Signal.TERM))
            assert verdict.signalled_count == 2
            assert dies_of(leader, Signal.TERM)
            assert dies_of(stubborn)
        assert is_served(daemon, bystander)


@pytest.mark.parametrize("comm", [b"database", b"sshd"])
def test_one_protected_member_protects_the_whole_group(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], comm: bytes
) -> None:
    with (
        victims.victim(0, name=comm, group=leader.pid) as member,
        killer(place, protect='names = ["database"]') as daemon,
    ):
        with all_survive(leader, member, bystander), peer(daemon.socket_path) as monitor:
            for number in Signal:
                request = request_for(leader.pid, scope=Scope.GROUP, signal=number)
                assert refused(monitor.ask(request), Reason.PROTECTED)
        said = f"for floor: protected {member.pid} of its group: name {comm.decode()}\n"
        assert daemon.has_said(said)
        assert is_served(daemon, bystander)


def test_the_monitors_own_group_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(leader, bystander), peer(daemon.socket_path) as monitor:
            monitor.step("join_group", group=leader.pid)
            assert refused(monitor.ask(request_for(leader.pid, scope=Scope.GROUP)), Reason.MONITOR)
            assert victims.is_alive(monitor.process)  # type: ignore[arg-type]
        assert daemon.has_said(f"for floor: monitor {monitor.pid} of its group: monitor\n")
        assert is_served(daemon, bystander)


def test_the_killers_own_group_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, process_group=leader.pid) as daemon:
        with all_survive(leader, bystander, daemon.process), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(request_for(leader.pid, scope=Scope.GROUP)), Reason.SELF)
        assert daemon.has_said(f"for floor: self {daemon.pid} of its group: self\n")
        assert is_served(daemon, bystander)


def test_the_group_of_the_killers_parent_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    parent = [sys.executable, "-I", "-c", STARTS_A_KILLER]
    with killer(place, through=parent, process_group=leader.pid) as daemon:
        with all_survive(leader, bystander, daemon.process), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(request_for(leader.pid, scope=Scope.GROUP)), Reason.PARENT)
        assert daemon.has_said(f"for floor: parent {daemon.pid} of its group: parent\n")
        assert is_served(daemon, bystander)


def test_a_member_outside_of_the_tree_refuses_the_whole_group(
    place: Path, leader: subprocess.Popen[bytes], member: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """The leader's child is in the tree that the killer was given, and the leader itself is not."""
    forks = "import os, time\nkept = bytes([1]) * (32 << 20)\nif os.fork(): print('ready', flush=True)\ntime.sleep(9)\n"
    parent = victims.start_program(forks, own_group=True)
    try:
        child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text())
        with killer(place, only_descendants_of=parent.pid) as daemon:
            with all_survive(parent, leader, member, bystander), peer(daemon.socket_path) as monitor:
                assert refused(monitor.ask(request_for(child, scope=Scope.GROUP)), Reason.OUTSIDE)
            assert daemon.has_said(f"outside {parent.pid} of its group: not a descendant of {parent.pid}\n")
            with peer(daemon.socket_path) as monitor:
                assert monitor.ask(request_for(child)).outcome is Outcome.SIGNALLED
                assert isinstance(monitor.hear(), Exited)
    finally:
        victims.end(parent)


@pytest.mark.parametrize("limit", [24, 60])
def test_a_group_larger_than_the_table_of_descriptors_is_refused_and_nothing_leaks(
    place: Path, bystander: subprocess.Popen[bytes], limit: int
) -> None:
    crowd = victims.start_program(victims.crowd_program(60, kept_mib=32), own_group=True)
    try:
        with killer(place) as daemon, peer(daemon.socket_path) as monitor:
            resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
            with all_survive(crowd, bystander):
                for _ in range(2):
                    verdict = monitor.ask(request_for(crowd.pid, scope=Scope.GROUP))
                    assert verdict[1:3] == (Outcome.FAILED, Reason.KERNEL)
                    assert (verdict.errno, verdict.signalled_count) == (errno.EMFILE, 0)
            assert daemon.has_said(f"to {crowd.pid} (python3) for floor: kernel ")
            monitor.step("close")
            assert is_served(daemon, bystander)
    finally:
        victims.end(crowd)


def test_a_group_that_just_fits_into_the_table_of_descriptors_dies_whole(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    crowd = victims.start_program(victims.crowd_program(60, kept_mib=32), own_group=True)
    try:
        with killer(place) as daemon, all_survive(bystander), peer(daemon.socket_path) as monitor:
            for limit in range(64, 100):
                resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, 100))
                verdict = monitor.ask(request_for(crowd.pid, scope=Scope.GROUP))
                if verdict.outcome is Outcome.SIGNALLED:
                    break
                assert (verdict.reason, verdict.errno) == (Reason.KERNEL, errno.EMFILE)
            assert verdict.signalled_count == 61
            assert dies_of(crowd)
            assert isinstance(monitor.hear(), Exited)
            monitor.step("close")
        with killer(place) as daemon:
            assert is_served(daemon, bystander)
    finally:
        victims.end(crowd)


def test_a_member_that_cannot_be_seen_refuses_the_whole_group(
    leader: subprocess.Popen[bytes], member: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The killer can't tell whether it is protected."""
    open_victim = facts.open_victim
    monkeypatch.setattr(facts, "open_victim", lambda pid: Reason.HIDDEN if pid == member.pid else open_victim(pid))
    with kills() as slot, all_survive(leader, member):
        verdict = slot.answer(request_for(leader.pid, scope=Scope.GROUP), guard(), 0).verdict
        assert refused(verdict, Reason.HIDDEN)
        assert slot.flight is None


@pytest.mark.parametrize("comm", [b"newcomer", b"database"])
def test_a_member_that_comes_while_the_group_is_killed_dies_unless_it_is_protected(
    leader: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, comm: bytes
) -> None:
    send_signal = flight.send_signal
    late: list[subprocess.Popen[bytes]] = []

    def one_more(pidfd: int, number: int) -> Ruling:
        if not late:
            late.append(victims.start(0, name=comm, group=leader.pid))
        return send_signal(pidfd, number)

    monkeypatch.setattr(flight, "send_signal", one_more)
    try:
        with kills() as slot:
            request = request_for(leader.pid, scope=Scope.GROUP)
            verdict = slot.answer(request, guard(protection=Protection(names=(b"database",))), 0).verdict
            assert dies_of(leader)
            assert verdict.signalled_count == (2 if comm == b"newcomer" else 1)
            assert victims.exits_within(late[0], 1) == (comm == b"newcomer")
    finally:
        for process in late:
            victims.end(process)


def test_a_member_that_comes_when_descriptors_have_run_out_stops_nothing(
    leader: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    send_signal = flight.send_signal
    late: list[subprocess.Popen[bytes]] = []

    def exhausted(pid: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def one_more(pidfd: int, number: int) -> Ruling:
        late.append(victims.start(0, group=leader.pid))
        monkeypatch.setattr(facts, "open_victim", exhausted)
        return send_signal(pidfd, number)

    monkeypatch.setattr(flight, "send_signal", one_more)
    try:
        with kills() as slot:
            verdict = slot.answer(request_for(leader.pid, scope=Scope.GROUP), guard(), 0).verdict
            assert (verdict.outcome, verdict.signalled_count) == (Outcome.SIGNALLED, 1)
            assert dies_of(leader)
            assert slot.flight is not None
            assert victims.is_alive(late[0])
    finally:
        for process in late:
            victims.end(process)
