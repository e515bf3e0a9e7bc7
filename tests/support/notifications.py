"""What `bustd notify` meets: a bus of the test's own, a notification server on it, the monitor's events, the agent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_monitor.reporting import events
from bustd_monitor.reporting.events import Kind

pytest.importorskip("jeepney", reason="the Python package jeepney is not installed")
from .notification_server import PATIENCE_S, FakeServer  # noqa: F401  (for the tests too, which skip without jeepney)


def needs(*tools: str) -> None:
    """Skip the test where one of these programs is missing."""
    missing = [tool for tool in tools if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")


@contextmanager
def private_bus(**environment: str) -> Iterator[str]:
    """The address of a session bus that is nobody else's. `environment`: what it starts services with."""
    needs("dbus-daemon")
    command = ["dbus-daemon", "--session", "--nofork", "--nopidfile", "--print-address=1"]
    given, quiet = {"PATH": os.environ["PATH"]} | environment, subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True, env=given) as bus:
        assert bus.stdout is not None
        try:
            yield bus.stdout.readline().strip()
        finally:
            bus.terminate()


# --- the monitor's end


def export(kind: Kind, *, made_us: int | None = None, candidates: tuple[bytes, ...] = (), **fields: object) -> bytes:
    """One event in the Journal Export Format. `fields`: bustd's own, without BUSTD_."""
    made_us = time.monotonic_ns() // 1000 if made_us is None else made_us
    named: list[tuple[str, object]] = [
        ("__REALTIME_TIMESTAMP", time.time_ns() // 1000),
        ("__MONOTONIC_TIMESTAMP", made_us),
        ("MESSAGE", kind.name),
        ("MESSAGE_ID", kind.message_id),
        *((f"BUSTD_{name}", value) for name, value in fields.items()),
        *(("BUSTD_CANDIDATE", candidate) for candidate in candidates),
    ]
    return b"".join(_field(name, value) for name, value in named) + b"\n"


def _field(name: str, value: object) -> bytes:
    raw = value if isinstance(value, bytes) else str(value).encode()
    if b"\n" in raw:
        return name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


def warning(*candidates: bytes, short_in_ms: int = 20_000, available: int = 2**30, total: int = 16 * 2**30) -> bytes:
    """That memory will be short. So much is available by it that this machine never has clearly more."""
    return export(
        events.SHORT_SOON,
        candidates=candidates,
        CONDITION="floor",
        SHORT_IN_MS=short_in_ms,
        AVAILABLE_BYTES=available,
        TOTAL_BYTES=total,
    )


class EventSource:
    """The monitor's socket for readers: each that connects is served from the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listening.settimeout(PATIENCE_S)
        self._listening.bind(self.path)
        self._listening.listen(4)
        self._reader: socket.socket | None = None

    def __enter__(self) -> EventSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self._listening.close()

    def accept(self) -> None:
        """Wait for the agent."""
        self._reader, _ = self._listening.accept()

    def hang_up(self) -> None:
        """As a monitor that stops."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def tell(self, event: bytes) -> None:
        """One event."""
        assert self._reader is not None
        self._reader.send(event)


# --- the agent

_PROGRAM = "import sys; from bustd_monitor.cli.notify import notify; sys.exit(notify(sys.argv[1]))"
_NEVER_BACK = "from bustd_monitor.cli.notifying import agent; agent.available_bytes = lambda: 0; "


@contextmanager
def agent(bus: str, events_path: str, runtime: Path, *, is_short: bool = False) -> Iterator[subprocess.Popen[str]]:
    """`bustd notify` with this session bus, these events and this XDG_RUNTIME_DIR. It is ended by SIGTERM.

    `is_short`: it sees a machine on which memory is never back.
    """
    known = {"PATH": os.environ["PATH"], "XDG_RUNTIME_DIR": str(runtime), "DBUS_SESSION_BUS_ADDRESS": bus}
    command = [sys.executable, "-c", (_NEVER_BACK if is_short else "") + _PROGRAM, events_path]
    given = {name: value for name, value in known.items() if value}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=given) as running:
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                try:
                    running.wait(PATIENCE_S)
                finally:
                    running.kill()  # else a failure to end would hang the whole run


def candidate(pid: int, name: bytes, *, uid: int | None = None, ticks: int | None = None, held: int = 2**30) -> bytes:
    """A process as a warning names it; with its own start time and this user, unless others are given."""
    started = start_ticks(pid) if ticks is None else ticks
    return b"%d %d %d %d %s" % (pid, started, os.getuid() if uid is None else uid, held, name)


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
