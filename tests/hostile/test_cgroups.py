"""Whole control groups, in the kernel's own hierarchy: what dies with a process, what does not, and who can cheat."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_protocol.messages import Exited, Outcome, Reason, Scope, Signal
from bustd_shared.kernel.cgroup_paths import DEEPEST
from tests.support import victims
from tests.support.cgroups import groups_at, put, writable_hierarchy
from tests.support.dialogue import peer
from tests.support.honest import OVER, all_survive, dies_of, group_request, is_served, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer
from tests.unit.shared.forked import in_child

pytestmark = [pytest.mark.root, pytest.mark.attack("a captured monitor")]

USER = "user.slice/user-1000.slice/user@1000.service"
UNIT = f"{USER}/app.slice/leak.scope"

LOOKS = ("open", "os.listdir", "os.scandir")

Process = subprocess.Popen[bytes]


@pytest.fixture
def hierarchy() -> Path:
    return writable_hierarchy()


@pytest.fixture
def member() -> Iterator[Process]:
    """A process in a different process group from the victim's."""
    with victims.victim(0, name=b"member", own_group=True) as process:
        yield process


@pytest.fixture
def below() -> Iterator[Process]:
    with victims.victim(0, name=b"below", own_group=True) as process:
        yield process


@pytest.mark.left("in a real shortage: unprotected members of one unit")
@pytest.mark.parametrize("named", ["victim", "below"])
def test_a_whole_unit_dies_with_what_is_below_it_and_nothing_beside_it(
    place: Path, hierarchy: Path, victim: Process, member: Process, below: Process, bystander: Process, named: str
) -> None:
    paths = (UNIT, f"{UNIT}/sub/deeper", f"{UNIT}2")
    with groups_at(hierarchy, *paths) as (unit, deeper, beside), killer(place, limits="minimum_mib = 0") as daemon:
        put(victim.pid, unit)
        put(member.pid, unit)
        put(below.pid, deeper)
        put(bystander.pid, beside)
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            first = victim if named == "victim" else below
            members = [process.pid for process in (victim, member, below, bystander) if process is not first]
            request = group_request(first.pid, *members, scope=Scope.CGROUP)
            verdict = monitor.ask(request)
            assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE)
            assert verdict.signalled_count == 3
            assert all(dies_of(process) for process in (victim, member, below))
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert (exited.id, exited.fate in OVER) == (request.id, True)
        assert daemon.has_said(f"for floor: with 2 more of /{unit.relative_to(hierarchy)}\n")
        assert is_served(daemon, bystander)


def test_of_a_unit_only_the_process_dies_if_only_the_process_was_asked_for(
    place: Path, hierarchy: Path, victim: Process, member: Process
) -> None:
    with groups_at(hierarchy, UNIT) as (unit,), killer(place) as daemon, all_survive(member):
        put(victim.pid, unit)
        put(member.pid, unit)
        assert is_served(daemon, victim)


@pytest.mark.parametrize(
    "path",
    [
        "machine.slice/lxc.payload.c/init.scope",
        "system.slice",
        "openrc.nginx",
        "user.slice/user-1000.slice/session-3.scope",
        USER,
        f"{USER}/init.scope",
        f"{USER}/app.slice",
        f"{USER}/session.slice/org.gnome.Shell@wayland.service",
        f"{USER}/app.slice/a.scope/session-1.scope",
        f"{USER}/app.slice/blank .scope",
        f"{USER}/app.slice/a\r0::/b.scope",
    ],
)
def test_what_is_no_unit_that_may_die_whole_is_refused_and_its_process_may_die_alone(
    place: Path, hierarchy: Path, victim: Process, member: Process, path: str
) -> None:
    with groups_at(hierarchy, path) as (group,), killer(place) as daemon, all_survive(member):
        put(victim.pid, group)
        put(member.pid, group)
        with all_survive(victim), peer(daemon.socket_path) as monitor:
            for number in Signal:
                request = group_request(victim.pid, member.pid, scope=Scope.CGROUP, signal=number)
                assert refused(monitor.ask(request), Reason.PROTECTED)
        assert daemon.has_said("is no part of a unit that may die whole\n")
        assert is_served(daemon, victim)


def test_a_process_in_no_control_group_of_its_own_is_refused(place: Path, hierarchy: Path, victim: Process) -> None:
    with killer(place) as daemon:
        put(victim.pid, hierarchy)
        with all_survive(victim), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(request_for(victim.pid, scope=Scope.CGROUP)), Reason.PROTECTED)
        assert is_served(daemon, victim)


def test_a_unit_with_units_of_its_own_dies_without_them(
    place: Path, hierarchy: Path, victim: Process, member: Process
) -> None:
    paths = ("machine.slice/systemd-nspawn@c.service/payload/system.slice/db.service",)
    with groups_at(hierarchy, *paths) as (inner,), killer(place) as daemon:
        put(victim.pid, inner.parents[1])
        put(member.pid, inner)
        with all_survive(member), peer(daemon.socket_path) as monitor:
            assert monitor.ask(group_request(victim.pid, member.pid, scope=Scope.CGROUP)).signalled_count == 1
            assert dies_of(victim)
            assert isinstance(monitor.hear(), Exited)


@pytest.mark.parametrize("comm", [b"database", b"sshd", b"systemd"])
def test_one_protected_member_protects_the_whole_unit(
    place: Path, hierarchy: Path, victim: Process, bystander: Process, comm: bytes
) -> None:
    with (
        victims.victim(0, name=comm) as protected,
        groups_at(hierarchy, f"{UNIT}/sub") as (sub,),
        killer(place, protect='names = ["database"]') as daemon,
    ):
        put(victim.pid, sub.parent)
        put(protected.pid, sub)
        with all_survive(victim, protected, bystander), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(group_request(victim.pid, protected.pid, scope=Scope.CGROUP)), Reason.PROTECTED)
        assert daemon.has_said(f"for floor: protected member {protected.pid}: name {comm.decode()}\n")
        assert is_served(daemon, bystander)


@pytest.mark.parametrize("whose", ["monitor", "killer"])
def test_the_unit_of_the_monitor_or_the_killer_is_refused(
    place: Path, hierarchy: Path, victim: Process, bystander: Process, whose: str
) -> None:
    with groups_at(hierarchy, UNIT) as (unit,), killer(place) as daemon:
        with all_survive(victim, bystander, daemon.process), peer(daemon.socket_path) as monitor:
            put(victim.pid, unit)
            own = monitor.pid if whose == "monitor" else daemon.pid
            put(own, unit)
            expected = Reason.MONITOR if whose == "monitor" else Reason.SELF
            assert refused(monitor.ask(group_request(victim.pid, own, scope=Scope.CGROUP)), expected)
        put(daemon.pid, hierarchy)
        assert is_served(daemon, bystander)


def test_members_of_other_users_die_with_the_rest(place: Path, hierarchy: Path, victim: Process) -> None:
    with victims.victim(0, as_nobody=True) as other, groups_at(hierarchy, UNIT) as (unit,), killer(place) as daemon:
        put(victim.pid, unit)
        put(other.pid, unit)
        with peer(daemon.socket_path) as monitor:
            assert monitor.ask(group_request(victim.pid, other.pid, scope=Scope.CGROUP)).signalled_count == 2
            assert dies_of(victim)
            assert dies_of(other)
            assert isinstance(monitor.hear(), Exited)


def test_a_list_that_its_owner_has_closed_spares_no_process(
    place: Path, hierarchy: Path, victim: Process, member: Process
) -> None:
    """The killer reads no list: what the monitor names by the table of processes is checked by each one's own path."""
    with groups_at(hierarchy, UNIT) as (unit,), killer(place) as daemon:
        os.chown(unit / "cgroup.procs", victims.NOBODY.pw_uid, -1)
        put(victim.pid, unit)
        put(member.pid, unit)
        (unit / "cgroup.procs").chmod(0)
        with peer(daemon.socket_path) as monitor:
            assert monitor.ask(group_request(victim.pid, member.pid, scope=Scope.CGROUP)).signalled_count == 2
            assert dies_of(victim)
            assert dies_of(member)
            assert isinstance(monitor.hear(), Exited)


def test_threads_in_groups_of_their_own_are_one_process(
    place: Path, hierarchy: Path, victim: Process, member: Process
) -> None:
    """A threaded group has no list of processes: they are in the list of the domain above it."""
    with groups_at(hierarchy, f"{UNIT}/threads") as (threads,), killer(place) as daemon:
        put(victim.pid, threads.parent)
        put(member.pid, threads.parent)
        (threads / "cgroup.type").write_text("threaded")
        (threads / "cgroup.threads").write_text(str(victim.pid))
        assert Path(f"/proc/{victim.pid}/cgroup").read_text().endswith("/threads\n")
        with peer(daemon.socket_path) as monitor:
            assert monitor.ask(group_request(victim.pid, member.pid, scope=Scope.CGROUP)).signalled_count == 2
            assert dies_of(victim)
            assert dies_of(member)
            assert isinstance(monitor.hear(), Exited)


def test_hundreds_of_members_die_together(place: Path, hierarchy: Path, victim: Process) -> None:
    crowd = victims.start_program(victims.crowd_program(300), own_group=True)
    try:
        with groups_at(hierarchy, UNIT) as (unit,), killer(place) as daemon, peer(daemon.socket_path) as monitor:
            put(victim.pid, unit)
            for pid in [crowd.pid, *Path(f"/proc/{crowd.pid}/task/{crowd.pid}/children").read_text().split()]:
                put(int(pid), unit)
            named = [crowd.pid, *victims.children(crowd.pid)]
            verdict = monitor.ask(group_request(victim.pid, *named, scope=Scope.CGROUP))
            assert (verdict.outcome, verdict.signalled_count) == (Outcome.SIGNALLED, 302)
            assert dies_of(victim)
            assert dies_of(crowd)
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert exited.fate in OVER
            assert (unit / "cgroup.procs").read_text() == ""
    finally:
        victims.end(crowd)


def test_of_the_hierarchy_it_reads_memory_oom_group_alone_and_lists_nothing(
    hierarchy: Path, victim: Process, member: Process
) -> None:
    """Seen by Python's own audit of each open and each list of a directory."""
    with groups_at(hierarchy, f"{UNIT}/sub/deeper") as (deeper,):
        put(victim.pid, deeper)
        put(member.pid, deeper.parent)
        request = group_request(victim.pid, member.pid, scope=Scope.CGROUP)
        its_guard = guard(hierarchy=str(hierarchy))

        def audited() -> tuple[int, list[tuple[str, str]]]:
            seen: list[tuple[str, str]] = []
            with kills() as slot:
                sys.addaudithook(lambda event, words: seen.append((event, str(words[0]))) if event in LOOKS else None)
                count = slot.answer(request, its_guard, 0).verdict.signalled_count
            return count, seen

        count, seen = in_child(audited)
        assert count == 2
        assert dies_of(victim) and dies_of(member)
    inside = [(event, path) for event, path in seen if path.startswith(str(hierarchy))]
    assert {event for event, _ in inside} == {"open"}
    assert {path.rpartition("/")[2] for _, path in inside} == {"memory.oom.group"}
    assert len(inside) <= DEEPEST
    assert [path for event, path in seen if event != "open"] == []
    assert all(path.startswith("/proc/") for event, path in seen if (event, path) not in inside)


def test_what_was_moved_out_since_the_monitor_looked_lives(hierarchy: Path, victim: Process, member: Process) -> None:
    """Whether it is protected at its new place or not, it no longer belongs to the unit."""
    with groups_at(hierarchy, UNIT, "user.slice/user-1000.slice/session-3.scope") as (unit, session), kills() as slot:
        put(victim.pid, unit)
        put(member.pid, session)
        request = group_request(victim.pid, member.pid, scope=Scope.CGROUP)
        verdict = slot.answer(request, guard(hierarchy=str(hierarchy)), 0).verdict
        assert (verdict.outcome, verdict.signalled_count) == (Outcome.SIGNALLED, 1)
        assert dies_of(victim)
        assert victims.is_alive(member)
