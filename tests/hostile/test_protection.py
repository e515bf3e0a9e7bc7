"""Processes that root protects, by unit, uid, name or oom_score_adj, and those that pretend to be protected."""

import os
import select
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_protocol.messages import Outcome, Reason
from bustd_shared.kernel import process
from tests.hostile.test_identity import LEADER_EXITS
from tests.support import victims
from tests.support.cgroups import counts_for_units, group_at, mount_point, put
from tests.support.dialogue import peer
from tests.support.honest import all_survive, dies_of, is_served, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

USER = "user.slice/user-1000.slice"

FAMILY = """
import ctypes, os, time
kept = bytes([1]) * (32 << 20)
if os.fork() == 0:
    ctypes.CDLL(None).prctl(1, 9)
else:
    print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture(params=["unified", "systemd"])
def hierarchy(request: pytest.FixtureRequest) -> Path:
    root = mount_point(request.param)
    if root is None or not counts_for_units(request.param) or not os.access(root, os.W_OK):
        pytest.skip(f"no {request.param} cgroup hierarchy here in which a test can make units")
    return root


@pytest.mark.attack("a local user")
@pytest.mark.root
@pytest.mark.parametrize(
    "path",
    [
        f"{USER}/user@1000.service/postgresql.service",
        f"{USER}/user@1000.service/app.slice/postgresql.service",
        f"{USER}/session-3.scope/postgresql.service",
        f"{USER}/user@1000.service/system.slice/postgresql.service",
        f"{USER}/user@1000.service/a\r0::/system.slice/postgresql.service",
        f"{USER}/user@1000.service/a\r1:name=systemd:/system.slice/postgresql.service",
    ],
)
def test_a_unit_forged_below_a_users_own_protects_nothing(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], hierarchy: Path, path: str
) -> None:
    with group_at(hierarchy, path) as group, killer(place, protect='units = ["postgresql.service"]') as daemon:
        put(victim.pid, group)
        with all_survive(bystander):
            assert is_served(daemon, victim)
        unit = "session-3.scope" if "session-3" in path else "user@1000.service"
        assert daemon.has_said(f"signalled SIGKILL to {victim.pid} (leak, unit {unit}, holding ")
        assert is_served(daemon, bystander)


@pytest.mark.root
@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("user@*.service", f"{USER}/user@1000.service/postgresql.service"),
        ("postgresql.service", "system.slice/postgresql.service"),
        ("postgresql.service", "system.slice/postgresql.service/worker"),
        ("postgresql@*.service", "system.slice/system-postgresql.slice/postgresql@15-main.service"),
    ],
)
def test_a_protected_unit_is_refused(
    place: Path,
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    hierarchy: Path,
    rule: str,
    path: str,
) -> None:
    with group_at(hierarchy, path) as group, killer(place, protect=f'units = ["{rule}"]') as daemon:
        put(victim.pid, group)
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid)), Reason.PROTECTED)
        assert daemon.has_said(f"to {victim.pid} (leak, unit ")
        assert daemon.has_said(f") for floor: protected unit {rule}\n")
        assert is_served(daemon, bystander)


@pytest.mark.root
def test_a_unit_protects_a_process_whose_leader_has_exited(
    place: Path, bystander: subprocess.Popen[bytes], hierarchy: Path
) -> None:
    """The kernel shows an exited leader in no group at all. Its living threads are where they were."""
    with group_at(hierarchy, "system.slice/postgresql.service") as group:
        enter = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid()))\n"
        undead = victims.start_program(enter + LEADER_EXITS)
        try:
            with killer(place, protect='units = ["postgresql.service"]') as daemon:
                with all_survive(undead, bystander), peer(daemon.socket_path) as liar:
                    assert refused(liar.ask(request_for(undead.pid)), Reason.PROTECTED)
                assert daemon.has_said("protected unit postgresql.service\n")
                assert is_served(daemon, bystander)
        finally:
            victims.end(undead)


@pytest.mark.root
def test_a_protected_user_is_refused_whatever_the_request_says(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    uid = victims.NOBODY.pw_uid
    with victims.victim(as_nobody=True) as victim, killer(place, protect='users = ["nobody"]') as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            for told in (uid, 0, 4711):
                assert refused(liar.ask(request_for(victim.pid, uid=told)), Reason.PROTECTED)
        assert daemon.has_said(f"to {victim.pid} (leak, unit ")
        assert daemon.has_said(f") for floor: protected uid {uid}\n")
        assert is_served(daemon, bystander)


@pytest.mark.parametrize("told", [b"leak", b"innocent"])
def test_a_protected_name_is_refused_whatever_the_request_says(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], told: bytes
) -> None:
    with killer(place, protect='names = ["le?k"]') as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid, comm=told)), Reason.PROTECTED)
        assert daemon.has_said(f"to {victim.pid} (leak, unit ")
        assert daemon.has_said(") for floor: protected name le?k\n")
        assert is_served(daemon, bystander)


def test_a_name_given_on_the_command_line_is_protected_too(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, "--protect-name", "lea*", "--protect-name", "other") as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid)), Reason.PROTECTED)
        assert is_served(daemon, bystander)


def test_what_a_machine_needs_is_protected_unless_root_says_otherwise(place: Path) -> None:
    with victims.victim(name=b"sshd") as sshd, victims.victim() as other:
        with killer(place) as daemon:
            with all_survive(sshd, other), peer(daemon.socket_path) as liar:
                assert refused(liar.ask(request_for(sshd.pid)), Reason.PROTECTED)
            assert daemon.has_said("protected name sshd\n")
            assert is_served(daemon, other)
        with killer(place, protect="shipped = false") as daemon:
            assert is_served(daemon, sshd)


@pytest.mark.attack("a local user")
def test_a_claimed_name_protects_nothing(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """The name that counts is the one that the killer reads."""
    with killer(place, protect='names = ["database"]') as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            assert monitor.ask(request_for(victim.pid, comm=b"database")).outcome is Outcome.SIGNALLED
            assert dies_of(victim)
        assert is_served(daemon, bystander)


@pytest.mark.parametrize(("adj", "reason"), [(-1000, Reason.ADJ), (-999, Reason.NONE), (1000, Reason.NONE)])
def test_a_process_that_the_kernel_may_not_take_is_refused(
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    monkeypatch: pytest.MonkeyPatch,
    adj: int,
    reason: Reason,
) -> None:
    """With a fake of this one file, because the machine's root may not be allowed to lower it."""
    read = process.read_file
    lying = Path(f"/proc/{victim.pid}/oom_score_adj")

    def read_all_but_one(path: str, **how: tuple[int, ...]) -> bytes | None:
        return f"{adj}\n".encode() if Path(path) == lying else read(path, **how)

    monkeypatch.setattr(process, "read_file", read_all_but_one)
    with kills() as slot:
        with all_survive(bystander):
            assert slot.answer(request_for(victim.pid), guard(), 0).verdict.reason is reason
            assert victims.exits_within(victim, 5 if reason is Reason.NONE else 0) == (reason is Reason.NONE)
        monkeypatch.undo()
        slot.follow(1, guard())
        assert slot.answer(request_for(bystander.pid), guard(), 2).verdict.outcome is Outcome.SIGNALLED
        assert dies_of(bystander)


@pytest.mark.root
def test_a_process_that_the_kernel_really_may_not_take_is_refused(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    try:
        Path(f"/proc/{victim.pid}/oom_score_adj").write_text("-1000")
    except PermissionError:
        pytest.skip("this machine's root may not lower oom_score_adj (no CAP_SYS_RESOURCE)")
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid)), Reason.ADJ)
        assert daemon.has_said(f"to {victim.pid} (leak, unit ")
        assert daemon.has_said(") for floor: adj\n")
        assert is_served(daemon, bystander)


@pytest.fixture
def family() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process and the PID of its child, which dies with it. Both hold enough memory to be killed."""
    parent = victims.start_program(FAMILY)
    (child,) = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    yield parent, int(child)
    victims.end(parent)


def test_outside_of_the_tree_that_it_was_told_nothing_dies(
    place: Path, family: tuple[subprocess.Popen[bytes], int], bystander: subprocess.Popen[bytes]
) -> None:
    parent, child = family
    with (
        killer(place, only_descendants_of=parent.pid) as daemon,
        all_survive(parent, bystander),
        peer(daemon.socket_path) as monitor,
    ):
        for pid in (parent.pid, bystander.pid):
            assert refused(monitor.ask(request_for(pid)), Reason.OUTSIDE)
            assert daemon.has_said(f"SIGKILL to {pid} (")
        assert daemon.has_said(f"for floor: outside not a descendant of {parent.pid}\n")
        pidfd = os.pidfd_open(child)
        try:
            assert monitor.ask(request_for(child)).outcome is Outcome.SIGNALLED
            assert select.select([pidfd], [], [], 5)[0]
        finally:
            os.close(pidfd)
