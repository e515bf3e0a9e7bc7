"""Whole process groups, and processes that may not be among them."""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer import facts
from bustd_protocol.messages import Exited, Outcome, Reason, Signal
from tests.support import victims
from tests.support.dialogue import peer
from tests.support.honest import OVER, all_survive, dies_of, group_request, is_served, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

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


@pytest.mark.left("in a real shortage: unprotected members of one group")
@pytest.mark.parametrize("named", ["leader", "member"])
def test_a_whole_group_dies_whichever_member_was_named(
    place: Path,
    leader: subprocess.Popen[bytes],
    member: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    named: str,
) -> None:
    pid, other = (leader.pid, member.pid) if named == "leader" else (member.pid, leader.pid)
    with killer(place, limits="minimum_mib = 0") as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            request = group_request(pid, other)
            verdict = monitor.ask(request)
            assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE)
            assert verdict.signalled_count == 2
            assert dies_of(leader)
            assert dies_of(member)
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert (exited.id, exited.fate in OVER) == (request.id, True)
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
            verdict = monitor.ask(group_request(leader.pid, stubborn.pid, signal=Signal.TERM))
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
                request = group_request(leader.pid, member.pid, signal=number)
                assert refused(monitor.ask(request), Reason.PROTECTED)
        said = f"for floor: protected member {member.pid}: name {comm.decode()}\n"
        assert daemon.has_said(said)
        assert is_served(daemon, bystander)


def test_the_monitors_own_group_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(leader, bystander), peer(daemon.socket_path) as monitor:
            monitor.step("join_group", group=leader.pid)
            assert refused(monitor.ask(group_request(leader.pid, monitor.pid)), Reason.MONITOR)
            assert victims.is_alive(monitor.process)  # type: ignore[arg-type]
        assert daemon.has_said(f"for floor: monitor member {monitor.pid}: monitor\n")
        assert is_served(daemon, bystander)


def test_the_killers_own_group_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, process_group=leader.pid) as daemon:
        with all_survive(leader, bystander, daemon.process), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(group_request(leader.pid, daemon.pid)), Reason.SELF)
        assert daemon.has_said(f"for floor: self member {daemon.pid}: self\n")
        assert is_served(daemon, bystander)


def test_the_group_of_the_killers_parent_is_refused(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    parent = [sys.executable, "-I", "-c", STARTS_A_KILLER]
    with killer(place, through=parent, process_group=leader.pid) as daemon:
        with all_survive(leader, bystander, daemon.process), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(group_request(leader.pid, daemon.pid)), Reason.PARENT)
        assert daemon.has_said(f"for floor: parent member {daemon.pid}: parent\n")
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
                assert refused(monitor.ask(group_request(child, parent.pid)), Reason.OUTSIDE)
            assert daemon.has_said(f"outside member {parent.pid}: not a descendant of {parent.pid}\n")
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
        few = ["prlimit", f"--nofile={limit}:{limit}"]
        with killer(place, through=few) as daemon, peer(daemon.socket_path) as monitor:
            with all_survive(crowd, bystander):
                for _ in range(2):
                    verdict = monitor.ask(group_request(crowd.pid, *victims.children(crowd.pid)))
                    assert verdict[1:3] == (Outcome.FAILED, Reason.KERNEL)
                    assert (verdict.errno, verdict.signalled_count) == (errno.EMFILE, 0)
            assert daemon.has_said(f'to {crowd.pid} (called "python3" by the monitor) for floor: kernel ')
            monitor.step("close")
            assert is_served(daemon, bystander)
    finally:
        victims.end(crowd)


def test_a_group_that_just_fits_into_the_table_of_descriptors_dies_whole(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    crowd = victims.start_program(victims.crowd_program(60, kept_mib=32), own_group=True)
    try:
        for limit in range(66, 90):
            few = ["prlimit", f"--nofile={limit}:{limit}"]
            with killer(place, through=few) as daemon, all_survive(bystander), peer(daemon.socket_path) as monitor:
                verdict = monitor.ask(group_request(crowd.pid, *victims.children(crowd.pid)))
                if verdict.outcome is not Outcome.SIGNALLED:
                    assert (verdict.reason, verdict.errno) == (Reason.KERNEL, errno.EMFILE)
                    continue
                assert verdict.signalled_count == 61
                assert dies_of(crowd)
                assert isinstance(monitor.hear(), Exited)
                monitor.step("close")
                assert is_served(daemon, victim)
                break
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
        verdict = slot.answer(group_request(leader.pid, member.pid), guard(), 0).verdict
        assert refused(verdict, Reason.HIDDEN)
        assert slot.flight is None


@pytest.mark.parametrize("comm", [b"newcomer", b"database"])
def test_a_member_that_came_while_the_group_was_killed_is_named_by_a_continuation_and_dies_unless_it_is_protected(
    place: Path, leader: subprocess.Popen[bytes], member: subprocess.Popen[bytes], comm: bytes
) -> None:
    with (
        victims.victim(0, name=comm, group=leader.pid) as late,
        killer(place, protect='names = ["database"]', rate="burst = 1\ninterval_ms = 0") as daemon,
        peer(daemon.socket_path) as monitor,
    ):
        first = group_request(leader.pid, member.pid)
        further = group_request(leader.pid, late.pid, id=first.id + 1000)
        assert monitor.ask(first).signalled_count == 2
        assert dies_of(leader)
        assert dies_of(member)
        exited = monitor.hear()
        assert isinstance(exited, Exited)
        verdict = monitor.ask(further)
        if comm == b"database":
            assert refused(verdict, Reason.PROTECTED)
            assert victims.is_alive(late)
            return
        assert (verdict.outcome, verdict.signalled_count) == (Outcome.SIGNALLED, 1)
        assert dies_of(late)
        exited = monitor.hear()
        assert isinstance(exited, Exited)
        assert (exited.id, exited.fate in OVER) == (further.id, True)


def test_nothing_of_another_group_is_a_member_whatever_the_monitor_says(
    place: Path, leader: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """A captured monitor names what it likes: of its list dies what the killer itself finds in the group."""
    with (
        victims.victim(name=b"elsewhere", own_group=True) as elsewhere,
        killer(place) as daemon,
        peer(daemon.socket_path) as liar,
        all_survive(bystander, elsewhere),
    ):
        request = group_request(leader.pid, bystander.pid, elsewhere.pid)
        assert liar.ask(request).signalled_count == 1
        assert dies_of(leader)
        assert isinstance(liar.hear(), Exited)
        further = group_request(elsewhere.pid, bystander.pid)._replace(pid=leader.pid, start_ticks=request.start_ticks)
        assert liar.ask(further).outcome is Outcome.GONE


def test_a_session_leader_is_no_member(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    program = """
import os, time
os.setsid()
kept = bytes([1]) * (32 << 20)
if os.fork() == 0: print("ready", flush=True)
time.sleep(120)
"""
    shell = victims.start_program(program)
    try:
        (child,) = victims.children(shell.pid)
        with killer(place) as daemon, peer(daemon.socket_path) as liar, all_survive(shell, bystander):
            assert liar.ask(group_request(child, shell.pid, claimed_bytes=0)).signalled_count == 1
            assert isinstance(liar.hear(), Exited)
    finally:
        victims.end(shell)
