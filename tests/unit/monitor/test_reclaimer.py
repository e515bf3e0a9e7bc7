"""Memory of victims that are slow to die: the kernel gives it back, and a thread that hangs holds nothing up."""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor import reclaimer as reclaimer_module
from bustd_monitor.reclaimer import MOST_HELD, Reclaimer
from bustd_shared.daemon import mrelease
from bustd_shared.kernel.procfs import field_bytes
from tests.conftest import open_descriptors
from tests.support import cgroups, victims
from tests.unit.shared.forked import in_child

MIB = 2**20


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does, or the kernel."""
    due = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < due, "it has not happened within 20 s"
        select.select([], [], [], 0.001)


def pidfds() -> int:
    return sum("pidfd" in target for _, target in open_descriptors())


def anonymous_bytes(pid: int) -> int:
    return field_bytes(Path(f"/proc/{pid}/status").read_bytes(), b"RssAnon:") or 0


@pytest.fixture
def reclaimer() -> Iterator[Reclaimer]:
    made = Reclaimer()
    yield made
    made.close()
    until(lambda: pidfds() == 0)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(reclaimer_module, "_PAUSE_S", 0)


class Kernel:
    """In place of process_mrelease(2): it is told what to answer, and can be made to hang."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[int] = []
        self.answers: list[bool] = []
        self.hangs = False
        self._gate = os.pipe()
        monkeypatch.setattr(mrelease, "process_mrelease", self._call)

    def _call(self, pidfd: int) -> bool:
        self.asked.append(pidfd)
        if self.hangs:
            os.read(self._gate[0], 1)
        return self.answers.pop(0) if self.answers else True

    def let_go(self) -> None:
        self.hangs = False
        os.write(self._gate[1], b"x" * 64)

    def close(self) -> None:
        self.let_go()
        for descriptor in self._gate:
            os.close(descriptor)


@pytest.fixture
def kernel(monkeypatch) -> Iterator[Kernel]:
    made = Kernel(monkeypatch)
    yield made
    made.close()


# With the kernel's own call


@pytest.fixture
def freezer() -> Iterator[Path]:
    """A control group of version 1, in which a process does not even run to die of SIGKILL."""
    root = cgroups.mount_point("freezer")
    if root is None or not os.access(root / "cgroup.procs", os.W_OK):
        pytest.skip("no freezer of version 1 here in which a test can make a control group")
    group = root / f"bustd-test-{os.getpid()}"
    group.mkdir()
    yield group
    (group / "freezer.state").write_text("THAWED")
    until(lambda: not (group / "cgroup.procs").read_text())
    group.rmdir()


@contextmanager
def frozen(freezer: Path, mib: int, *, as_nobody: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """A process with this much memory that can't run, until the end of the block."""
    child = victims.start(mib, as_nobody=as_nobody)
    try:
        cgroups.put(child.pid, freezer)
        (freezer / "freezer.state").write_text("FROZEN")
        until(lambda: (freezer / "freezer.state").read_text() == "FROZEN\n")
        yield child
    finally:
        (freezer / "freezer.state").write_text("THAWED")
        victims.end(child)


@pytest.mark.root
@pytest.mark.skipif(not mrelease._process_mrelease, reason="this C library does not know process_mrelease")
def test_the_memory_of_a_victim_that_can_not_run_comes_back_as_soon_as_it_has_its_sigkill(reclaimer, freezer):
    with frozen(freezer, 96, as_nobody=True) as child:
        reclaimer.hold([child.pid])
        child.kill()
        assert anonymous_bytes(child.pid) > 96 * MIB, "by itself it gives nothing back"
        reclaimer.release()
        until(lambda: anonymous_bytes(child.pid) < 8 * MIB)
        assert victims.is_alive(child), "it is frozen still"


@pytest.mark.root
@pytest.mark.skipif(not mrelease._process_mrelease, reason="this C library does not know process_mrelease")
def test_a_user_without_any_capability_takes_the_memory_of_roots_process(freezer):
    def as_nobody() -> tuple[int, bool]:
        os.setgroups([])
        os.setgid(victims.NOBODY.pw_gid)
        os.setuid(victims.NOBODY.pw_uid)
        effective = Path("/proc/self/status").read_text().partition("CapEff:\t")[2].split()[0]
        return int(effective, 16), mrelease.process_mrelease(os.pidfd_open(child.pid))

    with frozen(freezer, 96) as child:
        assert in_child(as_nobody) == (0, False), "it has no SIGKILL"
        child.kill()
        assert anonymous_bytes(child.pid) > 96 * MIB
        assert in_child(as_nobody) == (0, True)
        assert anonymous_bytes(child.pid) < 8 * MIB


@pytest.mark.root
@pytest.mark.skipif(not mrelease._process_mrelease, reason="this C library does not know process_mrelease")
def test_it_tries_again_until_the_killer_has_sent_its_sigkill(reclaimer, freezer):
    with frozen(freezer, 32, as_nobody=True) as child:
        reclaimer.hold([child.pid])
        reclaimer.release()
        until(lambda: reclaimer._waiting == [])  # the thread has it, and was refused
        assert anonymous_bytes(child.pid) > 32 * MIB
        child.kill()
        until(lambda: anonymous_bytes(child.pid) < 8 * MIB)


def test_to_a_process_without_sigkill_nothing_happens(reclaimer, quick):
    with victims.victim(8) as child:
        before = anonymous_bytes(child.pid)
        reclaimer.hold([child.pid])
        reclaimer.release()
        until(lambda: pidfds() == 0)
        assert victims.is_alive(child)
        assert anonymous_bytes(child.pid) == before


def test_a_victim_that_has_exited_is_let_go_of(reclaimer, monkeypatch):
    monkeypatch.setattr(reclaimer_module, "_TRIES", 10**9)
    with victims.victim(1) as child:
        reclaimer.hold([child.pid])
        child.kill()
        assert victims.exits_within(child, 10)
        reclaimer.release()
        until(lambda: pidfds() == 0)


_HANGS = """
import _ctypes, os, sys
from bustd_monitor.reclaimer import Reclaimer
from bustd_shared.daemon import mrelease

mrelease._process_mrelease = _ctypes.dlsym(mrelease._library, "pause")  # it returns at a signal to this very thread
reclaimer = Reclaimer()
(thread,) = set(os.listdir("/proc/self/task")) - {str(os.getpid())}
def in_call():
    return open(f"/proc/self/task/{thread}/syscall").read().split()[0]
while (idle := in_call()) == "running": pass
reclaimer.hold([os.getpid()])
reclaimer.release()
while in_call() in ("running", idle): pass
for _ in range(1000):
    reclaimer.hold([os.getpid()] * 8)
    reclaimer.release()
print(len(os.listdir("/proc/self/fd")), flush=True)
if sys.argv[1] == "close": reclaimer.close()
if sys.argv[1] == "wait": sys.stdin.read()
if sys.argv[1] == "execute": os.execv(sys.executable, [sys.executable, "-c", ""])
"""


@pytest.mark.parametrize(("end", "code"), [("close", 0), ("return", 0), ("execute", 0), ("wait", -signal.SIGTERM)])
def test_a_call_that_never_returns_holds_up_neither_the_rest_nor_the_end(end, code):
    child = subprocess.Popen(
        [sys.executable, "-c", _HANGS, end], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None and child.stdout is not None
    descriptors = int(child.stdout.readline())
    assert descriptors <= 4 + 2 * MOST_HELD + 1, "however much is handed to it"
    if end == "wait":
        child.terminate()
    assert victims.exits_within(child, 20)
    victims.end(child)
    assert child.returncode == code


# With a kernel that the test plays


def test_nothing_is_asked_of_the_kernel_before_the_victims_have_their_sigkill(reclaimer, kernel):
    reclaimer.hold([os.getpid()])
    reclaimer.drop()
    assert (kernel.asked, pidfds()) == ([], 0)
    reclaimer.release()
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    until(lambda: pidfds() == 0)
    assert len(kernel.asked) == 1


def test_after_sigterm_they_are_handed_over_when_it_is_due_and_not_when_they_were_let_go_of_before(reclaimer, kernel):
    reclaimer.hold([os.getpid()])
    reclaimer.release_at(5000)
    reclaimer.keep(4999)
    assert (kernel.asked, reclaimer.due_ms) == ([], 5000)
    reclaimer.keep(5000)
    until(lambda: pidfds() == 0)
    assert (len(kernel.asked), reclaimer.due_ms) == (1, None)
    for let_go in (reclaimer.drop, lambda: reclaimer.hold([])):
        reclaimer.hold([os.getpid()])
        reclaimer.release_at(6000)
        let_go()
        assert reclaimer.due_ms is None
        reclaimer.keep(6000)
    assert len(kernel.asked) == 1


def test_only_so_many_are_held_and_the_first_that_are_named(reclaimer, kernel):
    with victims.victim(1) as child:
        reclaimer.hold([child.pid, *[os.getpid()] * 50])
        assert pidfds() == MOST_HELD
        first = reclaimer._held[0]
        child.kill()
        assert select.select([first], [], [], 20)[0], "the first of them is the victim"
    reclaimer.drop()


def test_the_next_request_lets_go_of_the_victims_of_the_one_before(reclaimer, kernel):
    reclaimer.hold([os.getpid()] * 3)
    reclaimer.hold([os.getpid()])
    assert pidfds() == 1
    reclaimer.drop()
    reclaimer.drop()


def test_one_that_is_gone_already_is_left_out(reclaimer, kernel):
    with victims.victim(1) as child:
        pass
    reclaimer.hold([child.pid, os.getpid()])
    assert pidfds() == 1
    reclaimer.drop()


def test_without_a_descriptor_to_hold_them_nothing_is_held(reclaimer, kernel, monkeypatch):
    def no_descriptor(_pid: int) -> int:
        raise OSError("Too many open files")

    monkeypatch.setattr(os, "pidfd_open", no_descriptor)
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    assert kernel.asked == []


def test_each_is_tried_until_the_kernel_takes_its_memory(reclaimer, kernel, quick):
    kernel.answers = [False, True, False, False, True]
    reclaimer.hold([os.getpid(), os.getpid()])
    first, second = reclaimer._held
    reclaimer.release()
    until(lambda: pidfds() == 0)
    assert kernel.asked == [first, second, first, first, first]


def test_one_that_gets_no_sigkill_is_given_up(reclaimer, kernel, quick):
    kernel.answers = [False] * 1000
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    until(lambda: pidfds() == 0)
    assert len(kernel.asked) == 20


def test_a_batch_that_comes_later_is_more_urgent_than_tries_for_an_earlier_one(reclaimer, kernel, monkeypatch):
    monkeypatch.setattr(reclaimer_module, "_PAUSE_S", 0.01)
    kernel.hangs, kernel.answers = True, [False, True]
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    until(lambda: len(kernel.asked) == 1)
    reclaimer.hold([os.getpid()])
    (later,) = reclaimer._held
    reclaimer.release()
    kernel.let_go()
    until(lambda: pidfds() == 0)
    assert kernel.asked[1:] == [later]


def test_while_the_thread_hangs_only_the_latest_batch_waits(reclaimer, kernel):
    kernel.hangs = True
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    until(lambda: len(kernel.asked) == 1)
    for _ in range(50):
        reclaimer.hold([os.getpid()] * MOST_HELD)
        reclaimer.release()
        assert pidfds() == 1 + MOST_HELD
    kernel.let_go()
    until(lambda: pidfds() == 0)
    assert len(kernel.asked) == 1 + MOST_HELD


def test_after_the_end_nothing_is_held_any_more(kernel):
    reclaimer = Reclaimer()
    kernel.hangs = True
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    until(lambda: len(kernel.asked) == 1)
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    reclaimer.hold([os.getpid()])
    reclaimer.close()
    assert pidfds() == 1, "what the thread has in its hands"
    kernel.let_go()
    until(lambda: pidfds() == 0)
    assert len(kernel.asked) == 1


def test_where_no_thread_can_be_started_the_kernel_is_left_alone(kernel, monkeypatch):
    def no_task(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(reclaimer_module, "start_new_thread", no_task)
    reclaimer = Reclaimer()
    reclaimer.hold([os.getpid()])
    reclaimer.release()
    assert pidfds() == 0
    reclaimer.close()
    assert kernel.asked == []
