"""Processes that could not be read: which are counted, what is still known of them, and what a person is told."""

import errno
import os
from contextlib import closing

import pytest

from bustd_monitor.deciding.actions import CannotKill, NoVictim
from bustd_monitor.deciding.events import NotRead
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.reporting import sentences, unread
from bustd_monitor.reporting.events import WARNED, told
from bustd_monitor.sensing import group_members
from bustd_monitor.sensing.members import MemberReader
from bustd_monitor.sensing.process_table import ProcessTable, of_this_machine
from bustd_monitor.sensing.unread import ALL_READ, Unread, UnreadProcesses
from bustd_monitor.sensing.visibility import unreadable_processes
from bustd_protocol.messages import Reason
from tests.fakes.procfs import FakeProc
from tests.unit.monitor import test_driver
from tests.unit.monitor.making import reading, verdict
from tests.unit.monitor.test_driver import PLENTY, SHORT
from tests.unit.monitor.test_search import PLAIN

stage = test_driver.stage


class Scene:
    """Three processes in a tree, of which 102 leaks, and the errors with which their files are refused, by PID."""

    def __init__(self, tmp_path, monkeypatch) -> None:
        self.proc = FakeProc(tmp_path)
        for pid in (101, 102, 103):
            self.proc.process(pid, anonymous_kib=pid * 1000, resident_pages=pid * 250)
        self.refused: dict[int, int] = {}
        self.table_error = 0
        self.table = ProcessTable(self.proc.path)
        real_open, real_scandir = os.open, os.scandir

        def opened(path, *rest, **more):
            folder = path.removeprefix(f"{self.proc.path}/").split("/")[0] if isinstance(path, str) else ""
            self._refuse(self.refused.get(int(folder), 0) if folder.isdigit() else 0)
            return real_open(path, *rest, **more)

        def listed(path, *rest):
            self._refuse(self.table_error if path == self.proc.path else 0)
            return real_scandir(path, *rest)

        monkeypatch.setattr(os, "open", opened)
        monkeypatch.setattr(os, "scandir", listed)

    @staticmethod
    def _refuse(number: int) -> None:
        if number:
            raise OSError(number, os.strerror(number))

    def round(self) -> Unread:
        """A whole round that reads every process, and what could not be read."""
        while pids := self.table.walk(2):
            for pid in pids:
                self.read(pid)
        return self.table.unread()

    def read(self, pid: int) -> object:
        return self.table.score(pid), self.table.resident_bytes(pid), self.table.read(pid, 1)


@pytest.fixture
def scene(tmp_path, monkeypatch):
    it = Scene(tmp_path, monkeypatch)
    yield it
    it.table.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM])
def test_each_that_can_not_be_read_is_counted_once_with_the_reason(scene, number):
    assert scene.round() == ALL_READ
    scene.refused = {101: number, 103: number}
    assert scene.read(101) == (0, 0, None)
    assert scene.table.anonymous_bytes(101) == 0
    assert scene.round() == Unread(((number, 2),))


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH])
def test_one_that_is_gone_is_not_counted(scene, number):
    scene.refused = {101: number}
    assert scene.round() == ALL_READ


def test_one_that_is_gone_since_is_no_longer_counted(scene):
    scene.refused = {101: errno.EMFILE}
    assert scene.round() == Unread(((errno.EMFILE, 1),))
    scene.refused = {101: errno.ENOENT}
    scene.read(101)
    assert scene.table.unread() == ALL_READ


def test_one_that_is_read_after_all_is_no_longer_counted(scene):
    scene.refused = {101: errno.EMFILE}
    assert scene.round() == Unread(((errno.EMFILE, 1),))
    scene.refused = {}
    scene.read(101)
    assert scene.table.unread() == ALL_READ


def test_what_a_round_could_not_read_counts_until_the_next_has_ended(scene):
    scene.refused = {101: errno.ENFILE}
    scene.round()
    scene.refused = {}
    assert scene.table.walk(2)
    assert scene.table.unread() == Unread(((errno.ENFILE, 1),))
    assert scene.round() == ALL_READ


def test_the_reason_of_most_comes_first():
    counted = UnreadProcesses()
    for pid, number in ((10, errno.EACCES), (11, errno.ENFILE), (12, errno.ENFILE)):
        counted.note(pid, OSError(number, ""))
    assert counted.count() == Unread(((errno.ENFILE, 2), (errno.EACCES, 1)))


def test_a_table_that_can_not_be_listed_is_told_of(scene):
    scene.table_error = errno.ENFILE
    assert scene.table.walk(2) is None
    assert scene.table.unread() == Unread((), errno.ENFILE)
    scene.table_error = 0
    assert scene.round() == ALL_READ


@pytest.mark.parametrize("how", [{"group": "/watched"}, {"only_descendants_of": 7}])
def test_in_a_watched_group_and_among_descendants_each_that_can_not_be_read_is_counted_too(scene, how, monkeypatch):
    monkeypatch.setattr(group_members, "MOST_GROUPS", 0)  # then every process is asked whether it is in the group
    scene.refused = {101: errno.EMFILE}
    with closing(ProcessTable(scene.proc.path, **how)) as table:
        assert table.walk(10) == []
        assert table.unread() == Unread(((errno.EMFILE, 1),))


def test_to_a_user_who_may_kill_their_own_processes_alone_it_is_no_news_that_others_refuse():
    counts = []
    for uid in (-1, 1000):
        table = of_this_machine(only_uid=uid, only_descendants_of=0)
        for number in (errno.EACCES, errno.EMFILE):
            table._unread.note(number, OSError(number, ""))
        counts.append(dict(table.unread().processes))
        table.close()
    assert counts == [{errno.EACCES: 1, errno.EMFILE: 1}, {errno.EMFILE: 1}]


# What is still known of them


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_a_lack_of_descriptors_makes_no_candidate_forgotten(scene, number):
    search = CandidateSearch(scene.table)
    assert [one.process.pid for one in search.rank(PLAIN, frozenset(), 1_000_000).candidates] == [103, 102, 101]
    scene.refused = dict.fromkeys((101, 102, 103), number)
    search.watch(PLAIN, 1_001_000)
    ranking = search.rank(PLAIN, frozenset(), 1_001_000)
    assert [one.process.pid for one in ranking.candidates] == [103, 102, 101]
    assert ranking.unread == Unread(((number, 3),))
    scene.refused = {}
    for pid in (101, 102, 103):
        scene.proc.remove(str(pid))
    assert search.rank(PLAIN, frozenset(), 1_002_000).candidates == (), "but that it is gone is believed"


def test_one_that_does_not_let_itself_be_read_any_more_is_no_candidate(scene):
    search = CandidateSearch(scene.table)
    search.rank(PLAIN, frozenset(), 1_000_000)
    scene.refused = {103: errno.EACCES}
    ranking = search.rank(PLAIN, frozenset(), 1_001_000)
    assert [one.process.pid for one in ranking.candidates] == [102, 101]
    assert ranking.unread == Unread(((errno.EACCES, 1),))


def test_members_that_can_not_be_read_are_left_out(scene):
    members = MemberReader("", scene.proc.path)
    scene.refused = {102: errno.EACCES}
    assert [one.pid for one in members.read([(pid, 1000) for pid in (101, 102, 103)])] == [101, 103]
    assert members.largest([(pid, 1000) for pid in (101, 102, 103)], 2) == [103, 101]


def test_a_monitor_that_may_not_read_itself_says_why(scene):
    scene.proc.process(os.getpid())
    assert unreadable_processes(scene.proc.path) == ""
    scene.refused = {os.getpid(): errno.EACCES}
    assert "can't be read (Permission denied), not even by the monitor itself" in unreadable_processes(scene.proc.path)


# What is said


def test_that_there_is_nobody_to_kill_says_how_many_could_not_be_read_why_and_what_to_change():
    said = sentences.news(NoVictim(reading(), None, unread=Unread(((errno.ENFILE, 37),))))
    assert said.startswith(
        "memory is short and there is NOBODY TO KILL; 37 processes could not be read: "
        "too many open files in the whole system (fs.file-max); of "
    )


@pytest.mark.parametrize(
    ("what", "words"),
    [
        (
            Unread(((errno.EMFILE, 1),)),
            "1 process could not be read: too many open files in the monitor (LimitNOFILE= of its unit)",
        ),
        (
            Unread(((errno.EACCES, 2), (errno.ENOMEM, 1))),
            "2 processes could not be read: permission denied (a security module or hidepid keeps them from the "
            "monitor's user); 1 process could not be read: the kernel has no memory for an open file",
        ),
        (
            Unread((), errno.ENFILE),
            "the process table could not be listed: too many open files in the whole system (fs.file-max)",
        ),
        (Unread((), errno.EIO), "the process table could not be listed: Input/output error"),
    ],
)
def test_every_reason_has_words(what, words):
    assert unread.words(what) == words


def test_a_decision_that_finds_nobody_has_what_could_not_be_read_in_its_line(stage):
    stage.candidates, stage.unread = (), Unread(((errno.ENFILE, 37),))
    (_, said) = stage.reads(PLENTY, SHORT)
    assert "NOBODY TO KILL; 37 processes could not be read: " in said


def test_a_decision_without_them_is_told_with_growing_pauses(stage):
    stage.unread = Unread(((errno.EACCES, 2),))
    assert stage.reads(PLENTY, SHORT)[3:] == [unread.not_all_read(stage.unread)]
    warnings = 0
    for _ in range(100):
        stage.driver.answered(verdict(Reason.NOT_SHORT), stage.now_ms)
        warnings += sum(unread.not_all_read(stage.unread) in stage.reads(SHORT) for _ in range(11))
    assert warnings == 6, "after 1 s, 2 s, 4 s and so on, of 100 decisions in 110 s"


def test_it_is_something_that_an_administrator_should_change():
    assert told(NotRead(Unread(((errno.EMFILE, 2),)))).kind is WARNED


def test_the_kernels_error_is_said_with_a_kill_that_failed():
    said = sentences.news(CannotKill(Reason.KERNEL, errno.ENFILE))
    assert said.endswith("the killer says kernel (Too many open files in system)")
    said = sentences.verdict(verdict(Reason.KERNEL)._replace(errno=errno.EMFILE))
    assert said == "the killer: failed, kernel (Too many open files)"
