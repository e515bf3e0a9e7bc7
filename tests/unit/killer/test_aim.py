"""Checks 4 to 9 in their order: the first that fails speaks, and what fails leaves nothing open."""

import errno

import pytest

from bustd_killer.aim import Aim, take_aim
from bustd_killer.checks import Ruling, own_pids
from bustd_protocol.messages import Reason
from bustd_shared.kernel.procfs import PF_KTHREAD, Stat
from bustd_shared.rules.protection import Protection
from tests.unit.killer.making import GIB, KILLER, MONITOR, PARENT, entry, guard, machine, request
from tests.unit.killer.world import World, close

OWN = own_pids(KILLER, PARENT, MONITOR)
DATABASE = Protection(names=(b"postgres",))


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def reason_of(aimed: object) -> Reason:
    assert isinstance(aimed, Ruling), f"aimed at {aimed}"
    return aimed.reason


def test_a_process_that_passes_every_check_is_held_for_the_signal(world):
    world.processes[4711] = entry()
    aimed = take_aim(request(), guard(own=OWN))
    assert isinstance(aimed, Aim)
    assert [(victim.pid, victim.entry) for victim in aimed.victims] == [(4711, entry())]
    close(aimed)


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.HIDDEN, Reason.NOT_LEADER])
def test_what_can_not_be_taken_hold_of_is_refused_with_the_reason(world, reason):
    world.processes[4711] = reason
    assert reason_of(take_aim(request(), guard(own=OWN))) is reason


@pytest.mark.parametrize(
    ("pid", "changed", "reason"),
    [
        (1, {}, Reason.PID1),
        (KILLER, {}, Reason.SELF),
        (PARENT, {}, Reason.PARENT),
        (MONITOR, {}, Reason.MONITOR),
        (4711, {"flags": PF_KTHREAD}, Reason.KERNEL_THREAD),
        (4711, {"state": b"Z"}, Reason.GONE),
        (4711, {"start_ticks": 90124}, Reason.START_TIME),
        (4711, {"adj": -1000}, Reason.ADJ),
        (4711, {"comm": b"postgres"}, Reason.PROTECTED),
        (4711, {"held_bytes": GIB // 2 - 1}, Reason.SHRUNK),
    ],
)
def test_each_check_is_made(world, pid, changed, reason):
    world.processes[pid] = entry(**changed)
    assert reason_of(take_aim(request(pid), guard(own=OWN, protection=DATABASE))) is reason


def test_a_healthy_machine_loses_no_process(world):
    world.processes[4711] = entry()
    assert reason_of(take_aim(request(), guard(machine(41), own=OWN))) is Reason.NOT_SHORT


def test_a_machine_that_makes_no_sense_loses_no_process(world):
    world.processes[4711] = entry()
    blind = guard(own=OWN)
    blind.machine.reading = None
    assert take_aim(request(), blind)[:2] == (Reason.NOT_SHORT, "/proc/meminfo makes no sense")


# What makes each check fail, in the order of the checks: a process that fails one and all later ones fails that one.
LATER = [
    (Reason.KERNEL_THREAD, {"flags": PF_KTHREAD}),
    (Reason.GONE, {"state": b"Z"}),
    (Reason.START_TIME, {"start_ticks": 5}),
    (Reason.OUTSIDE, {}),
    (Reason.ADJ, {"adj": -1000}),
    (Reason.PROTECTED, {"comm": b"postgres"}),
    (Reason.SHRUNK, {"held_bytes": 0}),
    (Reason.NOT_SHORT, {}),
]


@pytest.mark.parametrize("at", range(len(LATER)), ids=[reason.name for reason, _ in LATER])
def test_of_all_the_checks_that_fail_the_first_speaks(world, at):
    failing = LATER[at:]
    changed = {name: value for _, of_one in failing for name, value in of_one.items()}
    world.processes[4711] = entry(**changed)
    is_outside = Reason.OUTSIDE in [reason for reason, _ in failing]
    world.ancestors[changed.get("start_ticks", 90125)] = set() if is_outside else {500}
    aimed = take_aim(request(), guard(machine(90), own=OWN, protection=DATABASE, only_descendants_of=500))
    assert reason_of(aimed) is LATER[at][0]


def test_only_descendants_of_the_given_process_may_die_if_there_is_one(world):
    world.processes[4711] = entry()
    world.ancestors[90125] = {500, 1}
    close(take_aim(request(), guard(own=OWN, only_descendants_of=500)))
    outside = take_aim(request(), guard(own=OWN, only_descendants_of=501))
    assert isinstance(outside, Ruling)
    assert outside[:2] == (Reason.OUTSIDE, "not a descendant of 501")
    assert outside.saw is not None
    assert outside.saw.entry == world.processes[4711]


def test_what_the_kernel_should_not_have_refused_is_raised(world):
    world.processes[4711] = OSError(errno.EMFILE, "Too many open files")
    with pytest.raises(OSError, match="Too many open files"):
        take_aim(request(), guard(own=OWN))


def test_the_facts_and_not_the_request_are_judged(world):
    world.processes[4711] = entry(uid=0, comm=b"postgres")
    lie = request(uid=1000, comm=b"leak")
    assert reason_of(take_aim(lie, guard(own=OWN, protection=DATABASE))) is Reason.PROTECTED
    aimed = take_aim(request(comm=b"postgres"), guard(own=OWN))
    assert isinstance(aimed, Aim)
    assert aimed.victims[0].entry.stat == Stat(b"postgres", b"S", 1, 4711, 4700, 0x400000, 1, 90125)
    close(aimed)
