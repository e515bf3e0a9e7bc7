"""A kernel in memory, on which the killer's whole loop runs: processes, pidfds, sockets, poll and a clock.

`installed` puts it in the place of what the killer (and the monitor's client) imports. Nothing real is touched, and no
time passes but by `now_ms`. A loop that would sleep is stopped by `Asleep` and can be run again.
"""

from __future__ import annotations

import errno
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

from bustd_killer import aim, facts, flight, rehearsal, server
from bustd_monitor import client
from bustd_monitor.sensing import contents
from bustd_shared.kernel import process, procfs
from tests.fakes.procfs import stat_line, status_text

GIB_KIB = 2**20
TOTAL_KIB = 16 * GIB_KIB
_MOST_TURNS = 200
_QUEUE = 250
_UCRED = struct.Struct("iII")


class Asleep(BaseException):
    """The loop sleeps: nothing is ready. Its deadline, in milliseconds from now, or None."""

    def __init__(self, timeout_ms: int | None) -> None:
        super().__init__(timeout_ms)
        self.timeout_ms = timeout_ms


@dataclass
class Process:
    """What /proc shows of one, and the signals that it has received."""

    pid: int
    start_ticks: int = 5
    uid: int = 1000
    comm: bytes = b"leak"
    held_kib: int = GIB_KIB
    cgroup: str = "/user.slice/user-1000.slice/user@1000.service/app.slice/leak.scope"
    group: int = 0
    parent: int = 1
    flags: int = 0x400000
    adj: int = 0
    state: bytes = b"S"
    has_memory: bool = True
    is_hidden: bool = False
    signals: list[int] = field(default_factory=list)
    garbage: dict[str, bytes] = field(default_factory=dict)

    def file(self, name: str) -> bytes | None:
        """A file of /proc/PID."""
        if self.is_hidden:
            return None
        if name in self.garbage:
            return self.garbage[name]
        if name == "stat":
            return stat_line(self.pid, self.comm, state=self.state, parent=self.parent, group=self.group or self.pid,
                             flags=self.flags, start_ticks=self.start_ticks)  # fmt: skip
        if name == "status":
            held = self.held_kib if self.has_memory else None
            return status_text(self.comm, tgid=self.pid, uid=self.uid, anonymous_kib=held)
        pages = self.held_kib // 4 if self.has_memory else 0
        return {
            "oom_score_adj": b"%d\n" % self.adj,
            "oom_score": b"%d\n" % (666 if self.has_memory else 0),
            "cgroup": b"0::" + self.cgroup.encode() + b"\n",
            "statm": b"%d %d 0 0 0 0 0\n" % (pages, pages),
        }.get(name)


class Endpoint:
    """One end of a connected SOCK_SEQPACKET socket.

    `visible`: how many packets may be read now; None: all. `received`: those that were read.
    """

    def __init__(self, kernel: Kernel, pid: int, uid: int) -> None:
        self.kernel, self.credentials = kernel, (pid, uid, 0)
        self.other: Endpoint | None = None
        self.queue: deque[tuple[bytes, bool]] = deque()
        self.received: list[bytes] = []
        self.visible: int | None = None
        self.is_closed = self.is_deaf = False
        self.descriptor = kernel.open(self)

    def is_ready(self) -> bool:
        """Whether a read would not block."""
        if self.queue:
            return self.visible is None or self.visible > 0
        return self.other is None or self.other.is_closed

    def fileno(self) -> int:
        return self.descriptor

    def setblocking(self, _flag: bool) -> None:
        pass

    def getsockopt(self, *_: int) -> bytes:
        assert self.other is not None
        return _UCRED.pack(*self.other.credentials)

    def receive_packet(self, most_bytes: int) -> tuple[bytes, bool, bool]:
        """As Socket has it."""
        assert not self.is_closed
        if not self.is_ready():
            raise BlockingIOError(errno.EAGAIN, "nothing")
        if not self.queue:
            return b"", False, False
        if self.visible is not None:
            self.visible -= 1
        packet, has_ancillary = self.queue.popleft()
        self.received.append(packet)
        return packet[:most_bytes], len(packet) > most_bytes, has_ancillary

    def send(self, packet: bytes, _flags: int = 0, *, has_ancillary: bool = False) -> int:
        """As socket.send with MSG_DONTWAIT."""
        assert not self.is_closed
        if self.other is None or self.other.is_closed:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        if self.other.is_deaf or len(self.other.queue) >= _QUEUE:
            raise BlockingIOError(errno.EAGAIN, "full")
        self.other.queue.append((packet, has_ancillary))
        return len(packet)

    def send_now(self, packet: bytes) -> int:
        """As Socket has it."""
        return self.send(packet)

    def connect(self, path: str) -> None:
        """To whatever listens."""
        self.kernel.connect(self, path)

    def close(self) -> None:
        """Hang up."""
        if not self.is_closed:
            self.is_closed = True
            self.kernel.close(self.descriptor)


class Listener:
    """A listening socket."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.backlog: deque[Endpoint] = deque()
        self.descriptor = kernel.open(self)

    def is_ready(self) -> bool:
        """Whether accept would not block."""
        return bool(self.backlog)

    def fileno(self) -> int:
        return self.descriptor

    def accept(self) -> Endpoint:
        """The next connection."""
        return self.backlog.popleft()


class Pidfd:
    """Holds a process, whatever its number is given to later."""

    def __init__(self, of: Process, kernel: Kernel) -> None:
        self.process, self.kernel = of, kernel

    def is_ready(self) -> bool:
        """Whether it has exited."""
        return self.kernel.processes.get(self.process.pid) is not self.process


class _Poll:
    """select.poll; `sleeps`: whether it stands for the sleep of a loop."""

    def __init__(self, kernel: Kernel, *, sleeps: bool) -> None:
        self.kernel, self.sleeps = kernel, sleeps
        self.descriptors: list[int] = []

    def register(self, descriptor: int, _events: int) -> None:
        assert descriptor in self.kernel.descriptors, "a descriptor is polled that is closed"
        self.descriptors.append(descriptor)

    def poll(self, timeout_ms: int | None = None) -> list[tuple[int, int]]:
        ready = [(one, 1) for one in self.descriptors if self.kernel.descriptors[one].is_ready()]
        if self.sleeps and not ready and timeout_ms != 0:
            raise Asleep(timeout_ms)
        self.kernel.turns += self.sleeps
        assert self.kernel.turns < _MOST_TURNS, "the loop does not sleep"
        return ready


class Kernel:
    """`on_signal` is called before each signal that is sent, also 0. `machine` is what the killer reads memory from."""

    def __init__(self, killer_pid: int, parent_pid: int, now_ms: int = 10_000_000) -> None:
        self.now_ms = now_ms
        self.processes: dict[int, Process] = {}
        self.descriptors: dict[int, Any] = {}
        self.oom_groups: set[str] = set()
        self.listener: Listener | None = None
        self.available_percent: int | None = 5
        self.not_permitted: set[int] = set()
        self.on_signal: Callable[[Process, int], None] = lambda *_: None
        self.turns = 0
        self._next = 100
        self._own = (killer_pid, parent_pid)
        self.machine = SimpleNamespace(read=self._memory)

    # --- what a test does

    def start(self, pid: int, **what: Any) -> Process:
        """A process begins; one that had its number has exited."""
        self.processes[pid] = Process(pid, **what)
        return self.processes[pid]

    def exit(self, pid: int) -> None:
        """It is gone, and was waited for."""
        self.processes.pop(pid, None)

    def socket(self, pid: int, uid: int) -> Endpoint:
        """A socket of a process, not connected."""
        return Endpoint(self, pid, uid)

    def connect(self, ours: Endpoint, _path: str = "") -> None:
        """Into the backlog of what listens."""
        if self.listener is None or len(self.listener.backlog) >= 8:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        theirs = Endpoint(self, self._own[0], 0)
        ours.other, theirs.other = theirs, ours
        self.listener.backlog.append(theirs)

    def run(self, loop: Callable[[], int]) -> int | None:
        """Run a loop until it sleeps: None, or its exit code."""
        self.turns = 0
        try:
            return loop()
        except Asleep:
            return None

    # --- descriptors

    def open(self, what: Any) -> int:
        """A number for it."""
        self._next += 1
        self.descriptors[self._next] = what
        return self._next

    def close(self, descriptor: int) -> None:
        """Of an open one."""
        assert descriptor in self.descriptors, "a descriptor is closed twice"
        del self.descriptors[descriptor]

    # --- what the killer calls

    def _memory(self) -> procfs.Meminfo | None:
        if self.available_percent is None:
            return None
        available = TOTAL_KIB * self.available_percent // 100
        lines = (("MemTotal", TOTAL_KIB), ("MemFree", available), ("MemAvailable", available),
                 ("AnonPages", TOTAL_KIB - available))  # fmt: skip
        return procfs.parse_meminfo(b"".join(b"%s: %d kB\n" % (name.encode(), kib) for name, kib in lines))

    def _read_file(self, path: str, *_how: object, **_more: object) -> bytes | None:
        if path.endswith("/memory.oom.group"):
            return b"1\n" if path.removesuffix("/memory.oom.group") in self.oom_groups else b"0\n"
        _, proc, pid, *rest = path.split("/")
        assert proc == "proc", f"{path} is read"
        found = self.processes.get(int(pid))
        return None if found is None else found.file(rest[-1])

    def _listdir(self, path: str) -> list[str]:
        pid = path.split("/")[2]
        if int(pid) not in self.processes:
            raise FileNotFoundError(errno.ENOENT, path)
        return [pid]

    def _exists(self, path: str) -> bool:
        found = self.processes.get(int(path.split("/")[2]))
        return found is not None and not found.is_hidden

    def _pidfd_open(self, pid: int) -> int:
        found = self.processes.get(pid)
        if found is None:
            raise ProcessLookupError(errno.ESRCH, "No such process")
        return self.open(Pidfd(found, self))

    def _pidfd_send_signal(self, descriptor: int, number: int) -> None:
        held = self.descriptors[descriptor]
        if held.is_ready():
            raise ProcessLookupError(errno.ESRCH, "No such process")
        if held.process.pid in self.not_permitted:
            raise PermissionError(errno.EPERM, "Operation not permitted")
        self.on_signal(held.process, int(number))
        if number:
            held.process.signals.append(int(number))

    @contextmanager
    def installed(self, monitor: tuple[int, int] = (0, 0)) -> Iterator[None]:
        """In the place of the real one. `monitor`: PID and uid of what the client's sockets belong to."""
        calls = {
            "pidfd_open": self._pidfd_open,
            "close": self.close,
            "listdir": self._listdir,
            "path": SimpleNamespace(exists=self._exists),
            "getpid": lambda: self._own[0],
            "getppid": lambda: self._own[1],
            "pipe2": lambda _flags: (self.open(_NEVER), self.open(_NEVER)),
        }
        system = SimpleNamespace(**_CONSTANTS, **calls)
        asks = SimpleNamespace(poll=lambda: _Poll(self, sleeps=False), POLLIN=1)
        sleeps = SimpleNamespace(poll=lambda: _Poll(self, sleeps=True), POLLIN=1)
        clock = SimpleNamespace(monotonic_ns=lambda: self.now_ms * 1_000_000)
        places: list[tuple[ModuleType, dict[str, Any]]] = [
            (server, {"os": system, "select": sleeps, "time": clock, "set_wakeup_fd": _nothing, "on_signal": _nothing}),
            (facts, {"os": system, "select": asks, "read_file": self._read_file}),
            (process, {"os": system, "read_file": self._read_file}),
            (flight, {"os": system, "pidfd_send_signal": self._pidfd_send_signal}),
            (aim, {"os": system, "read_file": self._read_file}),
            (rehearsal, {"os": system}),
            (contents, {"read_file": self._read_file}),
            (client, {"select": asks, "Socket": lambda *_: self.socket(*monitor)}),
        ]
        before = [(module, {name: getattr(module, name) for name in names}) for module, names in places]
        _put(places)
        try:
            yield
        finally:
            _put(before)


_CONSTANTS = {name: getattr(os, name) for name in dir(os) if name.startswith("O_")}
_NEVER = SimpleNamespace(is_ready=lambda: False)


def _nothing(*_: object, **__: object) -> None:
    pass


def _put(places: list[tuple[ModuleType, dict[str, Any]]]) -> None:
    for module, names in places:
        for name, value in names.items():
            setattr(module, name, value)
