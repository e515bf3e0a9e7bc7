"""Real processes that a test starts to be killed. The test ends them itself if bustd did not."""

from __future__ import annotations

import os
import pwd
import select
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import prctl

from . import install

NOBODY = pwd.getpwnam("nobody")

_EATER = """
import signal, sys, time
if {ignore_term}: signal.signal(signal.SIGTERM, lambda *_: None)
if {deaf}: signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open("/proc/self/comm", "wb") as comm: comm.write({name!r})
try: open("/proc/self/oom_score_adj", "w").write("{adj}")
except PermissionError: pass
kept = bytes([1]) * ({mib} << 20)
print("ready", flush=True)
time.sleep(120)
"""


def start(
    mib: int = 32,
    *,
    name: bytes = b"leak",
    adj: int = 0,
    ignore_term: bool = False,
    deaf: bool = False,
    as_nobody: bool = False,
    own_group: bool = False,
    group: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a process that holds `mib` MiB of its own memory. Returns once it holds them.

    `ignore_term`: it handles SIGTERM and goes on; `deaf`: the kernel ignores SIGTERM for it.
    """
    program = _EATER.format(mib=mib, name=name, adj=adj, ignore_term=ignore_term, deaf=deaf)
    return start_program(program, as_nobody=as_nobody, own_group=own_group, group=group)


def end_with_the_run() -> None:
    """In a child, before it executes its program: SIGKILL when the process of the tests has ended, whatever ends it."""
    prctl.set_pdeathsig(signal.SIGKILL)


def crowd_program(count: int, kept_mib: int = 0) -> str:
    """For `start_program`: a program that forks this many children, which wait, and end when it does."""
    return f"""
import os, time
kept = bytes([1]) * ({kept_mib} << 20)
alive, held = os.pipe()
for _ in range({count}):
    if os.fork() == 0:
        os.close(held)
        os.read(alive, 1)  # until the parent is dead
        os._exit(0)
print("ready", flush=True)
time.sleep(120)
"""


def start_program(
    program: str, *, as_nobody: bool = False, own_group: bool = False, group: int | None = None
) -> subprocess.Popen[bytes]:
    """Start a Python program that the test gives, in the process group `group`. Returns when it has printed a line."""
    child = subprocess.Popen(
        [install.python(), "-I", "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd="/",
        process_group=0 if own_group else group,
        user=NOBODY.pw_uid if as_nobody else None,
        group=NOBODY.pw_gid if as_nobody else None,
        extra_groups=[] if as_nobody else None,
        preexec_fn=end_with_the_run if threading.active_count() == 1 else None,
    )
    assert child.stdout is not None
    assert child.stdout.readline(), "the victim did not come up"
    return child


def end(child: subprocess.Popen[bytes]) -> None:
    """End and reap the process, whatever its state is."""
    if child.poll() is None:
        child.kill()
    child.wait()
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            stream.close()


@contextmanager
def victim(mib: int = 32, **how: object) -> Iterator[subprocess.Popen[bytes]]:
    """`start`, and `end` at the end of the block."""
    child = start(mib, **how)  # type: ignore[arg-type]
    try:
        yield child
    finally:
        end(child)


def exits_within(child: subprocess.Popen[bytes], seconds: float) -> bool:
    """Whether it exits within this time. Waits on the pidfd, and does not poll."""
    pidfd = os.pidfd_open(child.pid)
    try:
        return bool(select.select([pidfd], [], [], seconds)[0])
    finally:
        os.close(pidfd)


def is_alive(child: subprocess.Popen[bytes]) -> bool:
    """Whether it runs now, by the kernel's answer."""
    return not exits_within(child, 0)


def children(pid: int) -> list[int]:
    """The PIDs of the processes that its first thread has started and that are not reaped yet."""
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
