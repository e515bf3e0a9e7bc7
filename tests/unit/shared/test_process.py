"""The one reader of /proc/PID that both daemons use, on a tree of any kind and on real processes."""

import errno
import os
import resource
import threading
from pathlib import Path

import pytest

from bustd_shared.kernel import process
from bustd_shared.kernel.process import ProcEntry, ancestors, read_file, read_process, read_stat
from bustd_shared.kernel.procfs import Stat, Status
from tests.fakes.procfs import FakeProc, status_text
from tests.unit.shared.forked import in_child

KIB, MIB = 2**10, 2**20
CGROUP = b"0::/system.slice/db.service/worker\n"


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


def test_an_entry_is_what_proc_says(proc):
    proc.process(
        10,
        b"a) b\n\xff",
        uid=(25, 26, 27, 28),
        anonymous_kib=1000,
        swap_kib=24,
        oom_score_adj=-500,
        cgroup=CGROUP,
        parent=7,
        group=8,
        threads=3,
        start_ticks=48210,
    )
    entry = read_process(10, proc.path)
    stat = Stat(b"a) b\n\xff", b"S", 7, 8, 8, 0x400000, 3, 48210)
    assert entry == ProcEntry(stat, -500, Status(26, MIB, 10, (25, 26, 27, 28)), CGROUP)
    assert (entry.unit, entry.cgroup) == ("db.service", "/system.slice/db.service/worker")


def test_ones_own_entry_is_read_as_it_is():
    entry = read_process(os.getpid())
    assert entry.stat.parent == os.getppid()
    assert entry.status.uid == os.geteuid()
    assert entry.status.uids == (*os.getresuid(), os.geteuid())
    assert entry.status.held_bytes > MIB
    assert entry.oom_score_adj == int(Path("/proc/self/oom_score_adj").read_text())
    assert entry.membership == Path("/proc/self/cgroup").read_bytes()


@pytest.mark.parametrize("name", ["stat", "status", "oom_score_adj"])
@pytest.mark.parametrize("data", [None, b"", b"garbage\n", b"(", b"\xff" * 100])
def test_a_process_that_is_gone_or_makes_no_sense_is_none(proc, name, data):
    proc.process(10)
    assert read_process(10, proc.path) is not None
    if data is None:
        proc.remove(f"10/{name}")
    else:
        proc.write(f"10/{name}", data)
    assert read_process(10, proc.path) is None
    assert read_process(11, proc.path) is None


@pytest.mark.parametrize(
    ("data", "adj"),
    [
        (b"0\n", 0),
        (b"1000\n", 1000),
        (b"-1000\n", -1000),
        (b"-17", -17),
        (b"--5\n", None),
        (b"-\n", None),
        (b"1001\n", None),
        (b"-1001\n", None),
        (b"1 0\n", None),
        (b"9" * 5000, None),
    ],
)
def test_oom_score_adj_is_a_number_of_either_sign_or_the_process_is_none(proc, data, adj):
    proc.process(10)
    proc.write("10/oom_score_adj", data)
    entry = read_process(10, proc.path)
    assert (entry.oom_score_adj if entry else None) == adj


def test_a_control_group_that_can_not_be_read_is_told_from_an_empty_one(proc):
    proc.process(10, cgroup=b"")
    assert read_process(10, proc.path).membership == b""
    proc.remove("10/cgroup")
    entry = read_process(10, proc.path)
    assert (entry.membership, entry.unit, entry.cgroup) == (None, "", "")


@pytest.mark.parametrize(("code", "membership"), [(errno.ENAMETOOLONG, b""), (errno.EACCES, None)])
def test_a_control_group_whose_path_is_too_long_to_tell_does_not_hide_its_process(monkeypatch, code, membership):
    """Kernels before 6.8 answer ENAMETOOLONG."""
    read = os.read

    def failing(descriptor: int, most: int) -> bytes:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "cgroup":
            raise OSError(code, os.strerror(code))
        return read(descriptor, most)

    monkeypatch.setattr(os, "read", failing)
    assert read_process(os.getpid()).membership == membership


def test_the_id_of_another_thread_than_the_leader_is_no_process(proc):
    proc.process(10)
    proc.write("10/status", status_text(tgid=9))
    assert read_process(10, proc.path) is None
    proc.write("10/status", status_text(tgid=None))
    assert read_process(10, proc.path) is not None


def test_procfs_shows_a_real_thread_under_its_own_id_and_it_is_no_process():
    def with_a_thread():
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (ready.set(), done.wait()))
        thread.start()
        ready.wait()
        ids = (os.getpid(), thread.native_id)
        found = [(read_stat(pid) is not None, read_process(pid) is not None) for pid in ids]
        done.set()
        thread.join()
        return found

    assert in_child(with_a_thread) == [(True, True), (True, False)]


# --- a leader that is a zombie while other threads live on


def test_a_thread_with_memory_stands_for_a_zombie_leader(proc):
    proc.process(10, state=b"Z", threads=3, uid=5, anonymous_kib=None, cgroup=b"0::/\n", oom_score_adj=7)
    proc.thread(10, 11, anonymous_kib=None, cgroup=b"0::/\n")
    proc.thread(10, 12, anonymous_kib=1024, swap_kib=1024, cgroup=CGROUP)
    entry = read_process(10, proc.path)
    assert (entry.stat.state, entry.oom_score_adj) == (b"Z", 7)
    assert entry.status == Status(1000, 2 * MIB, 10, (1000,) * 4)
    assert entry.membership == CGROUP


def test_a_zombie_leader_of_which_no_thread_has_memory_has_none(proc):
    proc.process(10, state=b"Z", threads=2, uid=5, anonymous_kib=None, cgroup=CGROUP)
    proc.thread(10, 11, anonymous_kib=None)
    assert read_process(10, proc.path).status == Status(5, None, 10, (5,) * 4)
    proc.remove("10/task")
    entry = read_process(10, proc.path)
    assert (entry.status, entry.membership) == (Status(5, None, 10, (5,) * 4), CGROUP)


def test_a_thread_that_is_gone_when_its_turn_comes_is_passed_over(proc):
    proc.process(10, state=b"Z", threads=3, anonymous_kib=None)
    (proc.directory / "10/task/11").mkdir()
    proc.thread(10, 12, anonymous_kib=4, cgroup=CGROUP)
    assert read_process(10, proc.path).status.held_bytes == 4 * KIB


def test_the_threads_of_a_leader_that_lives_or_is_dead_are_not_looked_at(proc):
    proc.process(10, anonymous_kib=None)
    proc.process(20, state=b"Z", threads=1, anonymous_kib=None)
    for pid in (10, 20):
        proc.thread(pid, pid + 1, anonymous_kib=4)
        assert read_process(pid, proc.path).status.held_bytes is None


# --- long files


MANY = tuple(range(100_000, 103_000))


def test_a_status_that_many_groups_make_long_is_read_to_its_end(proc):
    text = status_text(tgid=10, groups=MANY, anonymous_kib=1000, swap_kib=24)
    assert len(text) > 20 * KIB
    proc.process(10)
    proc.write("10/status", text)
    assert read_process(10, proc.path).status == Status(1000, MIB, 10, (1000,) * 4)


@pytest.mark.root
def test_a_real_process_in_many_groups_is_read_as_any_other():
    def in_many_groups():
        os.setgroups(MANY)
        return read_process(os.getpid()).status, len(Path("/proc/self/status").read_bytes())

    status, length = in_child(in_many_groups)
    assert length > 20 * KIB
    assert status.held_bytes > MIB


@pytest.mark.parametrize("length", [0, 1, 16_383, 16_384, 16_385, 32_768, 100_000])
def test_a_file_is_read_to_its_end_however_long_it_is(tmp_path, length):
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * (length // 256) + b"x" * (length % 256))
    assert read_file(str(path)) == path.read_bytes()


@pytest.mark.parametrize("most_bytes", [1, 5, 16_384, 20_000])
def test_no_more_is_read_than_was_asked_for(tmp_path, most_bytes):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 50_000)
    assert read_file(str(path), most_bytes) == b"x" * most_bytes


def test_a_file_without_an_end_is_read_only_so_far():
    assert len(read_file("/dev/zero")) == process.MOST_BYTES


def test_a_short_file_costs_one_read_and_a_long_one_two(proc, monkeypatch):
    """Each is a system call, and there are thousands of processes."""
    read, asked = os.read, []
    monkeypatch.setattr(os, "read", lambda descriptor, most: asked.append(most) or read(descriptor, most))
    proc.process(10)
    read_process(10, proc.path)
    assert len(asked) == 4
    proc.write("10/status", status_text(groups=MANY))
    read_process(10, proc.path)
    assert len(asked) == 4 + 5


# --- a lack of descriptors


@pytest.mark.parametrize("function", [read_process, read_stat, lambda pid: read_file(f"/proc/{pid}/status")])
def test_a_lack_of_descriptors_is_an_error_and_says_nothing_about_the_process(function):
    def without_descriptors():
        pid = os.getppid()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            return function(pid)
        except OSError as error:
            return error.errno

    assert in_child(without_descriptors) == errno.EMFILE


def test_a_lack_of_descriptors_for_the_list_of_threads_is_an_error_too(proc, monkeypatch):
    def no_descriptor(path):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    proc.process(10, state=b"Z", threads=2, anonymous_kib=None)
    monkeypatch.setattr(os, "listdir", no_descriptor)
    with pytest.raises(OSError, match="Too many open files"):
        read_process(10, proc.path)


def test_a_file_that_can_be_opened_and_not_read_is_none(tmp_path):
    assert read_file(str(tmp_path)) is None  # EISDIR


# --- ancestors


def ancestors_of(proc, pid):
    return list(ancestors(read_stat(pid, proc.path), proc.path))


def test_the_ancestors_are_the_parent_its_parent_and_so_on(proc):
    proc.process(1, parent=0)
    proc.process(10, parent=1)
    proc.process(20, parent=10)
    proc.process(30, parent=20)
    assert ancestors_of(proc, 30) == [20, 10, 1]
    assert ancestors_of(proc, 1) == []


def test_a_gap_in_the_line_of_ancestors_ends_it(proc):
    proc.process(30, parent=20)
    assert ancestors_of(proc, 30) == [20]


def test_ancestors_that_go_round_in_a_circle_come_to_an_end(proc):
    proc.process(10, parent=20)
    proc.process(20, parent=10)
    assert len(ancestors_of(proc, 10)) == 128


def test_ones_own_ancestors_begin_with_the_parent():
    assert next(ancestors(read_stat(os.getpid()))) == os.getppid()
