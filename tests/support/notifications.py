"""What `bustd notify` meets: a bus of the test's own, a notification server on it, the monitor's events, the agent."""

from __future__ import annotations

import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from bustd_monitor.reporting import events
from bustd_monitor.reporting.events import Kind

jeepney = pytest.importorskip("jeepney", reason="the Python package jeepney is not installed")
from jeepney import HeaderFields, MessageType, message_bus, new_error, new_method_return, new_signal  # noqa: E402
from jeepney.io.blocking import open_dbus_connection  # noqa: E402

SERVER = "org.freedesktop.Notifications"
ADDRESS = jeepney.DBusAddress("/org/freedesktop/Notifications", bus_name=SERVER, interface=SERVER)
EVERYTHING = ("actions", "body", "body-markup")
PATIENCE_S = 20
"""Nothing is expected to take this long."""


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


class Shown(NamedTuple):
    """A call of Notify, and the id that was given."""

    note_id: int
    replaces_id: int
    summary: str
    body: str
    actions: list[str]
    urgency: int

    @property
    def buttons(self) -> dict[str, str]:
        """Label to key."""
        return dict(zip(self.actions[1::2], self.actions[::2], strict=True))


class FakeServer:
    """A notification server that tells the test everything, in a thread of its own."""

    def __init__(self, address: str, capabilities: tuple[str, ...] = EVERYTHING, *, hangs: bool = False) -> None:
        self._address, self._client = address, ""
        self._link = open_dbus_connection(address)
        self._capabilities = list(capabilities)
        self.shown: queue.Queue[Shown] = queue.Queue()
        self.closed: queue.Queue[int] = queue.Queue()
        self._last_id = 0
        self._is_over = threading.Event()
        self._answers = threading.Event()
        if not hangs:
            self._answers.set()
        self._link.send_and_get_reply(message_bus.RequestName(SERVER, 4))
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> FakeServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._answers.set()
        self._thread.join()
        self._link.close()

    def wake_up(self) -> None:
        """Answer from now on, first what has come before."""
        self._answers.set()

    def next(self) -> Shown:
        """The next call of Notify."""
        return self.shown.get(timeout=PATIENCE_S)

    def press(self, note_id: int, key: str) -> None:
        """As if the user pressed a button."""
        self._link.send(new_signal(ADDRESS, "ActionInvoked", "us", (note_id, key)))

    def press_as_another(self, note_id: int, key: str) -> None:
        """As if another program of the session said that the user pressed a button, to the agent itself."""
        signal_ = new_signal(ADDRESS, "ActionInvoked", "us", (note_id, key))
        signal_.header.fields[HeaderFields.destination] = self._client
        with open_dbus_connection(self._address) as another:
            another.send(signal_)
            another.send_and_get_reply(message_bus.GetId())  # the bus has passed it on

    def dismiss(self, note_id: int) -> None:
        """As if the user closed it."""
        self._link.send(new_signal(ADDRESS, "NotificationClosed", "uu", (note_id, 2)))

    def _serve(self) -> None:
        while not self._is_over.is_set():
            self._answers.wait()
            try:
                message = self._link.receive(timeout=0.05)
            except TimeoutError:
                continue
            except OSError:
                return
            if message.header.message_type is MessageType.method_call:
                self._answer(message)

    def _answer(self, call) -> None:
        member = call.header.fields[HeaderFields.member]
        self._client = call.header.fields[HeaderFields.sender]
        if member == "GetCapabilities":
            self._link.send(new_method_return(call, "as", (self._capabilities,)))
        elif member == "Notify":
            _, replaces_id, _, summary, body, actions, hints, _ = call.body
            self._last_id += not replaces_id
            note_id = replaces_id or self._last_id
            self._link.send(new_method_return(call, "u", (note_id,)))
            self.shown.put(Shown(note_id, replaces_id, summary, body, actions, hints["urgency"][1]))
        elif member == "CloseNotification":
            self.closed.put(call.body[0])
            self._link.send(new_method_return(call))
        else:
            self._link.send(new_error(call, "org.freedesktop.DBus.Error.UnknownMethod"))


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
                running.wait(PATIENCE_S)


def candidate(pid: int, name: bytes, *, uid: int | None = None, ticks: int | None = None, held: int = 2**30) -> bytes:
    """A process as a warning names it; with its own start time and this user, unless others are given."""
    started = start_ticks(pid) if ticks is None else ticks
    return b"%d %d %d %d %s" % (pid, started, os.getuid() if uid is None else uid, held, name)


def start_ticks(pid: int) -> int:
    """Field 22 of /proc/PID/stat."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
