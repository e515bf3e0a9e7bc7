"""One process for ranking, from a /proc of any kind: one that is gone or makes no sense is left out."""

import errno
import os
import resource
import threading
from pathlib import Path

import pytest

from bustd_monitor.sensing import processes
from bustd_monitor.sensing.processes import (
    COMMAND_BYTES,
    SHORT_COMMAND_BYTES,
    TOO_LONG,
    CommandLine,
    Process,
    anonymous_bytes,
    descends_from,
    is_in_group,
    oom_score,
    read_command,
    read_process,
    resident_bytes,
)
from bustd_shared.kernel import process, procfs
from tests.fakes.procfs import PF_KTHREAD, FakeProc
from tests.support import victims
from tests.unit.monitor.making import MIB
from tests.unit.shared.forked import in_child

PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


def test_a_process_is_what_proc_says(proc):
    proc.process(
        10,
        b"a) b\n\xff",
        uid=26,
        anonymous_kib=1000,
        swap_kib=24,
        oom_score=700,
        oom_score_adj=-500,
        start_ticks=48210,
        cgroup=b"0::/system.slice/db.service\n",
    )
    assert read_process(10, 666, proc.path) == Process(
        *(10, 48210, 26, b"a) b\n\xff", "db.service", 666, -500, MIB),
        cgroup="/system.slice/db.service",
        swapped_bytes=24 * 1024,
        parent=1,
        group=10,
        session=10,
    )


@pytest.mark.parametrize("comm", [b"leak) Z (", b"a b", b"new\nline", b"\xff\xfe", b"((", b")", b"x\tRssAnon:"])
def test_a_real_process_with_a_nasty_name_is_read_as_it_is(comm):
    with victims.victim(24, name=comm) as child:
        found = read_process(child.pid, 700)
        assert found.comm == comm
        assert found.start_ticks == victims.start_ticks(child.pid)
        assert found.uid == os.geteuid()
        assert 24 * MIB <= found.held_bytes < 80 * MIB
        assert resident_bytes(child.pid) > found.held_bytes // 2


@pytest.mark.root
def test_a_process_of_a_user_in_many_groups_is_read_as_any_other():
    def in_many_groups():
        os.setgroups(range(100_000, 103_000))
        return read_process(os.getpid(), 1)

    assert in_child(in_many_groups).held_bytes > MIB


@pytest.mark.parametrize("name", ["stat", "status", "oom_score_adj"])
@pytest.mark.parametrize("data", [None, b"", b"garbage\n", b"(", b"\xff" * 100])
def test_a_process_that_is_gone_or_makes_no_sense_is_left_out(proc, name, data):
    proc.process(10)
    assert read_process(10, 1, proc.path) is not None
    if data is None:
        proc.remove(f"10/{name}")
    else:
        proc.write(f"10/{name}", data)
    assert read_process(10, 1, proc.path) is None


def test_a_process_without_a_control_group_file_has_no_unit(proc):
    proc.process(10)
    proc.remove("10/cgroup")
    assert read_process(10, 1, proc.path).unit == ""


@pytest.mark.parametrize(
    "how",
    [
        {"flags": PF_KTHREAD},
        {"state": b"Z", "threads": 1},
        {"state": b"X"},
        {"anonymous_kib": None},
    ],
)
def test_kernel_threads_and_the_dead_are_left_out(proc, how):
    proc.process(10, **how)
    assert read_process(10, 1, proc.path) is None


def test_a_zombie_leader_is_what_its_thread_with_memory_is(proc):
    proc.process(10, state=b"Z", threads=3, anonymous_kib=None, cgroup=b"0::/\n", oom_score_adj=5)
    proc.thread(10, 11, anonymous_kib=None)
    proc.thread(10, 12, anonymous_kib=1024, swap_kib=1024, cgroup=b"0::/system.slice/db.service\n")
    found = read_process(10, 1, proc.path)
    assert (found.pid, found.held_bytes, found.unit, found.oom_score_adj) == (10, 2 * MIB, "db.service", 5)


def test_a_zombie_leader_is_looked_at_again_when_its_threads_were_gone_between_two_reads(proc, monkeypatch):
    proc.process(10, state=b"Z", threads=2, anonymous_kib=None)
    proc.thread(10, 12, anonymous_kib=1024)
    with_thread, lacking = process.read_process(10, proc.path), procfs.Status(0, None, 10, (0,) * 4)
    looks = [with_thread._replace(status=lacking), with_thread._replace(status=lacking), with_thread]
    monkeypatch.setattr(process, "read_process", lambda *_: looks.pop(0))
    assert read_process(10, 1, proc.path).held_bytes == MIB
    looks = [with_thread._replace(status=lacking)] * 17
    assert read_process(10, 1, proc.path) is None
    assert len(looks) == 1, "and not for ever"


def test_a_zombie_leader_without_such_a_thread_is_left_out(proc):
    proc.process(10, state=b"Z", threads=2, anonymous_kib=None)
    assert read_process(10, 1, proc.path) is None
    proc.remove("10/task")
    assert read_process(10, 1, proc.path) is None


# Scores


@pytest.mark.parametrize(("data", "score"), [(b"700\n", 700), (b"0\n", 0), (b"garbage", 0), (b"", 0), (None, 0)])
def test_a_score_is_what_the_kernel_says_and_0_for_a_process_that_is_gone(proc, data, score):
    if data is not None:
        proc.write("10/oom_score", data)
    assert oom_score(10, proc.path) == score


def test_on_this_machine_oneself_has_a_score():
    assert oom_score(os.getpid()) == int(Path("/proc/self/oom_score").read_text())


def test_a_thread_is_not_a_process_although_proc_shows_it_under_its_own_number():
    def with_a_thread():
        ready, done = threading.Event(), threading.Event()
        thread = threading.Thread(target=lambda: (ready.set(), done.wait()))
        thread.start()
        ready.wait()
        found = [read_process(pid, 1) is not None for pid in (os.getpid(), thread.native_id)]
        done.set()
        thread.join()
        return found

    assert in_child(with_a_thread) == [True, False]


@pytest.mark.parametrize(
    ("data", "pages"), [(b"200 100 1 1 0 1 0\n", 100), (b"", 0), (b"200", 0), (b"200 x 1", 0), (b"200 -1 1", 0)]
)
def test_resident_memory_is_the_second_number_of_statm(proc, data, pages):
    proc.write("10/statm", data)
    assert resident_bytes(10, proc.path) == pages * PAGE


def test_a_process_that_is_gone_has_no_resident_memory(proc):
    assert resident_bytes(10, proc.path) == 0


# Command lines and ancestors


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b"python3\0-c\0pass\0", "python3 -c pass"),
        (b"title without an end", "title without an end"),
        (b"", ""),
        (b"\0\0", ""),
        (b"a\0\0b\0", "a  b"),
        (b"\xff\0\n\0", "\\xff \n"),
    ],
)
def test_a_command_line_is_its_words_with_spaces_between(proc, data, command):
    proc.write("10/cmdline", data)
    assert read_command(10, proc.path) == CommandLine(command)


def test_a_command_line_of_up_to_128_kib_is_read_whole(proc):
    proc.write("10/cmdline", b"java\0" + b"x" * (COMMAND_BYTES - 16) + b"\0DataNode\0")
    text, trouble = read_command(10, proc.path)
    assert (text[:5], text[-9:], trouble) == ("java ", " DataNode", "")


def test_of_a_longer_one_the_beginning_is_kept_and_it_is_said(proc):
    proc.write("10/cmdline", b"java\0" + b"x" * (COMMAND_BYTES - 4))
    text, trouble = read_command(10, proc.path)
    assert text == "java " + "x" * (SHORT_COMMAND_BYTES - 5)
    assert trouble == TOO_LONG == "is longer than 128 KiB"


def test_a_process_that_is_gone_has_an_empty_command_line(proc):
    assert read_command(10, proc.path) == CommandLine()


def test_a_command_line_that_can_not_be_read_is_not_taken_for_an_empty_one(proc):
    (proc.directory / "10/cmdline").mkdir(parents=True)
    assert read_command(10, proc.path) == CommandLine("", "can't be read: Is a directory")


@pytest.mark.parametrize(
    ("number", "words"), [(errno.EACCES, "Permission denied"), (errno.EMFILE, "Too many open files")]
)
def test_why_a_command_line_can_not_be_opened_is_said(monkeypatch, number, words):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert read_command(10) == CommandLine("", f"can't be read: {words}")


def test_a_process_descends_from_its_parent_its_parents_parent_and_so_on(proc):
    proc.process(30, parent=20)
    proc.process(20, parent=10)
    proc.process(10, parent=1)
    assert [ancestor for ancestor in (1, 10, 20, 30, 40) if descends_from(30, ancestor, proc.path)] == [1, 10, 20]
    assert not descends_from(40, 1, proc.path)


def test_this_process_descends_from_its_parent():
    assert descends_from(os.getpid(), os.getppid())
    assert not descends_from(os.getppid(), os.getpid())


READERS = {
    "process": lambda pid: read_process(pid, 1),
    "oom_score": oom_score,
    "resident": resident_bytes,
    "anonymous": anonymous_bytes,
    "descent": lambda pid: descends_from(pid, 1),
    "group": lambda pid: is_in_group(pid, "/a"),
}


def test_without_a_descriptor_left_no_process_is_taken_for_gone():
    def read_everything():
        pid = os.getppid()
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        return {name: error_of(read, pid) for name, read in READERS.items()}, read_command(pid)

    unread = ("", "can't be read: Too many open files")
    assert in_child(read_everything) == (dict.fromkeys(READERS, errno.EMFILE), unread)


def error_of(read, pid) -> int:
    try:
        read(pid)
    except OSError as error:
        return error.errno
    return 0


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_what_keeps_a_process_from_being_read_comes_out(monkeypatch, read, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert error_of(read, 10) == number


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESRCH])
@pytest.mark.parametrize("read", READERS.values(), ids=READERS)
def test_that_a_process_is_gone_is_no_error(monkeypatch, read, number):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    assert not read(10)


def test_a_process_with_a_file_that_can_be_opened_and_not_read_counts_as_gone(proc):
    proc.process(10)
    proc.remove("10/status")
    (proc.directory / "10/status").mkdir()  # read(2) answers EISDIR
    assert read_process(10, 1, proc.path) is None
    assert processes.read_command(10, proc.path) == CommandLine("")
