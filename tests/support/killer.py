"""A real killer as a subprocess, listening on a socket of its own, with a policy that the test writes."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from . import install

PERMISSIVE = """
[peer]
user = {peer_uid}
[limits]
available_percent = 100
{limits}
[rate]
{rate}
[grace]
{grace}
[protect]
{protect}
"""
"""Any machine counts as short of memory, so that the other checks can be tested on a healthy one."""

_ACCEPTS = 1 << 16
"""__SO_ACCEPTCON, the flag of a listening socket."""


class Killer:
    """The process, its socket, and everything that it has logged."""

    def __init__(self, process: subprocess.Popen[bytes], socket_path: Path, log_path: Path) -> None:
        self.process = process
        self.socket_path = socket_path
        self.log_path = log_path

    @property
    def pid(self) -> int:
        return self.process.pid

    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def has_said(self, sentence: str, seconds: float = 10.0) -> bool:
        """Whether the log soon has it: the killer answers before it logs."""
        deadline = time.monotonic() + seconds
        pidfd = os.pidfd_open(self.pid)
        try:
            while sentence not in self.log():
                if time.monotonic() > deadline or select.select([pidfd], [], [], 0.01)[0]:
                    return sentence in self.log()
            return True
        finally:
            os.close(pidfd)


@contextmanager
def killer(
    directory: Path,
    *arguments: str,
    peer_uid: int | None = None,
    limits: str = "",
    rate: str = "interval_ms = 0",
    grace: str = "",
    protect: str = "",
    config: str | None = None,
    only_descendants_of: int | None = None,
    process_group: int | None = None,
    through: Sequence[str] = (),
    comes_up: bool = True,
) -> Iterator[Killer]:
    """Start it, wait until it listens, and stop it at the end. Victims are restricted to the test's own processes.

    A killer that has just started has an empty burst: without an interval its first kill need not wait.

    `through` is a command that starts the killer as its child; then the process group is that of this parent. A killer
    that is not expected to come up is not waited for.
    """
    directory.mkdir(exist_ok=True)
    directory.chmod(0o755)
    if peer_uid is None:
        peer_uid = os.geteuid()
    text = config or PERMISSIVE.format(peer_uid=peer_uid, limits=limits, rate=rate, grace=grace, protect=protect)
    config_path, socket_path, log_path = directory / "killer.toml", directory / "killer.sock", directory / "killer.log"
    config_path.write_text(text)
    config_path.chmod(0o644)
    scope = ["--only-descendants-of", str(only_descendants_of or os.getpid())]
    command = [install.python(), "-I", install.program("bustd_killer"), "--config", str(config_path)]
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            [*through, *command, "--socket", str(socket_path), *scope, *arguments],
            stdin=subprocess.DEVNULL,
            stderr=log,
            process_group=process_group,
        )
    try:
        if comes_up:
            _await_socket(process, socket_path, log_path)
        yield Killer(process, socket_path, log_path)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the killer did not stop:\n{log_path.read_text()}") from None


def _await_socket(process: subprocess.Popen[bytes], socket_path: Path, log_path: Path) -> None:
    """Wait until connections are queued: the killer listens before its lockdown, and serves after it."""
    pidfd = os.pidfd_open(process.pid)
    try:
        for _ in range(500):
            if _listens(socket_path):
                return
            if select.select([pidfd], [], [], 0.01)[0]:
                break
    finally:
        os.close(pidfd)
    raise AssertionError(f"the killer did not come up:\n{log_path.read_text()}")


def _listens(socket_path: Path) -> bool:
    """Whether a process listens there (proc_net_unix(5)), without a connection that the killer would see."""
    sockets = [line.split() for line in Path("/proc/self/net/unix").read_text().splitlines()]
    return any(words[-1] == str(socket_path) and int(words[3], 16) & _ACCEPTS for words in sockets[1:])
