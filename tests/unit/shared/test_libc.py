"""The C library called without ctypes: each call does what its manual page says, and says what became of it."""

import _ctypes
import ctypes
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bustd_shared.daemon import libc, mrelease
from tests.unit.shared.forked import in_child


@pytest.mark.parametrize(
    ("name", "shown"), [(b"bustd-killer", "bustd-killer"), (b"a-name-of-nineteen-", "a-name-of-ninet"), (b"", "")]
)
def test_a_process_is_named_by_at_most_15_bytes(name, shown):
    assert in_child(lambda: (libc.name_process(name), Path("/proc/self/comm").read_text())) == (True, f"{shown}\n")


def test_a_process_is_dumpable_until_it_says_otherwise():
    def undumpable():
        prctl, pr_get_dumpable, pr_set_dumpable = ctypes.CDLL(None).prctl, 3, 4
        prctl(pr_set_dumpable, 1)  # an earlier test may have changed the user of this process, which resets it
        return prctl(pr_get_dumpable), libc.make_undumpable(), prctl(pr_get_dumpable)

    assert in_child(undumpable) == (1, True, 0)


@pytest.fixture
def child():
    """A child that has filled some memory and waits: its PID and its pidfd. It has been reaped afterwards."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        kept = bytearray(b"x") * (8 << 20)
        os.write(writer, b"." if kept else b"")
        signal.pause()
        os._exit(0)
    os.read(reader, 1)
    pidfd = os.pidfd_open(pid)
    yield pid, pidfd
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    for descriptor in (pidfd, reader, writer):
        os.close(descriptor)


def test_the_memory_of_a_process_that_has_no_sigkill_is_not_taken(child):
    pid, pidfd = child
    assert not mrelease.process_mrelease(pidfd)
    assert int(Path(f"/proc/{pid}/statm").read_text().split()[1]) > 1000


def test_what_is_no_pidfd_has_no_memory_to_take():
    assert not mrelease.process_mrelease(-1)


def test_where_the_library_does_not_know_the_call_nothing_is_done(monkeypatch, child):
    monkeypatch.setattr(mrelease, "_process_mrelease", 0)
    assert not mrelease.process_mrelease(child[1])


def test_a_call_that_waits_does_not_stop_the_other_threads():
    """process_mrelease may wait for ever: the monitor's loop must go on meanwhile."""

    def wait_in_a_thread():
        signal.alarm(10)  # the end of this child where the call stops them
        reader, writer = os.pipe()
        read = _ctypes.dlsym(libc._library, "read")
        waiting = threading.Thread(target=lambda: _ctypes.call_function(read, (reader, None, 1)))
        waiting.start()
        while waiting.is_alive():
            os.write(writer, b"x")
        return "it has come back"

    assert in_child(wait_in_a_thread) == "it has come back"


def test_none_of_it_loads_ctypes():
    program = (
        f"import sys; sys.path[:0] = {sys.path}; import bustd_shared.daemon.libc; sys.exit('ctypes' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-I", "-S", "-c", program], check=False).returncode == 0
