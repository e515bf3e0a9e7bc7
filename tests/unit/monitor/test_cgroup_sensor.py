"""A control group in place of the machine: the same readings, of its own files."""

from contextlib import closing

import pytest

from bustd_monitor.sensing.cgroup_sensor import GroupSensor, pressure_path, watch
from bustd_monitor.sensing.reading import Refaults
from bustd_monitor.sensing.sensor import Sensor, Unreadable
from bustd_shared.kernel import cgroups
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

MIB, GIB = 2**20, 2**30
PAGE = 4096


@pytest.fixture
def tree(tmp_path):
    """A machine of 16 GiB, all of it available, and the group /a of 1 GiB."""
    swap = {"swap_total_kib": 4 * 2**20, "swap_free_kib": 4 * 2**20}
    FakeProc(tmp_path).meminfo(total_kib=16 * 2**20, available_kib=16 * 2**20, **swap)
    made = FakeHierarchy(tmp_path)
    made.memory(
        "/a",
        limit=GIB,
        current=900 * MIB,
        anon=700 * MIB,
        shmem=30 * MIB,
        inactive_file=70 * MIB,
        slab_reclaimable=6 * MIB,
        active_anon=200 * MIB,
        some_avg10=30.5,
        some_us=7000,
        workingset_refault_anon=1,
        workingset_refault_file=2,
        pgsteal=3,
    )
    return made


@pytest.fixture
def sensor(tree):
    with closing(GroupSensor(tree.path, "/a", str(tree.directory.parent / "proc"))) as made:
        yield made


def test_a_reading_is_of_the_group(sensor):
    reading = sensor.read()
    assert (reading.ram, reading.free) == (GIB, 124 * MIB)
    assert (reading.available, reading.total) == (200 * MIB, 900 * MIB)
    assert (reading.shared, reading.hugetlb) == (30 * MIB, 0)
    assert (reading.pressure.some_avg10, reading.pressure.some_total_us) == (30.5, 7000)
    assert reading.refaults == Refaults(PAGE, 2 * PAGE, 3 * PAGE)
    assert reading.is_whole


def test_swap_relieves_no_more_than_the_group_may_have_and_can_swap_out(tree, sensor):
    reading = sensor.read()
    assert (reading.swap_total, reading.swap_free, reading.swap_usable) == (4 * GIB, 4 * GIB, 200 * MIB)
    tree.memory("/a", limit=GIB, current=900 * MIB, swap_limit=0, active_anon=200 * MIB)
    assert sensor.read()[4:6] == (0, 0)
    assert sensor.read().swap_usable == 0


def test_while_enough_is_not_used_at_all_that_is_the_whole_reading(tree, sensor):
    tree.memory("/a", limit=GIB, current=100 * MIB, anon=50 * MIB)
    reading = sensor.read(40)
    assert not reading.is_whole
    assert (reading.ram, reading.total, reading.available) == (GIB, GIB, 924 * MIB)
    whole = sensor.read()
    assert whole.is_whole
    assert reading.available <= whole.available
    assert reading.total >= whole.total


def test_a_group_that_goes_ends_the_sensor_with_a_sentence(tree, sensor):
    (tree.directory / "a/memory.current").write_text("")
    with pytest.raises(Unreadable, match="the control group /a is gone"):
        sensor.read()


def test_what_makes_no_sense_for_a_moment_is_none(tree, sensor):
    (tree.directory / "a/memory.stat").write_text("garbage")
    assert sensor.read() is None


def test_a_group_without_psi_is_said(tree):
    (tree.directory / "a/memory.pressure").unlink()
    with closing(GroupSensor(tree.path, "/a", str(tree.directory.parent / "proc"))) as sensor:
        assert sensor.pressure_trouble == f"{tree.path}/a/memory.pressure can't be read"
        assert sensor.read().pressure is None


def test_there_is_no_sensor_of_a_group_that_is_not_there(tree):
    with pytest.raises(Unreadable, match="the control group /b is gone"):
        GroupSensor(tree.path, "/b", str(tree.directory.parent / "proc"))


# Which sensor


def test_without_a_wish_this_machine_is_watched(monkeypatch):
    monkeypatch.setattr(cgroups, "hierarchy", lambda *_: "")
    place = watch("")
    with closing(place.sensor):
        assert isinstance(place.sensor, Sensor)
        assert (place.group, place.psi) == ("", "/proc/pressure/memory")


def test_with_a_wish_the_group_is_watched(monkeypatch, tree):
    monkeypatch.setattr(cgroups, "hierarchy", lambda: tree.path)
    tree.memory("/a", limit=16 * MIB)
    place = watch("/a")
    with closing(place.sensor):
        assert isinstance(place.sensor, GroupSensor)
        assert (place.group, place.psi) == ("/a", f"{tree.path}/a/memory.pressure")


def test_a_wish_that_can_not_be_met_is_unreadable(monkeypatch, tree):
    monkeypatch.setattr(cgroups, "hierarchy", lambda: tree.path)
    with pytest.raises(Unreadable, match="there is no control group /b"):
        watch("/b")


def test_the_pressure_of_the_root_of_a_container_is_in_the_root():
    assert pressure_path("/x", "/") == "/x/memory.pressure"
    assert pressure_path("/x", "/a/b") == "/x/a/b/memory.pressure"
