"""A process that holds the lock of its own memory for ever: by mapping a FUSE file of which a page never arrives.

Any user who may run a FUSE server can make one (fusermount). In the kernel, two threads are needed: one reads the file,
so that its page is locked until the server delivers it. Another maps the same file, opened with direct_io: mmap(2) has
taken the lock of the process' memory for writing, and waits for the page. From then on process_mrelease(2) and
everything that reads the process' memory, such as /proc/PID/cmdline, wait too.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from . import install, victims

PROCESS_MRELEASE = 448
"""The number of this system call, the same on every architecture."""

_SERVER = r"""
import ctypes, mmap, os, pwd, signal, struct, sys, threading, time

mount_point, mib = sys.argv[1], int(sys.argv[2])
libc = ctypes.CDLL(None, use_errno=True)
LOOKUP, FORGET, GETATTR, OPEN, READ, RELEASE, FLUSH, INIT, OPENDIR = 1, 2, 3, 14, 15, 18, 25, 26, 27
INTERRUPT, BATCH_FORGET = 36, 42
DIRECT_IO, KEEP_CACHE = 1, 2
ENOSYS, CLONE_NEWNS, MS_REC_PRIVATE = 38, 0x20000, 0x44000

def give_up(what):
    print(what, os.strerror(ctypes.get_errno()), flush=True)
    sys.exit()

def victim():
    with open("/proc/self/comm", "w") as comm: comm.write("held")
    nobody = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    kept = bytes([1]) * (mib << 20)
    path = mount_point + "/file"
    first = os.open(path, os.O_RDONLY)
    threading.Thread(target=os.read, args=(first, 4096), daemon=True).start()
    os.read(has_arrived, 1)
    mmap.mmap(os.open(path, os.O_RDONLY), 4096, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    time.sleep(120)

def attributes(node):
    mode = 0o40755 if node == 1 else 0o100644
    return struct.pack("<6Q10I", node, 1 << 20, 2048, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

# In a mount namespace of its own and of the victim's: nothing is left mounted, whatever ends first.
if libc.unshare(CLONE_NEWNS) or libc.mount(b"none", b"/", None, MS_REC_PRIVATE, None): give_up("unshare:")
try: fuse = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
except OSError as error:
    print(error, flush=True)
    sys.exit()
options = b"fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % fuse
if libc.mount(b"bustd-test", mount_point.encode(), b"fuse", 0, options): give_up("mount of a FUSE file system:")
has_arrived, arrives = os.pipe()
signal.signal(signal.SIGCHLD, lambda *_: sys.exit())  # it has failed
child = os.fork()
if child == 0:
    os.close(fuse)
    os.close(arrives)
    victim()
    os._exit(0)
opened = 0
while True:
    request = os.read(fuse, 1 << 18)
    _, operation, unique, node = struct.unpack_from("<IIQQ", request)
    body, error = b"", 0
    if operation == INIT: body = struct.pack("<4I2H2I2HI28x", 7, 31, 65536, 0, 12, 9, 65536, 1, 32, 0, 0)
    elif operation == LOOKUP: body = struct.pack("<4Q2I", 2, 0, 1, 1, 0, 0) + attributes(2)
    elif operation == GETATTR: body = struct.pack("<Q2I", 1, 0, 0) + attributes(node)
    elif operation == OPEN:
        opened += 1
        body = struct.pack("<Q2I", opened, DIRECT_IO | KEEP_CACHE if opened > 1 else 0, 0)
    elif operation == OPENDIR: body = struct.pack("<Q2I", 1, 0, 0)
    elif operation == READ:
        os.write(arrives, b"x")
        print(child, flush=True)
        continue
    elif operation in (FORGET, INTERRUPT, BATCH_FORGET): continue
    elif operation not in (RELEASE, FLUSH): error = -ENOSYS
    os.write(fuse, struct.pack("<IiQ", 16 + len(body), error, unique) + body)
"""


class Held(NamedTuple):
    """The process, and whether it lives by its pidfd."""

    pid: int
    pidfd: int

    def is_alive(self) -> bool:
        """Whether it has not exited."""
        return not select.select([self.pidfd], [], [], 0)[0]


@contextmanager
def holding_its_own_memory(place: Path, mib: int = 64) -> Iterator[Held]:
    """A process of `nobody` in that state, until the end of the block. Skips the test where FUSE can't be mounted."""
    mount_point = place / "fuse"
    mount_point.mkdir()
    server = subprocess.Popen(
        [install.python(), "-I", "-c", _SERVER, str(mount_point), str(mib)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    try:
        assert server.stdout is not None
        assert select.select([server.stdout], [], [], 20)[0], "the FUSE server hangs"
        said = server.stdout.readline().decode().strip()
        assert said, "the FUSE server or its victim has failed"
        if not said.isdigit():
            pytest.skip(f"no FUSE here: {said}")
        pidfd = os.pidfd_open(int(said))
        try:
            _await_lock(int(said))
            yield Held(int(said), pidfd)
        finally:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
    finally:
        victims.end(server)  # the kernel answers what the server has not, and the victim can die


def threads_that_wait(pid: int) -> list[int]:
    """The threads of a process that wait in the kernel and can't be interrupted (proc_pid_stat(5), state D)."""
    return [
        int(task.name)
        for task in Path(f"/proc/{pid}/task").iterdir()
        if (task / "stat").read_bytes().rpartition(b")")[2].split()[0] == b"D"
    ]


def system_call_of(thread: int) -> int:
    """The number of the call that a thread waits in, -1 if it runs (proc_pid_syscall(5))."""
    word = Path(f"/proc/{thread}/syscall").read_text().split()[0]
    return int(word) if word.isdigit() else -1


def _await_lock(pid: int) -> None:
    due = time.monotonic() + 20
    while pid not in threads_that_wait(pid):
        assert time.monotonic() < due, "its first thread does not wait for the page"
        time.sleep(0.01)
