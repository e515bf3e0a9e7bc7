"""Scope cgroup: which control group is meant, that each member is checked by itself, and that nothing stays open."""

import errno

import pytest

from bustd_killer.aim import Aim, Target, newcomers, take_aim
from bustd_killer.checks import OwnPids, Ruling
from bustd_protocol.messages import Reason, Scope
from bustd_shared.kernel import cgroups
from bustd_shared.rules.protection import Protection
from tests.fakes.cgroupfs import FakeHierarchy
from tests.unit.killer.making import KILLER, MONITOR, PARENT, case, facts, machine, request
from tests.unit.killer.making import guard as ordinary_guard
from tests.unit.killer.world import World, close

OWN = OwnPids(KILLER, PARENT, MONITOR)
CGROUP = request(scope=Scope.CGROUP)
SCOPE = "/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"


@pytest.fixture
def tree(tmp_path):
    return FakeHierarchy(tmp_path)


@pytest.fixture
def guard(tree):
    return lambda *arguments, **changed: ordinary_guard(
        *arguments, **{"own": OWN, "hierarchy": tree.path, "protection": Protection(names=(b"postgres",))} | changed
    )


@pytest.fixture
def world(monkeypatch, tree):
    made = World(monkeypatch)
    made.processes = {
        4711: facts(cgroup=SCOPE),
        4712: facts(cgroup=SCOPE, group=4712, start_ticks=2),
        4713: facts(cgroup=f"{SCOPE}/sub", start_ticks=3),
        4800: facts(cgroup="/other.scope"),
    }
    tree.group(SCOPE, 4712, 4711)
    tree.group(f"{SCOPE}/sub", 4713)
    tree.group("/other.scope", 4800)
    return made


def test_the_one_that_was_asked_for_comes_first_and_then_its_control_group_with_what_is_below(world, guard):
    aimed = take_aim(CGROUP, guard())
    assert isinstance(aimed, Aim)
    assert aimed.target == Target(cgroup=SCOPE)
    assert close(aimed) == [4711, 4712, 4713]


def test_a_process_further_down_stands_for_its_whole_unit(world, guard):
    world.processes[4713] = facts(cgroup=f"{SCOPE}/sub")
    assert sorted(close(take_aim(request(4713, scope=Scope.CGROUP), guard()))) == [4711, 4712, 4713]


@pytest.mark.parametrize("scope", [Scope.PROCESS, Scope.GROUP])
def test_without_scope_cgroup_the_control_group_is_left_alone(world, guard, scope):
    assert 4712 not in close(take_aim(request(scope=scope), guard()))


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
def test_what_is_no_unit_that_may_die_whole_is_protected(world, guard, tree, path):
    world.processes = {4711: facts(cgroup=path), 4712: facts(cgroup=path)}
    tree.group(path or "/", 4711, 4712)
    why = f"{path or 'its control group'} is no part of a unit that may die whole"
    assert take_aim(CGROUP, guard()) == Ruling(Reason.PROTECTED, why)


@pytest.mark.parametrize("below", ["app.slice", "sub/y.service", "x.scope"])
def test_a_unit_that_is_no_leaf_is_protected(world, guard, tree, below):
    tree.group(f"{SCOPE}/{below}")
    assert take_aim(CGROUP, guard()) == Ruling(Reason.PROTECTED, f"{SCOPE} holds further units or more than it should")


def test_a_unit_with_more_groups_than_can_be_looked_at_in_a_crisis_is_protected(world, guard, tree):
    for number in range(cgroups.MOST_GROUPS - 2):
        (tree.directory / f"{SCOPE[1:]}/{number}").mkdir()
    close(take_aim(CGROUP, guard()))
    (tree.directory / f"{SCOPE[1:]}/one-more").mkdir()
    assert take_aim(CGROUP, guard()).reason is Reason.PROTECTED


# memory.oom.group


def test_the_kernels_indivisible_group_is_what_dies(world, guard, tree):
    tree.group(f"{SCOPE}/sub", 4713, oom_group=True)
    world.processes[4713] = facts(cgroup=f"{SCOPE}/sub")
    aimed = take_aim(request(4713, scope=Scope.CGROUP), guard())
    assert close(aimed) == [4713]
    tree.group(SCOPE, 4711, 4712, oom_group=True)
    assert close(take_aim(request(4713, scope=Scope.CGROUP), guard())) == [4713, 4711, 4712]


def test_an_indivisible_slice_does_not_die(world, guard, tree):
    tree.group("/user.slice", oom_group=True)
    tree.group(SCOPE.rpartition("/")[0], oom_group=True)
    assert close(take_aim(CGROUP, guard())) == [4711, 4712, 4713]


# One member refuses the whole


@pytest.mark.parametrize(
    ("changed", "reason", "why"),
    [
        ({"adj": -1000}, Reason.ADJ, "adj"),
        ({"comm": b"postgres"}, Reason.PROTECTED, "name postgres"),
        ({"flags": 0x200000}, Reason.KERNEL_THREAD, "kernel_thread"),
    ],
)
def test_one_member_that_may_not_die_refuses_the_whole(world, guard, changed, reason, why):
    world.processes[4713] = facts(cgroup=f"{SCOPE}/sub", **changed)
    assert take_aim(CGROUP, guard()) == Ruling(reason, f"4713 of {SCOPE}: {why}")


@pytest.mark.parametrize(
    ("pid", "reason"),
    [(1, Reason.PID1), (KILLER, Reason.SELF), (PARENT, Reason.PARENT), (MONITOR, Reason.MONITOR)],
)
def test_a_unit_that_holds_bustd_or_process_1_is_refused(world, guard, tree, pid, reason):
    world.processes[pid] = facts(cgroup=SCOPE)
    tree.group(SCOPE, 4711, 4712, pid)
    assert take_aim(CGROUP, guard()) == Ruling(reason, f"{pid} of {SCOPE}: {reason.name.lower()}")


def test_a_member_outside_of_the_subtree_refuses_the_whole(world, guard):
    world.ancestors = {90125: {500}, 2: {500}}
    aimed = take_aim(CGROUP, guard(only_descendants_of=500))
    assert aimed == Ruling(Reason.OUTSIDE, f"4713 of {SCOPE}: not a descendant of 500")


def test_a_member_of_which_nobody_can_tell_whether_it_is_protected_refuses_the_whole(world, guard):
    world.processes[4712] = Reason.HIDDEN
    assert take_aim(CGROUP, guard()) == Ruling(Reason.HIDDEN, f"4712 of {SCOPE}: hidden")


def test_a_member_of_another_user_dies_with_the_rest(world, guard):
    """It was started there: a user can move only processes that are in the user's own tree."""
    world.processes[4712] = facts(cgroup=SCOPE, uid=0)
    assert close(take_aim(CGROUP, guard())) == [4711, 4712, 4713]


# Which processes are members


@pytest.mark.parametrize("path", ["/other.scope", f"{SCOPE}2", "/user.slice/user-1000.slice/session-3.scope", ""])
def test_what_was_moved_since_the_listing_is_no_member_whoever_it_is(world, guard, path):
    world.processes[4712] = facts(cgroup=path, comm=b"postgres")
    assert close(take_aim(CGROUP, guard())) == [4711, 4713]


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.NOT_LEADER])
def test_a_member_that_has_gone_meanwhile_is_left_out(world, guard, reason):
    world.processes[4712] = reason
    assert close(take_aim(CGROUP, guard())) == [4711, 4713]


def test_the_bytes_and_the_start_time_are_asked_of_the_first_alone(world, guard):
    world.processes[4712] = facts(cgroup=SCOPE, held_bytes=0, start_ticks=9)
    assert close(take_aim(CGROUP, guard())) == [4711, 4712, 4713]


def test_on_a_healthy_machine_the_control_group_is_not_even_looked_at(world, guard):
    aimed = take_aim(CGROUP, guard(machine(90)))
    assert isinstance(aimed, Ruling)
    assert (aimed.reason, world.opened) == (Reason.NOT_SHORT, [4711])


def test_more_members_than_there_are_descriptors_are_refused_and_nothing_stays_open(world, guard):
    world.processes[4713] = OSError(errno.EMFILE, "Too many open files")
    aimed = take_aim(CGROUP, guard())
    assert isinstance(aimed, Ruling)
    assert (aimed.reason, aimed.errno) == (Reason.KERNEL, errno.EMFILE)


@pytest.mark.parametrize("look", ["read_whole", "groups_at", "members"])
def test_no_descriptor_left_to_look_at_the_control_group_is_refused_too(world, guard, monkeypatch, look):
    def exhausted(*_):
        raise OSError(errno.ENFILE, "Too many open files in system")

    monkeypatch.setattr(cgroups, look, exhausted)
    aimed = take_aim(CGROUP, guard())
    assert isinstance(aimed, Ruling)
    assert (aimed.reason, aimed.errno) == (Reason.KERNEL, errno.ENFILE)


def test_newcomers_are_those_that_are_not_known_are_there_and_may_die(world, guard, tree):
    tree.group(SCOPE, 4711, 4712, 4714, 4715, 4716)
    world.processes |= {
        4714: facts(cgroup=SCOPE, adj=-1000),
        4715: facts(cgroup="/other.scope"),
        4716: facts(cgroup=SCOPE),
    }
    aimed = Aim((), Target(cgroup=SCOPE), case(asked=CGROUP)._replace(guard=guard()))
    assert close(newcomers(aimed, {4711, 4712})) == [4716, 4713]
    assert 4711 not in world.opened
