"""The process table of one control group: only processes in it are listed, and those that leave are forgotten."""

import errno
import os

import pytest

from bustd_monitor.sensing import group_members
from bustd_monitor.sensing.process_table import ProcessTable
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

WATCHED = "/box.slice/job.service"


@pytest.fixture
def proc(tmp_path):
    """10 and 11 are in it, 12 below it, 20 beside it; and what /proc would show of each."""
    made = FakeProc(tmp_path)
    for pid, path in ((10, WATCHED), (11, WATCHED), (12, f"{WATCHED}/sub/deep"), (20, "/box.slice/job.service2")):
        made.process(pid, cgroup=f"0::{path}\n".encode())
    made.last_pid(9)
    return made


@pytest.fixture
def tree(tmp_path):
    made = FakeHierarchy(tmp_path)
    made.group(WATCHED, 10, 11, 0)
    made.group(f"{WATCHED}/sub")
    made.group(f"{WATCHED}/sub/deep", 12)
    made.group("/box.slice/job.service2", 20)
    return made


@pytest.fixture
def table(proc, tree):
    made = ProcessTable(proc.path, hierarchy=tree.path, group=WATCHED)
    yield made
    made.close()


def whole_round(table: ProcessTable) -> list[int]:
    pids = []
    while piece := table.walk(2):
        pids += piece
    return sorted(pids)


def test_a_walk_lists_the_processes_of_the_group_and_below_it_and_no_others(table):
    assert whole_round(table) == [10, 11, 12]
    assert whole_round(table) == [10, 11, 12]


def test_of_the_newcomers_only_those_in_the_group_are_listed(table, proc):
    proc.last_pid(20)
    assert table.newcomers() == [10, 11, 12]


def test_one_that_has_left_the_group_is_as_one_that_is_gone(table, proc):
    assert table.read(10, 1).pid == 10
    proc.process(10, cgroup=b"0::/elsewhere\n")
    assert table.read(10, 1) is None


def test_bustds_own_processes_are_not_listed_in_it_either(table, proc, tree):
    proc.process(os.getpid(), cgroup=f"0::{WATCHED}\n".encode())
    tree.group(WATCHED, 10, os.getpid())
    assert whole_round(table) == [10, 12]


def test_what_would_die_whole_beyond_the_group_dies_alone(proc, tree):
    """Watched is a part of the unit: the killer would refuse the rest of it."""
    tree.group(WATCHED, 10, 11, oom_group=True)
    for group, whole in ((f"{WATCHED}/sub", ""), (WATCHED, WATCHED), ("/", WATCHED)):
        table = ProcessTable(proc.path, hierarchy=tree.path, group=group)
        found = table.read(12, 1)
        assert (found.whole, found.is_indivisible) == (whole, bool(whole))
        table.close()


def test_the_root_of_a_container_has_every_process_in_it(proc, tree):
    proc.process(30, cgroup=b"0::/../outside\n")
    table = ProcessTable(proc.path, hierarchy=tree.path, group="/")
    assert whole_round(table) == [10, 11, 12, 20]
    proc.last_pid(30)
    assert table.newcomers() == [10, 11, 12, 20]
    table.close()


def test_a_group_that_goes_during_the_walk_ends_nothing(table, tree):
    assert table.walk(1) != []
    (tree.directory / WATCHED[1:] / "sub/deep/cgroup.procs").unlink()
    (tree.directory / WATCHED[1:] / "sub/deep").rmdir()
    while table.walk(2):
        pass
    assert whole_round(table) == [10, 11]


def test_with_too_many_control_groups_every_process_is_looked_at_instead(table, tree, monkeypatch):
    monkeypatch.setattr(group_members, "MOST_GROUPS", 2)
    assert sorted(set(whole_round(table))) == [10, 11, 12]


def test_without_descriptors_the_round_ends_and_nothing_crashes(table, monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    assert table.walk(2) is None
    monkeypatch.undo()
    assert whole_round(table) == [10, 11, 12]


def test_a_threaded_group_hides_no_process(table, tree, monkeypatch):
    """Its cgroup.procs is EOPNOTSUPP; its processes are listed in the group above it (cgroup-v2.rst, threads)."""
    real = os.read

    def read(fileno, size):
        if f"{os.sep}sub{os.sep}cgroup.procs" in os.readlink(f"/proc/self/fd/{fileno}"):  # noqa: PTH115
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return real(fileno, size)

    monkeypatch.setattr(os, "read", read)
    assert whole_round(table) == [10, 11, 12]


def test_what_the_group_has_in_swap_is_read_for_those_that_map_shared_memory(proc, tree):
    tree.memory(WATCHED, swap_current=77_000_000)
    here = f"0::{WATCHED}\n".encode()
    proc.process(10, cgroup=here, swap_kib=30, memory={"shared_kib": 1024})
    proc.process(11, cgroup=here, swap_kib=30, memory={"shared_kib": 1023})
    proc.process(20, cgroup=b"0::/box.slice/job.service2\n", memory={"shared_kib": 1024})
    table = ProcessTable(proc.path, hierarchy=tree.path)
    found = [table.read(pid, 1) for pid in (10, 11, 20)]
    table.close()
    assert [one.group_swapped_bytes for one in found] == [77_000_000, -1, -1], "the last has no memory controller"
    assert [one.swapped_bytes for one in found] == [30 * 1024, 30 * 1024, 0]


@pytest.mark.parametrize(("count", "is_known"), [(32, True), (33, False)])
def test_of_a_group_of_many_processes_it_is_not_known_whose_it_is(proc, tree, count, is_known):
    """A session: what its small processes have in swap would be taken for shared memory."""
    tree.group(WATCHED, *range(10, 10 + count))
    tree.memory(WATCHED, swap_current=77_000_000)
    proc.process(10, cgroup=f"0::{WATCHED}\n".encode(), memory={"shared_kib": 2048})
    table = ProcessTable(proc.path, hierarchy=tree.path)
    assert (table.read(10, 1).group_swapped_bytes >= 0) is is_known
    tree.group(WATCHED, 10)
    table.rewind()
    assert table.read(10, 1).group_swapped_bytes == 77_000_000, "each round looks again"
    table.close()
