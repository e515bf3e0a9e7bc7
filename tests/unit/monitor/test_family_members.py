"""Which processes of a group die as a family."""

import pytest

from bustd_monitor.batch import members_of, most_of
from bustd_monitor.ranking.family import Family
from bustd_monitor.sensing.kin import Kin, Kinship, read_kin
from bustd_monitor.sensing.members import MemberReader
from bustd_protocol.messages import Scope
from tests.fakes.procfs import PF_KTHREAD, FakeProc
from tests.unit.monitor.making import candidate


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    for pid, parent, name, ticks in [
        *[(11, 7, b"leak", 100), (12, 7, b"leak", 110), (13, 7, b"leak", 120)],
        *[(14, 7, b"leak", 90), (15, 8, b"editor", 130), (16, 7, b"editor", 140), (17, 8, b"leak", 150)],
    ]:
        made.process(pid, name, parent=parent, group=5, start_ticks=ticks)
    return made


def listed(proc, kinship, *, is_whole=False, times=2):
    family = Family(kinship, ((12, 110), (13, 120)), 0, is_whole=is_whole, born_ticks=120)
    first = candidate(11, start_ticks=100, twins=((12, 110),))._replace(scope=Scope.GROUP, family=family)
    members = members_of(first, MemberReader("", proc.path))
    return [sorted(members.listed()) for _ in range(times)]


def test_those_that_were_found_die_and_then_the_kin_that_was_born_since(proc):
    assert listed(proc, Kinship(7, b"leak")) == [[(12, 110), (13, 120)], [(12, 110), (13, 120), (16, 140)]]
    assert listed(proc, Kinship(0, b"leak")) == [[(12, 110), (13, 120)], [(12, 110), (13, 120), (17, 150)]]


def test_where_all_of_the_group_dies_all_of_it_is_listed(proc):
    assert [pid for pid, _ in listed(proc, Kinship(7, b"leak"), is_whole=True)[0]] == [12, 13, 14, 15, 16, 17]


def test_one_that_is_gone_or_is_another_by_now_is_no_kin(proc, monkeypatch):
    read = "bustd_monitor.sensing.family_members.read_kin"
    monkeypatch.setattr(read, lambda pid, proc: None if pid == 16 else Kin(pid, 1, b"leak", 7))
    assert listed(proc, Kinship(7, b"leak"))[1] == [(12, 110), (13, 120)]


def test_where_a_process_comes_from_is_read_of_its_stat_alone(proc):
    proc.remove("12/status")
    assert read_kin(12, proc.path) == Kin(12, 110, b"leak", 7, 5, 5)
    assert read_kin(99, proc.path) is None
    proc.process(18, state=b"Z")
    proc.process(19, flags=PF_KTHREAD)
    assert (read_kin(18, proc.path), read_kin(19, proc.path)) == (None, None)


def test_without_a_descriptor_nothing_is_known(proc, monkeypatch):
    def fails(pid, proc):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("bustd_monitor.sensing.kin.read_stat", fails)
    assert read_kin(12, proc.path) is None


def test_of_very_many_the_oldest_and_the_largest_are_named(tmp_path):
    made = FakeProc(tmp_path)
    members = [(pid, pid) for pid in range(1000, 2005)]
    for pid, _ in members:
        made.write(f"{pid}/statm", b"9 %d 1 1 0 1 0\n" % pid)
    named = most_of(members, MemberReader("", made.path))
    assert len(named) == 1000
    assert named[0] == (1000, 1000), "it holds least, and has started the others"
    assert set(members) - set(named) == {(pid, pid) for pid in range(1001, 1006)}
    assert most_of(members[:1000], MemberReader("", made.path)) == members[:1000]
