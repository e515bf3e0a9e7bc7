"""Processes that are killed and do not go: their PID stays for as long as something else holds it."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from . import install, victims

_STUCK_INIT = """
import ctypes, os, signal, sys, time
CLONE_NEWPID, PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 0x20000000, 0x4206, 0x40
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(CLONE_NEWPID):
    print("unshare", flush=True)
    sys.exit()
ready, said_ready = os.pipe()
init = os.fork()
if init == 0:
    kept = bytes([1]) * (8 << 20)
    if os.fork() == 0:
        while True: signal.pause()
    os.write(said_ready, b"x")
    while True: signal.pause()
os.read(ready, 1)
(child,) = open(f"/proc/{init}/task/{init}/children").read().split()
failed = libc.ptrace(PTRACE_SEIZE, int(child), None, ctypes.c_void_p(PTRACE_O_TRACEEXIT))
print("ptrace" if failed else init, flush=True)
sys.stdin.read()
"""


@contextmanager
def stuck_init() -> Iterator[int]:
    """The PID of a process 1 of a PID namespace that SIGKILL ends, and that stays until this block ends."""
    holder = subprocess.Popen(
        [install.python(), "-I", "-c", _STUCK_INIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        said = holder.stdout.readline().strip()
        if not said.isdigit():
            pytest.skip(f"not permitted here: {said.decode()}")
        init = os.pidfd_open(int(said))
        try:
            yield int(said)
        finally:
            try:
                signal.pidfd_send_signal(init, signal.SIGKILL)
            except ProcessLookupError:
                pass
            os.close(init)
    finally:
        victims.end(holder)
