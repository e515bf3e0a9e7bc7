"""Who dies with a process: real process groups, real control groups, and what only a made one has."""

import errno
import os
import subprocess
import sys

import pytest

from bustd_monitor.sensing.members import MemberReader
from bustd_protocol.messages import Scope
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc
from tests.support import cgroups as real_groups
from tests.support import victims
from tests.unit.monitor.making import process


def leader(pid: int, **changed):
    return process(pid, start_ticks=victims.start_ticks(pid), **changed)


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.process(10, group=10, start_ticks=100)
    return made


def of_ten(proc, scope=Scope.GROUP, hierarchy="", **changed):
    return MemberReader(hierarchy, proc.path).of(process(10, **{"start_ticks": 100, **changed}), scope)


# A process group


def test_the_members_of_a_real_process_group_are_its_other_processes_with_their_start_times():
    with victims.victim(1, own_group=True) as first, victims.victim(1, group=first.pid) as second:
        members = MemberReader("").of(leader(first.pid), Scope.GROUP)
        assert members.listed() == [(second.pid, victims.start_ticks(second.pid))]


def test_of_a_group_only_the_twin_is_a_member_where_there_is_one_and_only_while_it_lives():
    with (
        victims.victim(1, own_group=True) as first,
        victims.victim(1, group=first.pid) as second,
        victims.victim(1, group=first.pid),
    ):
        ticks = victims.start_ticks(second.pid)
        members = MemberReader("").of(leader(first.pid, twins=((second.pid, ticks),)), Scope.GROUP)
        assert members.listed() == [(second.pid, ticks)]
        other = MemberReader("").of(leader(first.pid, twins=((second.pid, ticks + 1),)), Scope.GROUP)
        assert other.listed() == []
        victims.end(second)
        assert members.listed() == []


def test_a_newcomer_is_a_member_also_when_the_victim_is_gone():
    with victims.victim(1, own_group=True) as first, victims.victim(1, group=first.pid) as second:
        members = MemberReader("").of(leader(first.pid), Scope.GROUP)
        victims.end(first)
        with victims.victim(1, group=first.pid) as third:
            assert {pid for pid, _ in members.listed()} == {second.pid, third.pid}


def test_a_member_that_has_exited_is_none_although_it_was_not_waited_for():
    with victims.victim(1, own_group=True) as first, victims.victim(1, group=first.pid) as second:
        members = MemberReader("").of(leader(first.pid), Scope.GROUP)
        second.kill()
        assert victims.exits_within(second, 10)
        assert members.listed() == []


def test_a_victim_whose_leader_thread_alone_has_exited_is_listed(proc):
    proc.process(11, group=10, state=b"Z", threads=2, start_ticks=111)
    proc.process(12, group=10, state=b"Z", threads=1)
    proc.write("12/stat", proc_stat(12, session=10, state=b"Z"))
    proc.write("11/stat", proc_stat(11, session=10, state=b"Z", threads=2))
    assert of_ten(proc).listed() == [(11, 1000)]


def proc_stat(pid: int, *, session: int, group: int = 10, state: bytes = b"S", threads: int = 1) -> bytes:
    fields = (state, 1, group, session, 0, -1, 0x400000, *(0,) * 8, 20, 0, threads, 0, 1000, *(0,) * 30)
    words = (field if isinstance(field, bytes) else b"%d" % field for field in fields)
    return b"%d (leak) %s\n" % (pid, b" ".join(words))


def test_one_of_another_session_or_another_group_is_no_member(proc):
    proc.process(11, group=10)
    proc.process(12, group=12)
    proc.process(13)
    proc.write("13/stat", proc_stat(13, session=99))
    assert of_ten(proc).listed() == [(11, 1000)]


def test_the_leader_of_the_session_is_no_member(proc):
    proc.process(20)
    for pid in (10, 11, 20):
        proc.process(pid)
        proc.write(f"{pid}/stat", proc_stat(pid, session=20))
    assert of_ten(proc, start_ticks=1000).listed() == [(11, 1000)]


@pytest.mark.parametrize("change", ["gone", "another with its PID"])
def test_of_a_victim_that_is_gone_there_is_no_group(proc, change):
    proc.process(11, group=10)
    if change == "gone":
        proc.remove("10")
    else:
        proc.process(10, group=10, start_ticks=101)
    assert of_ten(proc).listed() == []


# A control group


def test_the_members_of_a_real_control_group_are_those_in_it_and_below_it():
    root = real_groups.writable_hierarchy()
    names = ("leak.service", "leak.service/below", "other.service")
    with (
        real_groups.groups_at(root, *names) as (whole, below, other),
        victims.victim(1) as first,
        victims.victim(1) as second,
        victims.victim(1) as third,
    ):
        for child, group in ((first, whole), (second, below), (third, other)):
            real_groups.put(child.pid, group)
        path = str(whole).removeprefix(str(root))
        members = MemberReader(str(root)).of(leader(first.pid, whole=path), Scope.CGROUP)
        assert members.listed() == [(second.pid, victims.start_ticks(second.pid))]
        real_groups.put(third.pid, below)
        victims.end(first)
        assert {pid for pid, _ in members.listed()} == {second.pid, third.pid}


def test_members_of_a_control_group_that_have_exited_are_left_out(proc, tmp_path):
    tree = FakeHierarchy(tmp_path)
    tree.group("/a.service", 10, 11, 12, 13)
    proc.process(11, start_ticks=111)
    proc.process(12, state=b"Z")
    assert of_ten(proc, Scope.CGROUP, tree.path, whole="/a.service").listed() == [(11, 111)]


def test_without_a_hierarchy_or_a_path_no_control_group_dies(proc, tmp_path):
    tree = FakeHierarchy(tmp_path)
    tree.group("/", 10, 11)
    proc.process(11)
    assert of_ten(proc, Scope.CGROUP, "", whole="/a.service").listed() == []
    assert of_ten(proc, Scope.CGROUP, tree.path, whole="").listed() == [], "not the root, which holds everything"


# Whatever the scope


def test_with_scope_process_it_dies_alone(proc, tmp_path):
    tree = FakeHierarchy(tmp_path)
    tree.group("/a.service", 10, 11)
    proc.process(11, group=10)
    assert of_ten(proc, Scope.PROCESS, tree.path, whole="/a.service").listed() == []


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.CGROUP])
def test_without_a_descriptor_it_dies_alone(proc, tmp_path, monkeypatch, scope):
    tree = FakeHierarchy(tmp_path)
    tree.group("/a.service", 10, 11)
    proc.process(11, group=10)
    members = of_ten(proc, scope, tree.path, whole="/a.service")
    assert members.listed() == [(11, 1000)]

    def no_descriptor(*_args, **_options):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", no_descriptor)
    assert members.listed() == []
    assert of_ten(proc, scope, tree.path, whole="/a.service").listed() == []


def test_the_largest_come_first_and_no_more_than_were_asked_for(proc):
    for pid, pages in ((11, 5), (12, 700), (13, 0), (14, 90)):
        proc.process(pid, resident_pages=pages)
    members = [(pid, 1000) for pid in (11, 12, 13, 14, 15)]
    reader = MemberReader("", proc.path)
    assert reader.largest(members, 2) == [12, 14]
    assert reader.largest(members, 3) == [12, 14, 11]
    assert sorted(reader.largest(members, 5)) == [11, 12, 13, 14, 15]


def test_of_three_hundred_real_processes_each_is_listed():
    program = victims.crowd_program(300)
    crowd = victims.start_program(program, own_group=True)
    try:
        assert len(MemberReader("").of(leader(crowd.pid), Scope.GROUP).listed()) == 300
    finally:
        victims.end(crowd)


# What a session is made of

COMPOSITOR = """
import os, time
os.setsid()
held, alive = os.pipe()
pids = []
for _ in range(3):
    pid = os.fork()
    if pid == 0:
        os.close(alive)
        os.read(held, 1)  # until the first is dead
        os._exit(0)
    pids.append(pid)
print(*pids, flush=True)
time.sleep(120)
"""


@pytest.fixture
def session():
    """A leader of a session that starts programs without a group of their own, as a compositor does."""
    child = subprocess.Popen([sys.executable, "-I", "-c", COMPOSITOR], stdout=subprocess.PIPE, text=True)
    yield child, [int(word) for word in child.stdout.readline().split()]
    victims.end(child)


def test_of_what_a_session_leader_started_in_its_own_group_one_dies_alone(session):
    _, programs = session
    assert MemberReader("").of(leader(programs[0]), Scope.GROUP).listed() == []


def test_a_leader_of_a_session_that_is_the_victim_itself_takes_its_group_with_it(session):
    compositor, programs = session
    listed = MemberReader("").of(leader(compositor.pid), Scope.GROUP).listed()
    assert [pid for pid, _ in listed] == programs


def test_the_leader_of_another_control_group_leaves_the_group_together(proc):
    proc.process(20, group=20)
    for pid in (10, 11):
        proc.process(pid, group=20)
    for pid, scope in ((20, b"sway"), (10, b"firefox"), (11, b"firefox")):
        proc.write(f"{pid}/cgroup", b"0::/app.slice/app-%s.scope\n" % scope)
    assert of_ten(proc, start_ticks=1000).listed() == [(11, 1000)]


def test_what_ranking_knows_of_members_is_read_as_far_as_they_live(proc):
    proc.process(11, b"niri", start_ticks=111)
    proc.process(12, b"other", start_ticks=112)
    read = MemberReader("", proc.path).read([(11, 111), (12, 7), (13, 8)])
    assert [(one.pid, one.comm) for one in read] == [(11, b"niri")]
