"""Members that a request names: each is checked by itself and by R1's rule, and nothing stays open."""

import errno
from types import SimpleNamespace

import pytest

from bustd_killer.aim import Aim, take_aim
from bustd_killer.checks import Ruling, own_pids
from bustd_protocol import limits
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Reason, Scope
from bustd_shared.rules.protection import Protection
from tests.fakes.cgroupfs import FakeHierarchy
from tests.unit.killer.making import GIB, KILLER, MIB, MONITOR, PARENT, entry, machine, request
from tests.unit.killer.making import guard as ordinary_guard
from tests.unit.killer.world import World, close

OWN = own_pids(KILLER, PARENT, MONITOR)
SCOPE = "/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"
SCOPES = (Scope.GROUP, Scope.CGROUP)


@pytest.fixture
def tree(tmp_path):
    made = FakeHierarchy(tmp_path)
    made.group(f"{SCOPE}/sub", 4713)
    return made


@pytest.fixture
def guard(tree):
    return lambda *arguments, **changed: ordinary_guard(
        *arguments, **{"own": OWN, "hierarchy": tree.path, "protection": Protection(names=(b"postgres",))} | changed
    )


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    made.processes = {
        4711: entry(cgroup=SCOPE),
        4712: entry(cgroup=SCOPE, start_ticks=2),
        4713: entry(cgroup=SCOPE, start_ticks=3),
        4800: entry(cgroup="/other.scope", group=4800),
    }
    return made


def refusal(aimed: object) -> tuple[object, ...]:
    assert isinstance(aimed, Ruling), aimed
    return aimed[:2]


# What both scopes have in common


@pytest.mark.parametrize("scope", SCOPES)
def test_the_named_process_comes_first_and_then_the_members_that_were_named(world, guard, scope):
    assert close(take_aim(world.group_request(4713, 4712, scope=scope), guard())) == [4711, 4713, 4712]
    assert close(take_aim(world.group_request(4712, scope=scope), guard())) == [4711, 4712], "nothing is listed"
    assert close(take_aim(world.group_request(scope=scope), guard())) == [4711]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_member_may_hold_nothing(world, guard, scope):
    world.processes[4712] = entry(cgroup=SCOPE, held_bytes=0, start_ticks=9)
    assert close(take_aim(world.group_request(4712, scope=scope), guard())) == [4711, 4712]


def small(world, *, held_bytes: int) -> None:
    """Each process holds this much."""
    for pid, ticks in ((4711, 90125), (4712, 2), (4713, 3)):
        world.processes[pid] = entry(cgroup=SCOPE, start_ticks=ticks, held_bytes=held_bytes)


@pytest.mark.parametrize("scope", SCOPES)
def test_the_bytes_are_asked_of_all_together_by_what_the_killer_has_read_of_each(world, guard, scope):
    small(world, held_bytes=12 * MIB)
    claim = {"scope": scope, "claimed_bytes": 36 * MIB}
    assert close(take_aim(world.group_request(4712, 4713, **claim), guard(claimed_percent=100))) == [4711, 4712, 4713]
    alone = take_aim(request(4711, **claim), guard(claimed_percent=0))
    assert refusal(alone) == (Reason.SHRUNK, f"holds {12 * 1024} KiB, not {16 * 1024} KiB")


@pytest.mark.parametrize("scope", SCOPES)
def test_together_they_must_hold_what_is_claimed_and_the_minimum(world, guard, scope):
    small(world, held_bytes=12 * MIB)
    claim = {"scope": scope, "claimed_bytes": 36 * MIB + 1}
    aimed = take_aim(world.group_request(4712, 4713, **claim), guard(claimed_percent=100))
    assert refusal(aimed) == (Reason.SHRUNK, f"holds {36 * 1024} KiB, not {36 * 1024} KiB")
    small(world, held_bytes=5 * MIB)
    aimed = take_aim(world.group_request(4712, 4713, **claim), guard(claimed_percent=0))
    assert refusal(aimed) == (Reason.SHRUNK, f"holds {15 * 1024} KiB, not {16 * 1024} KiB")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_swapoff_lends_its_members_nothing(world, guard, scope):
    small(world, held_bytes=5 * MIB)
    world.processes[4711] = entry(cgroup=SCOPE, comm=b"swapoff", uid=0, held_bytes=0)
    aimed = take_aim(world.group_request(4712, 4713, scope=scope, claimed_bytes=0), guard())
    assert refusal(aimed) == (Reason.SHRUNK, f"holds {10 * 1024} KiB, not {16 * 1024} KiB")


def test_shared_memory_counts_in_the_sum_no_more_than_there_can_be(world, guard):
    small(world, held_bytes=1 * MIB)
    for pid, one in world.processes.items():
        if not isinstance(one, Reason):
            status = one.status._replace(shared_bytes=5 * GIB)
            world.processes[pid] = one._replace(status=status)
    there_is = machine().total - machine().anonymous
    assert 5 * GIB < there_is < 10 * GIB
    for claimed, reason in [(there_is, None), (there_is + 4 * MIB, Reason.SHRUNK)]:
        aimed = take_aim(world.group_request(4712, 4713, claimed_bytes=claimed), guard(claimed_percent=100))
        assert close(aimed) if reason is None else refusal(aimed)[0] is reason


@pytest.mark.parametrize("scope", SCOPES)
def test_what_does_not_belong_or_is_gone_or_is_named_twice_adds_nothing(world, guard, scope):
    small(world, held_bytes=7 * MIB)
    world.processes[4713] = Reason.GONE
    world.processes[4800] = entry(cgroup="/other.scope", group=4800, held_bytes=GIB)
    asked = world.group_request(4712, 4712, 4713, 4800, 4711, scope=scope)
    aimed = take_aim(asked, guard(claimed_percent=0))
    assert refusal(aimed) == (Reason.SHRUNK, f"holds {14 * 1024} KiB, not {16 * 1024} KiB")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("changed", "reason", "why"),
    [
        ({"adj": -1000}, Reason.ADJ, "adj"),
        ({"comm": b"postgres"}, Reason.PROTECTED, "name postgres"),
        ({"flags": 0x200000}, Reason.KERNEL_THREAD, "kernel_thread"),
    ],
)
def test_one_member_that_may_not_die_refuses_the_whole(world, guard, scope, changed, reason, why):
    world.processes[4713] = entry(cgroup=SCOPE, start_ticks=3, **changed)
    aimed = take_aim(world.group_request(4712, 4713, scope=scope), guard())
    assert refusal(aimed) == (reason, f"member 4713: {why}")


@pytest.mark.parametrize("scope", SCOPES)
def test_one_that_may_not_die_and_is_not_named_spares_none_of_the_others(world, guard, scope):
    """A captured monitor can so have a unit killed around a protected process: the killer lists nothing."""
    world.processes[4713] = entry(cgroup=SCOPE, start_ticks=3, comm=b"postgres")
    assert close(take_aim(world.group_request(4712, scope=scope), guard())) == [4711, 4712]
    assert 4713 not in world.opened


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize(
    ("pid", "reason"),
    [(1, Reason.PID1), (KILLER, Reason.SELF), (PARENT, Reason.PARENT), (MONITOR, Reason.MONITOR)],
)
def test_bustd_and_process_1_can_not_be_members(world, guard, scope, pid, reason):
    world.processes[pid] = entry(cgroup=SCOPE)
    aimed = take_aim(world.group_request(pid, scope=scope), guard())
    assert refusal(aimed) == (reason, f"member {pid}: {reason.name.lower()}")


@pytest.mark.parametrize("scope", SCOPES)
def test_a_member_outside_of_the_subtree_refuses_the_whole(world, guard, scope):
    world.ancestors = {90125: {500}, 2: {500}}
    aimed = take_aim(world.group_request(4712, 4713, scope=scope), guard(only_descendants_of=500))
    assert refusal(aimed) == (Reason.OUTSIDE, "member 4713: not a descendant of 500")


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("reason", [Reason.GONE, Reason.NOT_LEADER])
def test_a_member_that_has_gone_meanwhile_is_left_out(world, guard, scope, reason):
    asked = world.group_request(4712, 4713, scope=scope)
    world.processes[4712] = reason
    assert close(take_aim(asked, guard())) == [4711, 4713]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_pid_that_has_another_start_time_by_now_is_left_out_even_if_it_is_protected(world, guard, scope):
    asked = world.group_request(4712, 4713, scope=scope)
    world.processes[4712] = entry(cgroup=SCOPE, start_ticks=77, comm=b"postgres")
    assert close(take_aim(asked, guard())) == [4711, 4713]


@pytest.mark.parametrize("scope", SCOPES)
def test_a_member_that_lives_and_can_not_be_read_refuses_the_whole(world, guard, scope):
    world.processes[4712] = Reason.HIDDEN
    assert refusal(take_aim(world.group_request(4712, scope=scope), guard())) == (Reason.HIDDEN, "member 4712: hidden")


@pytest.mark.parametrize("scope", SCOPES)
def test_on_a_healthy_machine_no_member_is_even_looked_at(world, guard, scope):
    aimed = take_aim(world.group_request(4712, scope=scope), guard(machine(90)))
    assert refusal(aimed)[0] is Reason.NOT_SHORT
    assert world.opened == [4711]


@pytest.mark.parametrize("scope", SCOPES)
def test_what_was_gathered_is_not_killed_if_memory_is_no_longer_short(world, guard, scope):
    readings = [machine(), machine(90)]
    changing = guard()._replace(machine=SimpleNamespace(read=lambda: readings.pop(0)))
    assert refusal(take_aim(world.group_request(4712, scope=scope), changing))[0] is Reason.NOT_SHORT
    readings = [machine(), None]
    assert refusal(take_aim(world.group_request(4712, scope=scope), changing))[0] is Reason.NOT_SHORT


@pytest.mark.parametrize("scope", SCOPES)
def test_more_members_than_there_are_descriptors_are_an_error_and_nothing_stays_open(world, guard, scope):
    world.processes[4713] = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(OSError, match="Too many"):
        take_aim(world.group_request(4712, 4713, scope=scope), guard())


def test_members_of_a_process_alone_are_refused(world, guard):
    aimed = take_aim(request(members=world.packed(4712)), guard())
    assert refusal(aimed)[0] is Reason.UNSUPPORTED
    assert world.opened == [4711]


def test_the_named_process_is_not_signalled_twice(world, guard):
    assert close(take_aim(world.group_request(4711, 4712, 4712), guard())) == [4711, 4712]
    assert world.opened == [4711, 4712]


def test_as_many_members_as_a_request_can_name_are_unpacked(world, guard):
    pids = range(10_000, 10_000 + limits.MEMBERS)
    world.processes |= {pid: entry(cgroup=SCOPE, start_ticks=pid) for pid in pids}
    assert len(close(take_aim(world.group_request(*pids), guard()))) == 1 + limits.MEMBERS


@pytest.mark.parametrize("pid", [0, 2**22 + 1, 2**31, 2**32 - 1])
def test_what_can_not_be_a_pid_is_gone(monkeypatch, guard, pid):
    """pidfd_open(2) takes 31 bits, and Python raises OverflowError for more: that must not end the killer."""
    from bustd_killer import facts

    assert facts.open_victim(pid) is Reason.GONE


# Scope GROUP


def group_of(**changed: object):
    return entry(cgroup=SCOPE, start_ticks=2, **changed)


@pytest.mark.parametrize(
    "other",
    [
        group_of(group=4800),
        group_of(session=4800),
        entry(cgroup=f"{SCOPE}/sub", start_ticks=2),
        entry(cgroup=f"{SCOPE}2", start_ticks=2),
        group_of()._replace(membership=b""),
    ],
    ids=["another group", "another session", "a control group below", "another control group", "no path"],
)
def test_a_process_of_another_group_session_or_control_group_is_no_member(world, guard, other):
    world.processes[4712] = other
    assert close(take_aim(world.group_request(4712, 4713), guard())) == [4711, 4713]


def test_a_session_leader_is_no_member_and_may_be_named_itself(world, guard):
    world.processes = {
        4712: entry(cgroup=SCOPE, group=4712, session=4712, start_ticks=2),
        4713: entry(cgroup=SCOPE, group=4712, session=4712, start_ticks=3),
    }
    named = {"start_ticks": 3, "pid": 4713}
    assert close(take_aim(world.group_request(4712, **named), guard())) == [4713]
    assert close(take_aim(world.group_request(4713, pid=4712, start_ticks=2), guard())) == [4712, 4713]


def test_a_named_process_without_a_path_has_no_members(world, guard):
    world.processes = {4711: entry()._replace(membership=b""), 4712: entry(start_ticks=2)._replace(membership=b"")}
    assert close(take_aim(world.group_request(4712), guard())) == [4711]


# Scope CGROUP


def test_a_member_is_in_the_unit_or_below_it_and_in_no_unit_of_its_own(world, guard):
    world.processes |= {
        4712: entry(cgroup=f"{SCOPE}/sub", start_ticks=2, group=1, session=4712),
        4713: entry(cgroup=f"{SCOPE}/x.service", start_ticks=3),
        4714: entry(cgroup=f"{SCOPE}/app.slice", start_ticks=4),
        4715: entry(cgroup=f"{SCOPE}2", start_ticks=5),
        4716: entry(cgroup="", start_ticks=6)._replace(membership=b"0::/../x\n"),
    }
    aimed = take_aim(world.group_request(4712, 4713, 4714, 4715, 4716, 4800, scope=Scope.CGROUP), guard())
    assert isinstance(aimed, Aim)
    assert aimed.cgroup == SCOPE
    assert close(aimed) == [4711, 4712]


def test_a_process_further_down_stands_for_its_whole_unit(world, guard):
    world.processes[4713] = entry(cgroup=f"{SCOPE}/sub", start_ticks=3)
    asked = world.group_request(4711, 4712, pid=4713, start_ticks=3, scope=Scope.CGROUP)
    assert close(take_aim(asked, guard())) == [4713, 4711, 4712]


def test_the_kernels_indivisible_group_is_what_dies(world, guard, tree):
    world.processes[4713] = entry(cgroup=f"{SCOPE}/sub", start_ticks=3)
    asked = world.group_request(4711, pid=4713, start_ticks=3, scope=Scope.CGROUP)
    tree.group(f"{SCOPE}/sub", 4713, oom_group=True)
    assert close(take_aim(asked, guard())) == [4713]
    tree.group(SCOPE, 4711, oom_group=True)
    assert close(take_aim(asked, guard())) == [4713, 4711]
    outside = "/lxc/c1"
    world.processes = {4711: entry(cgroup=f"{outside}/x"), 4712: entry(cgroup=f"{outside}/y", start_ticks=2)}
    asked = world.group_request(4712, scope=Scope.CGROUP)
    tree.group(f"{outside}/x", 4711)
    assert refusal(take_aim(asked, guard()))[0] is Reason.PROTECTED
    tree.group(outside, oom_group=True)
    assert close(take_aim(asked, guard())) == [4711, 4712]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/init.scope",
        "/system.slice",
        "/user.slice/user-1000.slice/session-3.scope",
        "/user.slice/user-1000.slice/user@1000.service",
        "/user.slice/user-1000.slice/user@1000.service/init.scope",
        "/openrc.nginx",
    ],
)
def test_what_may_not_die_whole_is_protected(world, guard, path):
    world.processes = {4711: entry(cgroup=path or "/"), 4712: entry(cgroup=path or "/", start_ticks=2)}
    why = f"{path or 'its control group'} is no part of a unit that may die whole"
    assert refusal(take_aim(world.group_request(4712, scope=Scope.CGROUP), guard())) == (Reason.PROTECTED, why)
    assert world.opened == [4711]


def test_a_member_of_another_user_dies_with_the_rest(world, guard):
    """It was started there: a user can move only processes that are in the user's own tree."""
    world.processes[4712] = entry(cgroup=SCOPE, uid=0, start_ticks=2)
    assert close(take_aim(world.group_request(4712, scope=Scope.CGROUP), guard())) == [4711, 4712]


# Continuations


@pytest.fixture
def aimed(world, guard):
    made = take_aim(world.group_request(4712), guard())
    close(made)
    return made


def test_a_continuation_opens_the_further_members_alone(world, guard, aimed):
    world.opened.clear()
    assert close(take_aim(world.group_request(4711, 4713, 4800), guard(), aimed)) == [4713]
    assert world.opened == [4713, 4800]


def test_a_continuation_is_refused_whole_too(world, guard, aimed):
    world.processes[4713] = entry(cgroup=SCOPE, start_ticks=3, adj=-1000)
    further = take_aim(world.group_request(4712, 4713), guard(), aimed)
    assert refusal(further) == (Reason.ADJ, "member 4713: adj")


def test_the_monitor_of_now_is_no_member_of_an_earlier_ones_kill(world, guard, aimed):
    later = guard(own=own_pids(KILLER, PARENT, 4713))
    assert refusal(take_aim(world.group_request(4713), later, aimed)) == (Reason.MONITOR, "member 4713: monitor")


def test_the_target_stays_that_of_the_first_request(world, guard, aimed):
    assert (aimed.case.request.scope, aimed.case.victim.entry) == (Scope.GROUP, world.processes[4711])
    world.processes[4711] = Reason.GONE
    world.processes[4713] = entry(cgroup=f"{SCOPE}/sub", start_ticks=3)
    asked = request(scope=Scope.CGROUP, members=packed_members([(4713, 3)]))
    assert close(take_aim(asked, guard(), aimed)) == []
