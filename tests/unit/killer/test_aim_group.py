"""Scope group: each member is checked by itself, one that may not die refuses the whole, and nothing stays open."""

import errno
from types import SimpleNamespace

import pytest

from bustd_killer import facts as facts_module
from bustd_killer.aim import Aim, Target, newcomers, take_aim
from bustd_killer.checks import OwnPids, Ruling
from bustd_protocol.messages import Reason, Scope
from bustd_shared.kernel.cgroups import MOST_MEMBERS
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import KILLER, MONITOR, PARENT, case, facts, guard, machine, request
from tests.unit.killer.world import World, close

OWN = OwnPids(KILLER, PARENT, MONITOR)
GROUP = request(scope=Scope.GROUP)
AIMED = Aim((), Target(4711), case(asked=GROUP, own=OWN))


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    made.processes = {4711: facts(), 4712: facts(start_ticks=2), 4800: facts(group=4800), 4713: facts(start_ticks=3)}
    return made


def test_the_one_that_was_asked_for_comes_first_and_then_its_group(world):
    world.processes = {4712: facts(start_ticks=2), 4711: facts(), 4800: facts(group=4800)}
    assert close(take_aim(GROUP, guard(own=OWN))) == [4711, 4712]


def test_without_scope_group_the_group_is_left_alone(world):
    assert close(take_aim(request(), guard(own=OWN))) == [4711]


def test_the_bytes_and_the_start_time_are_asked_of_the_first_alone(world):
    world.processes[4712] = facts(held_bytes=0, start_ticks=9)
    assert close(take_aim(GROUP, guard(own=OWN))) == [4711, 4712, 4713]


@pytest.mark.parametrize(
    ("changed", "reason", "why"),
    [
        ({"adj": -1000}, Reason.ADJ, "4713 of its group: adj"),
        ({"comm": b"postgres"}, Reason.PROTECTED, "4713 of its group: name postgres"),
        ({"flags": 0x200000}, Reason.KERNEL_THREAD, "4713 of its group: kernel_thread"),
    ],
)
def test_one_member_that_may_not_die_refuses_the_whole(world, changed, reason, why):
    world.processes[4713] = facts(**changed)
    aimed = take_aim(GROUP, guard(own=OWN, protection=Protection(names=(b"postgres",))))
    assert aimed == Ruling(reason, why)


def test_bustds_own_group_can_not_be_asked_for(world):
    world.processes[MONITOR] = facts()
    assert take_aim(GROUP, guard(own=OWN)) == Ruling(Reason.MONITOR, f"{MONITOR} of its group: monitor")


def test_a_member_outside_of_the_subtree_refuses_the_whole(world):
    world.ancestors = {90125: {500}, 2: {500}}
    aimed = take_aim(GROUP, guard(own=OWN, only_descendants_of=500))
    assert aimed == Ruling(Reason.OUTSIDE, "4713 of its group: not a descendant of 500")


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.NOT_LEADER])
def test_a_member_that_has_gone_meanwhile_is_left_out(world, reason):
    world.processes[4712] = reason
    assert close(take_aim(GROUP, guard(own=OWN))) == [4711, 4713]


def test_a_member_of_which_nobody_can_tell_whether_it_is_protected_refuses_the_whole(world):
    world.processes[4712] = Reason.HIDDEN
    assert take_aim(GROUP, guard(own=OWN)) == Ruling(Reason.HIDDEN, "4712 of its group: hidden")


def test_on_a_healthy_machine_the_group_is_not_even_looked_at(world):
    aimed = take_aim(GROUP, guard(machine(90), own=OWN))
    assert isinstance(aimed, Ruling)
    assert (aimed.reason, world.opened) == (Reason.NOT_SHORT, [4711])


def test_a_group_with_more_members_than_there_are_descriptors_is_refused_and_nothing_stays_open(world):
    world.processes[4713] = OSError(errno.EMFILE, "Too many open files")
    aimed = take_aim(GROUP, guard(own=OWN))
    assert isinstance(aimed, Ruling)
    assert (aimed.reason, aimed.errno) == (Reason.KERNEL, errno.EMFILE)


def test_a_pid_that_is_anothers_by_the_time_it_is_opened_is_not_of_the_group(world, monkeypatch):
    """The list names numbers; what holds one of them may have taken it over a moment ago."""
    world.processes[4713] = facts(group=4800, comm=b"postgres")
    monkeypatch.setattr(facts_module, "group_members", lambda _: [4711, 4712, 4713])
    protection = Protection(names=(b"postgres",))
    assert close(take_aim(GROUP, guard(own=OWN, protection=protection))) == [4711, 4712]
    world.processes[4713] = facts(group=4800)
    assert close(newcomers(AIMED, {4711})) == [4712]


def test_a_group_of_more_than_some_hundreds_does_not_die_together_and_nobody_of_it_is_looked_at(world, monkeypatch):
    members = [4711, *range(10_000, 10_000 + MOST_MEMBERS)]
    monkeypatch.setattr(facts_module, "group_members", lambda _: members)
    aimed = take_aim(GROUP, guard(own=OWN))
    assert aimed == Ruling(Reason.PROTECTED, f"its group has {MOST_MEMBERS + 1} members")
    assert world.opened == [4711]
    assert newcomers(AIMED, {4711}) == []
    assert len(world.opened) <= MOST_MEMBERS


def test_what_was_gathered_is_not_killed_if_memory_is_no_longer_short(world):
    readings = [machine(), machine(90)]
    guarded = guard(own=OWN)._replace(machine=SimpleNamespace(read=lambda: readings.pop(0)))
    aimed = take_aim(GROUP, guarded)
    assert isinstance(aimed, Ruling)
    assert aimed.reason is Reason.NOT_SHORT
    readings = [machine(), None]
    assert take_aim(GROUP, guarded).reason is Reason.NOT_SHORT


def test_nothing_stays_open_when_the_machine_can_not_be_read(world):
    def refuse():
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        take_aim(request(), guard(own=OWN)._replace(machine=SimpleNamespace(read=refuse)))


# Members that the group has started meanwhile


def test_newcomers_are_those_that_are_not_known_and_may_die(world):
    world.processes |= {4714: facts(adj=-1000), 4715: Reason.GONE, 4716: facts(start_ticks=6)}
    found = newcomers(AIMED, {4711, 4712})
    assert close(found) == [4713, 4716]
    assert 4711 not in world.opened


def test_newcomers_stop_where_the_descriptors_do(world):
    world.processes = {4712: facts(), 4713: OSError(errno.EMFILE, "Too many open files"), 4714: facts()}
    assert close(newcomers(AIMED, set())) == [4712]
