"""The filters of system calls on this kernel: in forked children, and through an execve."""

import ctypes
import errno
import fcntl
import mmap
import os
import platform
import re
import resource
import signal
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bustd_killer.stage1 import libc, seccomp
from bustd_killer.stage1.system_calls import AUDIT_ARCH, NUMBERS
from tests.support import victims
from tests.unit.killer.execution import confined, executed, outcome
from tests.unit.killer.forbidden_calls import POWERFUL
from tests.unit.shared.forked import in_child

LIBC = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS = 38

needs_a_filter = pytest.mark.skipif(
    platform.machine() not in AUDIT_ARCH, reason=f"there is no filter for {platform.machine()}"
)


def errno_of(number: int, *arguments: int) -> int:
    """0 if the call succeeds."""
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *map(ctypes.c_long, arguments))
    return ctypes.get_errno() if result < 0 else 0


both = pytest.mark.parametrize(
    "install", [seccomp.filter_killer, seccomp.filter_monitor], ids=["the killer", "the monitor"]
)


@needs_a_filter
@both
def test_calls_that_would_succeed_or_fail_otherwise_are_eperm(install):
    powerful = POWERFUL[platform.machine()]
    others = [powerful[name] for name in ("setns", "memfd_create", "unshare", "ptrace", "userfaultfd")]
    assert errno.EPERM not in in_child(lambda: [errno_of(number, -1) for number in others])
    found, said = confined(install, lambda: {name: errno_of(number, -1) for name, number in powerful.items()})
    assert set(found.values()) == {errno.EPERM}, found
    assert re.fullmatch(r"seccomp permits \d+ system calls", said)


@needs_a_filter
@both
def test_no_child_is_signalled_by_kill(install):
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    attempts = confined(
        install,
        lambda: [
            outcome(lambda: os.kill(child, signal.SIGKILL)),
            outcome(lambda: os.kill(child, 0)),
            outcome(lambda: os.kill(os.getpid(), 0)),
            outcome(lambda: os.killpg(os.getpgid(child), 0)),
        ],
    )[0]
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert attempts == ["EPERM"] * 4


@needs_a_filter
def test_the_killer_sends_its_four_signals_and_no_other():
    with victims.victim(1) as other:
        pidfd = os.pidfd_open(other.pid)

        def send():
            numbers = (0, signal.SIGSTOP, signal.SIGUSR1, signal.SIGHUP, signal.SIGCONT, signal.SIGTERM, signal.SIGKILL)
            return {int(number): outcome(partial(signal.pidfd_send_signal, pidfd, number)) for number in numbers}

        of_monitor = confined(seccomp.filter_monitor, send)[0]
        assert set(of_monitor.values()) == {"EPERM"}
        assert victims.is_alive(other)
        of_killer = confined(seccomp.filter_killer, send)[0]
        os.close(pidfd)
        assert victims.exits_within(other, 5)
    assert {number for number, became in of_killer.items() if became == "done"} == {0, 9, 15, 18}
    assert {became for number, became in of_killer.items() if number not in (0, 9, 15, 18)} == {"EPERM"}


@needs_a_filter
@both
def test_no_memory_is_writable_and_executable_or_becomes_executable(install):
    def attempts():
        return [
            outcome(lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC).close()),
            errno_of(NUMBERS[platform.machine()]["mprotect"], 0, 0, mmap.PROT_EXEC),
        ]

    assert in_child(attempts) == ["done", 0]
    assert confined(install, attempts)[0] == ["EPERM", errno.EPERM]


@needs_a_filter
@both
def test_no_other_process_gets_a_limit_or_an_owner_of_signals(install):
    reader, writer = os.pipe()
    attempts = confined(
        install,
        lambda: [
            outcome(lambda: resource.prlimit(os.getppid(), resource.RLIMIT_CPU)),
            outcome(lambda: resource.prlimit(0, resource.RLIMIT_CPU)),
            outcome(lambda: fcntl.fcntl(reader, fcntl.F_SETOWN, os.getppid())),
            outcome(lambda: fcntl.fcntl(reader, fcntl.F_SETSIG, signal.SIGKILL)),
            outcome(lambda: fcntl.fcntl(reader, fcntl.F_GETFL)),
        ],
    )[0]
    os.close(reader)
    os.close(writer)
    assert attempts == ["EPERM", "done", "EPERM", "EPERM", "done"]


@needs_a_filter
def test_sockets_are_the_monitors_and_local():
    def attempts():
        families = (
            (socket.AF_UNIX, socket.SOCK_SEQPACKET),
            (socket.AF_INET, socket.SOCK_DGRAM),
            (socket.AF_NETLINK, 3),
        )
        return [outcome(partial(socket.socket, *family)) for family in families]

    assert confined(seccomp.filter_monitor, attempts)[0] == ["done", "EPERM", "EPERM"]
    assert confined(seccomp.filter_killer, attempts)[0] == ["EPERM"] * 3


@needs_a_filter
@both
def test_what_a_daemon_does_still_works(install):
    def work():
        found = []
        thread = threading.Thread(target=lambda: found.append("thread"))
        thread.start()
        thread.join()
        time.sleep(0.001)
        child = os.fork()
        if child == 0:
            os._exit(7)
        found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        found.append(len(os.listdir("/proc")) > 0)  # noqa: PTH208
        found.append(Path("/proc/self/stat").read_bytes()[:1] != b"")
        os.close(os.pidfd_open(os.getpid()))
        reader, writer = os.pipe()
        os.write(writer, b"x")
        found.append(os.read(reader, 1))
        return found

    assert confined(install, work)[0] == ["thread", 7, True, True, b"x"]


PROGRAM = """
import select, time, _ctypes, _signal, _socket
time.sleep(0.001)
child = os.fork()
if child == 0:
    os._exit(5)
result = [
    os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]),
    outcome(os.kill, os.getpid(), 0),
    "Seccomp:\\t2" in open("/proc/self/status").read(),
    len(words),
]
if not words:
    os.execv(sys.executable, [*sys.orig_argv, "again"])
"""


@needs_a_filter
@both
def test_it_holds_through_an_execve_and_the_python_there_runs_and_executes_itself_again(install):
    def prepare() -> str:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1)
        return install()

    assert executed(prepare, PROGRAM)[1] == [5, "EPERM", True, 1]


@needs_a_filter
@both
def test_it_needs_no_new_privileges_first_and_says_so(install):
    def out_of_order():
        if os.geteuid() == 0:
            os.setuid(65534)
        return install()

    assert in_child(out_of_order) == "no filter of system calls on this kernel (Permission denied), see THREATS.md"


@both
def test_an_architecture_without_a_filter_gets_none_and_it_is_said(monkeypatch, install):
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result(("Linux", "", "", "", "riscv64")))
    monkeypatch.setattr(libc, "filter_system_calls", None)
    assert install() == "no filter of system calls for riscv64 (64 bits), see THREATS.md"
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result(("Linux", "", "", "", "x86_64")))
    monkeypatch.setattr(seccomp.struct, "calcsize", lambda _: 4)
    assert install() == "no filter of system calls for x86_64 (32 bits), see THREATS.md"


@both
def test_a_kernel_without_filters_is_no_hindrance_and_is_said(monkeypatch, install):
    def refuse(_: bytes) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(libc, "filter_system_calls", refuse)
    monkeypatch.setattr(seccomp.os, "uname", lambda: os.uname_result(("Linux", "", "", "", "aarch64")))
    assert install() == "no filter of system calls on this kernel (Invalid argument), see THREATS.md"
