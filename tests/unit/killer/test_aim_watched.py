"""One control group instead of the machine: a process outside of it is refused, and its own memory is judged."""

import pytest

from bustd_killer.aim import take_aim
from bustd_killer.checks import own_pids
from bustd_killer.watched import CgroupFiles
from bustd_protocol.messages import Reason, Scope
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc
from tests.unit.killer.making import KILLER, MONITOR, PARENT, entry, guard, request
from tests.unit.killer.world import World, close

MIB, GIB = 2**20, 2**30
OWN = own_pids(KILLER, PARENT, MONITOR)
WATCHED = "/box.slice/job.service"


def at(path: str, **how):
    """A process in the control group of this path, as /proc/PID/cgroup tells it."""
    return entry(cgroup=path, **how)


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    made.processes = {
        4711: at(WATCHED),
        4712: at(f"{WATCHED}/sub", start_ticks=2),
        4800: at("/other.service", group=4800),
    }
    return made


def watching(*arguments, **changed):
    return guard(*arguments, own=OWN, group=WATCHED, **changed)


@pytest.mark.parametrize("scope", list(Scope))
def test_a_process_outside_is_refused_with_any_scope(world, tmp_path, scope):
    hierarchy = FakeHierarchy(tmp_path)
    hierarchy.group("/other.service", 4800)
    ruling = take_aim(request(4800, scope=scope), watching(hierarchy=hierarchy.path))
    assert ruling[:2] == (Reason.OUTSIDE, f"not in the control group {WATCHED}")


@pytest.mark.parametrize("pid", [4711, 4712])
def test_a_process_in_it_or_below_may_be_signalled(world, pid):
    world.processes[4712] = at(f"{WATCHED}/sub")
    assert close(take_aim(request(pid), watching())) == [pid]


def test_what_of_a_process_group_is_outside_is_no_member_and_lives(world):
    world.processes[4800] = at("/other.service", start_ticks=3)
    world.processes[4801] = at(WATCHED, start_ticks=4)
    aimed = take_aim(world.group_request(4800, 4801), watching())
    assert close(aimed) == [4711, 4801]
    assert close(take_aim(world.group_request(4800), watching(), aimed)) == []


def test_a_process_that_tells_no_control_group_is_outside(world):
    world.processes[4711] = entry()._replace(membership=b"")
    assert take_aim(request(), watching()).reason is Reason.OUTSIDE


# Its memory


@pytest.fixture
def tree(tmp_path):
    """A machine with plenty, and the group of 1 GiB that is all but full."""
    FakeProc(tmp_path).meminfo(total_kib=16 * 2**20, available_kib=12 * 2**20)
    made = FakeHierarchy(tmp_path)
    made.memory(WATCHED, limit=GIB, current=1000 * MIB, anon=990 * MIB)
    return made


@pytest.fixture
def files(tree):
    made = CgroupFiles(tree.path, WATCHED, str(tree.directory.parent / "proc"))
    yield made
    made._files.close()


def test_a_shortage_of_the_group_is_a_shortage(files, world):
    reading = files.read()
    assert (reading.total, reading.available) == (GIB, 24 * MIB)
    assert close(take_aim(request(), watching()._replace(machine=files))) == [4711]


def test_a_group_that_is_not_short_loses_nobody_however_short_the_machine_is(files, tree, world, tmp_path):
    (tmp_path / "proc/meminfo").write_text("MemTotal: 16777216 kB\nMemAvailable: 0 kB\nAnonPages: 16000000 kB\n")
    tree.memory(WATCHED, limit=GIB, current=600 * MIB, anon=590 * MIB)
    ruling = take_aim(request(), watching()._replace(machine=files))
    assert (ruling.reason, ruling.why) == (Reason.NOT_SHORT, "41.8 % available")


def test_a_group_that_is_gone_loses_nobody(files, tree, world):
    (tree.directory / WATCHED[1:] / "memory.current").write_text("")
    assert files.read() is None
    ruling = take_aim(request(), watching()._replace(machine=files))
    assert ruling[:2] == (Reason.NOT_SHORT, f"the memory of {WATCHED} makes no sense")
