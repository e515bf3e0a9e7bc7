"""What the killer reads of a process: by a pidfd that keeps the PID from being reused, from a /proc of any kind."""

import errno
import os
import resource
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bustd_killer import facts
from bustd_killer.facts import Victim, open_victim
from bustd_protocol.messages import Reason
from bustd_shared.kernel import process, procfs
from bustd_shared.kernel.process import ProcEntry, read_file
from tests.fakes.procfs import FakeProc
from tests.support import victims
from tests.support.in_process import HELD
from tests.unit.killer.making import MIB
from tests.unit.shared.forked import in_child

ZOMBIE_LEADER = """
import ctypes, os, threading, time
kept = bytes([1]) * (24 << 20)
def live_on():
    while b") Z " not in open("/proc/self/stat", "rb").read(): time.sleep(0.001)
    print("ready", flush=True)
    time.sleep(120)
threading.Thread(target=live_on).start()
ctypes.CDLL(None).syscall(93 if os.uname().machine == "aarch64" else 60, 0)
"""

KEPT_THREADS = """
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
static int leave[2], left;
static void *end(void *unused) { char byte; left = read(leave[0], &byte, 1); syscall(SYS_exit, 0); return 0; }
static void *live(void *unused) {
    pthread_t next; pthread_detach(pthread_self());
    usleep(2000); pthread_create(&next, 0, live, 0); usleep(500); return 0;
}
static void lead(void) {
    pthread_t next; char byte; size_t held = 24 << 20; volatile char *memory = malloc(held);
    for (size_t at = 0; at < held; at += 4096) memory[at] = 1;
    left = read(leave[0], &byte, 1); pthread_create(&next, 0, live, 0); syscall(SYS_exit, 0);
}
int main(int lives, char **unused) {
    int ready[2]; char byte, path[64]; pthread_t thread; siginfo_t info;
    if (pipe(ready) || pipe(leave)) return 1;
    pid_t pid = fork();
    if (pid == 0) {
        close(leave[1]);
        for (int count = 0; count < 400; count++) if (pthread_create(&thread, 0, end, 0)) _exit(1);
        if (write(ready[1], "r", 1) == 1 && lives > 1) lead(); else end(0);
    }
    if (read(ready[0], &byte, 1) != 1) return 1;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    for (struct dirent *task; (task = readdir(tasks)); )
        if (atoi(task->d_name) && ptrace(PTRACE_SEIZE, atoi(task->d_name), 0, 0)) return 1;
    close(leave[1]);
    rewinddir(tasks);
    for (struct dirent *task; (task = readdir(tasks)); )
        if (atoi(task->d_name) != pid && atoi(task->d_name))
            waitid(P_PID, atoi(task->d_name), &info, WEXITED | WNOWAIT | __WALL);
    printf("%d\\n", pid); fflush(stdout); getchar(); kill(pid, SIGKILL);
}
"""
"""A child whose leader and 400 threads have exited, and stay zombies while their tracer does not reap them.

With an argument one thread lives behind them and holds 24 MiB: it starts a successor every 2 ms, and ends.
"""


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


def read(proc: FakeProc, pid: int | None = None) -> ProcEntry | Reason:
    """The facts of a living PID, by default our own, as `proc` shows them."""
    victim = open_victim(os.getpid() if pid is None else pid, proc.path)
    if isinstance(victim, Reason):
        return victim
    assert os.get_inheritable(victim.pidfd) is False
    os.close(victim.pidfd)
    return victim.entry


def test_the_facts_are_what_proc_says(proc):
    pid = os.getpid()
    proc.process(
        pid,
        b"a) b\n\xff",
        uid=26,
        anonymous_kib=1000,
        swap_kib=24,
        oom_score_adj=-500,
        cgroup=b"0::/system.slice/db.service\n",
        parent=7,
        group=8,
        threads=3,
        start_ticks=48210,
    )
    stat = procfs.Stat(b"a) b\n\xff", b"S", 7, 8, 8, 0x400000, 3, 48210)
    found = read(proc)
    assert found == ProcEntry(stat, -500, found.status, b"0::/system.slice/db.service\n")
    assert (found.status.uid, found.status.held_bytes, found.status.uids) == (26, MIB, (26, 26, 26, 26))
    assert (found.unit, found.cgroup) == ("db.service", "/system.slice/db.service")


def test_a_real_victim_is_held_by_its_pidfd_and_read_as_it_is():
    with victims.victim(32, name=b"leak) Z (") as child:
        victim = open_victim(child.pid)
        assert isinstance(victim, Victim)
        assert victim.pid == child.pid
        assert victim.entry.stat.comm == b"leak) Z ("
        assert victim.entry.stat.parent == os.getpid()
        assert victim.entry.stat.start_ticks == victims.start_ticks(child.pid)
        assert victim.entry.status.uid == os.geteuid()
        assert 32 * MIB <= victim.held_bytes < 96 * MIB
        assert victim.entry.oom_score_adj == int(Path(f"/proc/{child.pid}/oom_score_adj").read_text())
        assert not facts.has_exited(victim.pidfd)
        child.kill()
        assert victims.exits_within(child, 5)
        assert facts.has_exited(victim.pidfd), "a zombie that nobody has reaped yet has exited all the same"
        assert open_victim(child.pid) is Reason.GONE
        os.close(victim.pidfd)
        child.wait()
        assert open_victim(child.pid) is Reason.GONE


def test_a_zombie_leader_whose_threads_live_on_is_alive_and_its_bytes_are_those_of_a_living_thread():
    child = victims.start_program(ZOMBIE_LEADER)
    try:
        victim = open_victim(child.pid)
        assert isinstance(victim, Victim)
        assert victim.entry.stat.state == b"Z"
        assert not victim.entry.stat.is_dead
        assert victim.held_bytes >= 24 * MIB
        assert not facts.has_exited(victim.pidfd)
        os.close(victim.pidfd)
    finally:
        victims.end(child)


def test_a_thread_that_still_has_memory_speaks_for_a_zombie_leader(proc):
    pid = os.getpid()
    proc.process(pid, state=b"Z", threads=3, anonymous_kib=None, cgroup=b"0::/\n")
    proc.thread(pid, 99_001, anonymous_kib=None, cgroup=b"0::/\n")
    proc.thread(pid, 99_002, anonymous_kib=4096, cgroup=b"0::/system.slice/db.service\n")
    assert (read(proc).status.held_bytes, read(proc).unit) == (4 * MIB, "db.service")


def test_a_zombie_leader_none_of_whose_threads_has_memory_holds_nothing(proc):
    proc.process(os.getpid(), state=b"Z", threads=2, anonymous_kib=None)
    assert read(proc).status.held_bytes is None
    proc.remove(f"{os.getpid()}/task")
    assert read(proc).status.held_bytes is None


def test_a_process_that_proc_does_not_show_is_hidden(proc):
    assert read(proc) is Reason.HIDDEN


@pytest.mark.parametrize("name", ["stat", "status", "cgroup", "oom_score_adj"])
def test_a_process_of_which_proc_shows_only_a_part_makes_no_sense(proc, name):
    """Hidden is only what can't be opened at all: the monitor raises an alarm about that."""
    proc.process(os.getpid())
    proc.remove(f"{os.getpid()}/{name}")
    assert read(proc) is Reason.KERNEL


@pytest.mark.parametrize(
    ("name", "data"), [("stat", b"garbage"), ("status", b"garbage"), ("oom_score_adj", b""), ("oom_score_adj", b"x\n")]
)
def test_a_process_that_makes_no_sense_is_refused_and_does_not_end_the_killer(proc, name, data):
    proc.process(os.getpid())
    proc.write(f"{os.getpid()}/{name}", data)
    assert read(proc) is Reason.KERNEL


def test_a_file_that_can_be_opened_and_not_read_counts_as_not_shown(proc):
    proc.process(os.getpid())
    proc.remove(f"{os.getpid()}/cgroup")
    (proc.directory / str(os.getpid()) / "cgroup").mkdir()  # read(2) answers EISDIR
    assert read(proc) is Reason.KERNEL


def test_the_id_of_a_thread_is_not_that_of_a_process():
    done, ids = threading.Event(), []
    thread = threading.Thread(target=lambda: (ids.append(threading.get_native_id()), done.wait(10)))
    thread.start()
    while not ids:
        pass
    assert open_victim(ids[0]) is Reason.NOT_LEADER
    done.set()
    thread.join()


def test_a_process_that_exits_while_it_is_read_is_gone_and_whatever_was_read_is_void(proc, monkeypatch):
    proc.process(os.getpid())
    monkeypatch.setattr(facts, "exited", set)
    assert read(proc) is Reason.GONE


def test_what_its_death_gives_back_at_most_counts_shared_memory_and_page_tables_too(proc):
    for memory, held_kib in (({"anonymous_kib": 100, "tables_kib": 7, "shared_kib": 50}, 157), ({}, 0)):
        proc.process(os.getpid(), anonymous_kib=None, memory=memory)
        victim = facts.open_victim(os.getpid(), proc.path)
        os.close(victim.pidfd)
        assert victim.held_bytes == held_kib * 1024


def test_a_bug_in_the_reading_leaves_no_descriptor_open(proc, monkeypatch):
    def fail(_data):
        raise ZeroDivisionError

    proc.process(os.getpid())
    monkeypatch.setattr(procfs, "parse_stat", fail)
    with pytest.raises(ZeroDivisionError):  # and tests/conftest.py looks for what is left open
        open_victim(os.getpid(), proc.path)


def test_a_lack_of_descriptors_is_an_error_and_says_nothing_about_the_process():
    def open_with_no_descriptor_left():
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
        try:
            return open_victim(os.getppid())
        except OSError as error:
            return type(error).__name__

    assert in_child(open_with_no_descriptor_left) == "OSError"


def with_descriptors_left(count: int, function):
    """What the function returns, or the error that it raises, in a child that can open this many more files."""

    def limited():
        free = [os.dup(0) for _ in range(count + 1)]
        for descriptor in free:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], free[count]))
        try:
            return function()
        except OSError as error:
            return error.errno

    return in_child(limited)


def test_a_lack_of_descriptors_for_the_reading_does_not_make_a_process_hidden():
    assert with_descriptors_left(1, lambda: open_victim(os.getppid())) == errno.EMFILE
    assert isinstance(with_descriptors_left(2, lambda: open_victim(os.getppid())), Victim)


def test_a_lack_of_descriptors_for_the_ancestors_is_an_error_too():
    grandparent = procfs.parse_stat(Path(f"/proc/{os.getppid()}/stat").read_bytes()).parent
    child = procfs.parse_stat(Path("/proc/self/stat").read_bytes())
    assert with_descriptors_left(1, lambda: facts.descends_from(child, grandparent, HELD)) is True
    assert with_descriptors_left(0, lambda: facts.descends_from(child, grandparent, HELD)) == errno.EMFILE


# A zombie leader


CHURN = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
static pthread_attr_t a;
static void *brief(void *x) { usleep((unsigned long)x); return 0; }
static void *live(void *x) { pthread_t t;
  for (int i = 0; i < 2; i++) pthread_create(&t, &a, brief, (void *)(unsigned long)(10 + rand() % 200));
  usleep(50);
  while (pthread_create(&t, &a, live, 0)) usleep(50);
  return 0; }
int main(void) { size_t n = 24 << 20; volatile char *p = malloc(n); for (size_t i = 0; i < n; i += 4096) p[i] = 1;
  pthread_t t; pthread_attr_init(&a); pthread_attr_setdetachstate(&a, 1); pthread_attr_setstacksize(&a, 65536);
  pthread_create(&t, &a, live, 0); puts("r"); fflush(stdout); pthread_exit(0); }
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_zombie_leader_whose_threads_come_and_go_is_read_right_2000_times_of_2000(tmp_path):
    (tmp_path / "churn.c").write_text(CHURN)
    subprocess.run(["cc", "-O1", "-pthread", "-o", tmp_path / "churn", tmp_path / "churn.c"], check=True)
    tracer = sys.gettrace()
    with subprocess.Popen([tmp_path / "churn"], stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"r\n"
            while b") Z " not in Path(f"/proc/{child.pid}/stat").read_bytes():
                pass
            held = []
            sys.settrace(None)  # what measures coverage makes a look several times as long as a thread lives
            for _ in range(2000):
                victim = open_victim(child.pid)
                assert isinstance(victim, Victim), victim
                held.append(victim.held_bytes)
                os.close(victim.pidfd)
            assert min(held) >= 24 * MIB
        finally:
            sys.settrace(tracer)
            child.kill()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
def test_a_leak_whose_thread_is_always_another_does_not_hide_behind_400_that_a_tracer_keeps(tmp_path):
    (tmp_path / "kept.c").write_text(KEPT_THREADS)
    subprocess.run(["cc", "-O1", "-pthread", "-o", tmp_path / "kept", tmp_path / "kept.c"], check=True)
    with subprocess.Popen([tmp_path / "kept", "lives"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as keeper:
        tracer = sys.gettrace()
        try:
            traced = int(keeper.stdout.readline())
            while b") Z " not in Path(f"/proc/{traced}/stat").read_bytes():
                pass
            sys.settrace(None)
            reads, held = [], []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(process, "read_file", lambda *args, **how: reads.append(args) or read_file(*args, **how))
                for _ in range(200):
                    victim = open_victim(traced)
                    assert isinstance(victim, Victim), victim
                    held.append(victim.held_bytes)
                    os.close(victim.pidfd)
            assert victim.entry.stat.threads > 401
            assert min(held) >= 24 * MIB
            assert len(reads) < 200 * 100, "and not through all that are dead, 400 at each look"
        finally:
            sys.settrace(tracer)
            keeper.communicate()


def test_a_process_that_shows_nothing_is_looked_at_only_so_often(proc, monkeypatch):
    looks = []
    monkeypatch.setattr(facts, "read_process", lambda *_: looks.append(1))
    proc.process(os.getpid())
    assert read(proc) is Reason.KERNEL
    assert len(looks) == facts._MOST_BLIND_LOOKS


# Whether it still has memory


def test_a_process_has_memory_until_all_its_threads_have_none(proc):
    proc.process(os.getpid())
    for thread in (10, 11):
        proc.write(f"{os.getpid()}/task/{thread}/statm", b"0 0 0 0 0 0 0\n")
    assert not facts.has_memory(os.getpid(), proc.path)
    proc.write(f"{os.getpid()}/task/11/statm", b"7 0 0 0 0 0 0\n")
    assert facts.has_memory(os.getpid(), proc.path), "mapped is enough: it may be swapped out"


def test_a_process_that_can_not_be_looked_into_has_memory(proc):
    assert facts.has_memory(os.getpid(), proc.path)


def test_a_process_with_thousands_of_threads_is_not_asked_for_each(proc, monkeypatch):
    monkeypatch.setattr(os, "listdir", lambda _: [str(thread) for thread in range(5000)])
    monkeypatch.setattr(facts, "read_file", None)
    assert facts.has_memory(os.getpid(), proc.path)
    proc.process(os.getpid(), oom_score=0)
    assert not facts.has_memory(os.getpid(), proc.path), "its dead threads are kept by a tracer"


def test_dead_threads_that_a_tracer_keeps_neither_hold_the_killer_nor_its_slot(tmp_path):
    """An ordinary user can have as many as it may have tasks."""
    (tmp_path / "kept.c").write_text(KEPT_THREADS)
    subprocess.run(["cc", "-O1", "-pthread", "-o", tmp_path / "kept", tmp_path / "kept.c"], check=True)
    with subprocess.Popen([tmp_path / "kept"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as tracer:
        try:
            traced = int(tracer.stdout.readline())
            while b") Z " not in Path(f"/proc/{traced}/stat").read_bytes():
                pass
            reads = []
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(process, "read_file", lambda *args, **how: reads.append(args) or read_file(*args, **how))
                victim = open_victim(traced)
            assert isinstance(victim, Victim)
            assert (victim.entry.stat.state, victim.entry.stat.threads) == (b"Z", 401)
            assert victim.entry.status.held_bytes is None
            assert len(reads) < 10
            assert not facts.has_exited(victim.pidfd)
            assert not facts.has_memory(traced)
            os.close(victim.pidfd)
        finally:
            tracer.communicate()


def test_no_descriptor_left_to_look_counts_as_memory():
    """It must not end the killer, nor free the slot."""
    assert with_descriptors_left(0, lambda: facts.has_memory(os.getppid())) is True
    assert with_descriptors_left(1, lambda: facts.has_memory(os.getppid())) is True


def test_a_real_process_has_memory_and_a_zombie_none():
    with victims.victim(1) as child:
        assert facts.has_memory(child.pid)
        child.kill()
        assert victims.exits_within(child, 5)
        assert not facts.has_memory(child.pid)


# Ancestors


def test_a_descendant_is_a_child_of_a_child_and_so_on(proc):
    proc.process(10, parent=1)
    proc.process(20, parent=10)
    proc.process(30, parent=20)
    stat = procfs.parse_stat((proc.directory / "30/stat").read_bytes())
    assert facts.descends_from(stat, 20, HELD, proc.path)
    assert facts.descends_from(stat, 10, HELD, proc.path)
    assert not facts.descends_from(stat, 30, HELD, proc.path), "no process descends from itself"
    assert not facts.descends_from(stat, 40, HELD, proc.path)
    assert facts.descends_from(stat, 1, HELD, proc.path)


def test_nothing_descends_from_an_ancestor_that_has_ended_also_when_its_number_is_anothers(proc):
    proc.process(10, parent=1)
    proc.process(30, parent=10)
    stat = procfs.parse_stat((proc.directory / "30/stat").read_bytes())
    with victims.victim(0) as ancestor:
        pidfd = os.pidfd_open(ancestor.pid)
        assert facts.descends_from(stat, 10, pidfd, proc.path)
        ancestor.kill()
        ancestor.wait()
        assert not facts.descends_from(stat, 10, pidfd, proc.path)
        os.close(pidfd)


def test_where_no_ancestor_was_given_everything_is_a_descendant(proc):
    proc.process(30, parent=1)
    assert facts.descends_from(procfs.parse_stat((proc.directory / "30/stat").read_bytes()), 0, -1, proc.path)


def test_a_gap_in_the_line_of_ancestors_ends_it(proc):
    proc.process(10, parent=1)
    proc.process(30, parent=20)
    stat = procfs.parse_stat((proc.directory / "30/stat").read_bytes())
    assert not facts.descends_from(stat, 10, HELD, proc.path)


def test_ancestors_that_go_round_in_a_circle_are_followed_only_so_far(proc):
    proc.process(10, parent=20)
    proc.process(20, parent=10)
    stat = procfs.parse_stat((proc.directory / "10/stat").read_bytes())
    assert not facts.descends_from(stat, 30, HELD, proc.path)


def test_a_process_whose_control_group_has_a_path_that_is_too_long_to_tell_is_not_hidden(monkeypatch):
    """Kernels before 6.8 answer ENAMETOOLONG: a process that digs so deep must not be out of reach."""
    read = os.read

    def too_long(descriptor: int, most: int) -> bytes:
        if Path(f"/proc/self/fd/{descriptor}").readlink().name == "cgroup":
            raise OSError(errno.ENAMETOOLONG, "File name too long")
        return read(descriptor, most)

    monkeypatch.setattr(os, "read", too_long)
    victim = facts.open_victim(os.getpid())
    os.close(victim.pidfd)
    assert (victim.entry.cgroup, victim.entry.unit, victim.entry.membership) == ("", "", b"")
