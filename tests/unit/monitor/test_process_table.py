"""The process table a piece at a time, and the processes that were started since the last call."""

import ctypes
import errno
import os
from contextlib import closing
from pathlib import Path

import pytest

from bustd_monitor.sensing import process_table
from bustd_monitor.sensing.preferences import OWN_AVOID
from bustd_monitor.sensing.process_table import ProcessTable, of_this_machine
from bustd_shared.kernel import cgroup_paths, cgroups
from tests.fakes.procfs import FakeProc
from tests.support import victims
from tests.unit.monitor.making import MIB, process, ticks_ago
from tests.unit.shared.forked import in_child

_CLONE_NEWNS, _MS_REC, _MS_PRIVATE, _MS_BIND = 0x20000, 0x4000, 0x40000, 0x1000


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def make():
    """A table of this machine's processes, or of a tree's, that is closed at the end."""
    made = []

    def table(proc: FakeProc | None = None, **how) -> ProcessTable:
        made.append(ProcessTable(proc.path if proc else "/proc", **how))
        return made[-1]

    yield table
    for one in made:
        one.close()


def whole_round(table: ProcessTable, count: int = 3) -> list[int]:
    pids = []
    while piece := table.walk(count):
        assert len(piece) <= count
        pids += piece
    return pids


def test_a_round_lists_every_process_once_and_then_the_next_begins(proc, make):
    for pid in range(100, 120):
        proc.process(pid)
    proc.meminfo()
    table = make(proc)
    assert sorted(whole_round(table)) == list(range(100, 120))
    assert sorted(whole_round(table, 7)) == list(range(100, 120))


def test_after_a_rewind_a_round_begins(proc, make):
    for pid in range(100, 110):
        proc.process(pid)
    table = make(proc)
    table.walk(4)
    table.rewind()
    assert sorted(whole_round(table)) == list(range(100, 110))


def test_pid_1_is_not_listed_although_it_has_memory(proc, make):
    proc.process(1, oom_score=0)
    proc.process(10)
    proc.last_pid(0)
    table = make(proc)
    assert whole_round(table) == [10]
    proc.last_pid(2)
    assert 1 not in (table.newcomers() or [])


def test_bustds_own_processes_are_not_listed(proc, make):
    for pid in (os.getpid(), os.getppid(), 4_000_000):
        proc.process(pid)
    proc.last_pid(os.getppid() - 1)
    table = make(proc)
    assert whole_round(table) == [4_000_000]
    proc.last_pid(os.getppid())
    assert os.getppid() not in (table.newcomers() or [])


def test_where_proc_can_not_be_listed_a_round_is_empty_and_nothing_crashes(proc, make, monkeypatch):
    def refuse(_path):
        raise OSError(errno.ENFILE, "Too many open files in system")

    proc.process(100)
    table = make(proc)
    monkeypatch.setattr(os, "scandir", refuse)
    assert table.walk(10) is None
    monkeypatch.undo()
    assert table.walk(10) == [100]


def test_only_descendants_of_the_given_process_are_listed_if_there_is_one(proc, make):
    proc.process(10, parent=1)
    proc.process(20, parent=10)
    proc.process(30, parent=20)
    proc.process(40, parent=1)
    proc.last_pid(9)
    table = make(proc, only_descendants_of=10)
    assert sorted(whole_round(table)) == [20, 30]
    proc.last_pid(40)
    assert table.newcomers() == [20, 30]


# Newcomers


def test_newcomers_are_the_numbers_given_out_since_the_last_question(proc, make):
    proc.last_pid(100)
    table = make(proc)
    assert table.newcomers() == []
    proc.last_pid(103)
    assert table.newcomers() == [101, 102, 103]
    assert table.newcomers() == []


def test_after_a_flood_of_processes_and_when_the_pids_wrap_the_newcomers_are_unknown(proc, make):
    before = 2**22  # this test's own PID, which is never a newcomer, can't be beyond it
    proc.last_pid(before)
    table = make(proc)
    proc.last_pid(before + 512)
    assert len(table.newcomers()) == 512
    proc.last_pid(before + 512 + 513)
    assert table.newcomers() is None
    proc.last_pid(400)
    assert table.newcomers() is None
    proc.last_pid(401)
    assert table.newcomers() == [401]


@pytest.mark.parametrize("loadavg", [None, b"", b"0.52 0.16 0.05 5/5076\n", b"0.52 0.16 0.05 5/5076 x\n"])
def test_where_the_last_pid_is_not_shown_the_newcomers_are_unknown(proc, make, loadavg):
    if loadavg is not None:
        proc.write("loadavg", loadavg)
    assert make(proc).newcomers() is None


def test_a_loadavg_that_can_no_longer_be_read_tells_nothing(proc, make, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EIO, "Input/output error")

    proc.last_pid(100)
    table = make(proc)
    monkeypatch.setattr(os, "pread", refuse)
    assert table.newcomers() is None


@pytest.mark.root
def test_a_loadavg_that_another_file_system_lies_over_is_not_believed(proc, make):
    def under_a_mount():
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(_CLONE_NEWNS) == 0
        assert libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) == 0
        assert libc.mount(b"/proc/loadavg", os.fsencode(f"{proc.path}/loadavg"), None, _MS_BIND, None) == 0
        return ProcessTable(proc.path).newcomers()

    proc.last_pid(100)
    assert make(proc).newcomers() == []
    assert in_child(under_a_mount) is None


def test_a_process_that_is_started_here_is_a_newcomer(make):
    table = make()
    with victims.victim(24) as child:
        newcomers = table.newcomers()
        assert newcomers is None or child.pid in newcomers
        assert newcomers is not None, "512 others started meanwhile?"


# One process


def test_the_age_of_a_process_is_the_time_since_its_start(make):
    table = make()
    assert 5000 <= table.age_ms(process(start_ticks=ticks_ago(5))) <= 6000


def test_a_process_is_what_proc_says(proc, make):
    proc.process(10, oom_score=123, resident_pages=5, command=b"a\0b\0")
    table = make(proc)
    assert (table.score(10), table.score(11)) == (123, 0)
    assert table.resident_bytes(10) == 5 * os.sysconf("SC_PAGE_SIZE")
    assert (table.read(10, 7).oom_score, table.read(11, 7)) == (7, None)
    assert table.command(process(10)) is None


# Control groups

SCOPE = "/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"


def grouped(proc: FakeProc, path: str = SCOPE, *, indivisible: bool = False) -> str:
    """A hierarchy in which the control group `path` has one process, 10, and perhaps memory.oom.group."""
    proc.process(10, cgroup=f"0::{path}\n".encode())
    proc.write(f"../cgroup{path}/memory.oom.group", b"%d\n" % indivisible)
    return str(proc.directory.parent / "cgroup")


def test_with_a_process_comes_what_would_die_whole_with_it(proc, make):
    table = make(proc, hierarchy=grouped(proc))
    found = table.read(10, 1)
    assert (found.cgroup, found.whole, found.is_indivisible, found.preference) == (SCOPE, SCOPE, False, "")
    table = make(proc, hierarchy=grouped(proc, indivisible=True))
    assert (table.read(10, 1).whole, table.read(10, 1).is_indivisible) == (SCOPE, True)


def test_what_a_control_group_means_is_looked_up_once_a_round(proc, make):
    table = make(proc, hierarchy=grouped(proc))
    assert not table.read(10, 1).is_indivisible
    grouped(proc, indivisible=True)
    assert not table.read(10, 1).is_indivisible
    table.rewind()
    assert table.read(10, 1).is_indivisible


@pytest.mark.parametrize("path", ["/", "/user.slice/user-1000.slice/session-2.scope", "/init.scope", "/a.slice/x"])
def test_where_nothing_may_die_whole_a_process_dies_alone(proc, make, path):
    proc.process(10, cgroup=f"0::{path}\n".encode())
    assert make(proc, hierarchy=str(proc.directory)).read(10, 1).whole == ""


def test_without_a_unified_hierarchy_every_process_dies_alone(proc, make):
    grouped(proc)
    assert make(proc).read(10, 1).whole == ""


def test_without_descriptors_a_process_is_judged_alone(proc, make, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    table = make(proc, hierarchy=grouped(proc, indivisible=True))
    monkeypatch.setattr(cgroups, "read_whole", refuse)
    assert table.read(10, 1).whole == ""


def test_a_wish_for_the_control_group_comes_with_its_process(proc, make):
    table = make(proc, hierarchy=grouped(proc))
    folder = Path(f"{proc.directory.parent}/cgroup{SCOPE}")
    try:
        os.setxattr(folder, "user.oomd_avoid", b"1")
    except OSError:
        pytest.skip("this file system has no user attributes")
    expected = "avoid" if os.geteuid() == 0 else ""
    assert table.read(10, 1).preference == expected, "an ordinary user's wish counts for no process of another"
    assert make(proc, hierarchy=table._hierarchy, trusted_uid=os.geteuid()).read(10, 1).preference == "avoid"


@pytest.mark.parametrize(("asking", "expected"), [(0, OWN_AVOID), (1, ""), (-1, "")])
def test_a_users_wish_for_a_group_of_their_own_comes_with_processes_of_that_user_alone(
    proc, make, monkeypatch, asking, expected
):
    table = make(proc, hierarchy=grouped(proc))
    uid = table.read(10, 1).uid
    monkeypatch.setattr(process_table, "asking_user", lambda *_: uid + asking if asking >= 0 else -1)
    table.rewind()
    assert table.read(10, 1).preference == expected


def test_what_root_asks_for_outdoes_a_users_wish(proc, make, monkeypatch):
    table = make(proc, hierarchy=grouped(proc))
    uid = table.read(10, 1).uid
    monkeypatch.setattr(process_table, "asking_user", lambda *_: uid)
    monkeypatch.setattr(process_table, "preference", lambda *_: "avoid")
    table.rewind()
    assert table.read(10, 1).preference == "avoid"


def test_the_table_of_this_machine_knows_its_control_groups():
    with closing(of_this_machine(only_uid=-1, only_descendants_of=0)) as table:
        assert table.read(os.getpid(), 1).cgroup == cgroup_paths.parse_path(Path("/proc/self/cgroup").read_bytes())
        assert (table._hierarchy, table._trusted_uid) == (cgroups.hierarchy(), 0)
    with closing(of_this_machine(only_uid=1000, only_descendants_of=0)) as table:
        assert table._trusted_uid == 1000


def test_in_one_look_no_process_is_read_twice_and_after_it_each_is_read_again(proc, make):
    table = make(proc)
    proc.process(10, anonymous_kib=1024)
    table.begin_look()
    first = table.read(10, 5)
    proc.process(10, anonymous_kib=2048)
    assert table.read(10, 7) == first._replace(oom_score=7)
    assert table.read(11, 1) is None
    proc.process(11)
    assert table.read(11, 1) is None, "nor one that was gone"
    table.end_look()
    assert (table.read(10, 7).held_bytes, table.read(11, 1).pid) == (2 * MIB, 11)
