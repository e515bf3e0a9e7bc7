"""The killer's whole loop over a fake kernel: the bytes are what peers, processes and the clock do. Any may be hostile.

The kernel knows what is true, so it judges each signal by itself: none that a check forbids may be sent.
"""

from __future__ import annotations

from types import SimpleNamespace

from bustd_killer.checks import Guard, own_pids
from bustd_killer.server import Server
from bustd_protocol import limits
from bustd_protocol.codec import encode
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Bye, Farewell, KillRequest, MonitorHello, Ping, Scope, Signal
from bustd_shared.daemon.lines import Lines
from bustd_shared.rules.protection import Protection
from tests.fakes.kernel import GIB_KIB, Endpoint, Kernel, Listener, Process
from tests.support import in_process

KILLER, PARENT, MONITOR = 640, 600, 812
MONITOR_UID, OTHER_UID, PROTECTED_UID = 999, 1001, 500
_UNTOUCHABLE = {1, KILLER, PARENT, MONITOR}
_KERNEL_THREAD = 0x00200000
_SIGNALS = {0, 9, 15, 18}
_SSHD = "/system.slice/sshd.service"
_SERVICE = "/system.slice/web.service"
_NAMES = (1, 2, PARENT, KILLER, MONITOR, 4711, 4712, 4713, 4714, 5000, 5001, 5002, 5003, 6000, 6001, 7777)
_GARBLED = ("stat", "status", "oom_score_adj", "cgroup", "statm", "oom_score")
_DURATIONS_MS = (0, 1, 20, 99, 100, 499, 500, 1000, 1999, 2000, 2001, 5000, 10_000, 60_000, 100_000, 1)
_PROTECTION = Protection(("sshd.service",), (PROTECTED_UID,), (b"precious",), (b"systemd",))
_POLICY = in_process.policy(peer_uid=MONITOR_UID, hierarchy="/sys/fs/cgroup", protection=_PROTECTION)
_LONGEST_LINE = 4096


class Tape:
    """The bytes, from which decisions are taken one after the other; 0 after the last."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def __bool__(self) -> bool:
        return self.at < len(self.data)

    def byte(self) -> int:
        """The next."""
        self.at += 1
        return self.data[self.at - 1] if self.at <= len(self.data) else 0

    def some(self, count: int) -> bytes:
        """The next, at most so many."""
        self.at += count
        return self.data[self.at - count : self.at]


class World:
    """A killer on a machine that is short of memory, and what is done to it."""

    def __init__(self) -> None:
        self.kernel = kernel = Kernel(KILLER, PARENT)
        for pid, comm in ((1, b"systemd"), (PARENT, b"sh"), (KILLER, b"bustd-killer"), (2, b"kthreadd")):
            kernel.start(pid, uid=0, comm=comm, cgroup="/init.scope", held_kib=GIB_KIB)
        kernel.processes[2].flags |= _KERNEL_THREAD
        kernel.start(MONITOR, uid=MONITOR_UID, comm=b"bustd-monitor", cgroup="/system.slice/bustd-monitor.service")
        for pid in (4711, 4712, 4713, 4714):
            kernel.start(pid, group=4711 if pid < 4714 else 4700, cgroup=_SERVICE, start_ticks=pid)
        kernel.start(5000, uid=0, comm=b"sshd", cgroup=_SSHD)
        kernel.start(5001, held_kib=4)
        kernel.start(5002, adj=-1000)
        kernel.start(5003, uid=PROTECTED_UID)
        kernel.start(6000, comm=b"deaf", start_ticks=6000)
        kernel.start(6001, comm=b"stuck", start_ticks=6001, state=b"T")
        kernel.on_signal = self.signalled
        self.link: Endpoint | None = None
        self.said: set[tuple[int, int]] = set()
        self.request: KillRequest | None = None
        self.kills_ms: list[int] = []
        self.ticks = 10_000

    def start(self) -> None:
        """The killer is executed."""
        kernel = self.kernel
        kernel.listener = Listener(kernel)
        log = Lines("bustd-killer", link=SimpleNamespace(send_now=self.logged))  # type: ignore[arg-type]
        guard = Guard(_POLICY, kernel.machine, own_pids(KILLER, PARENT, 0))  # type: ignore[arg-type]
        self.server = Server(guard, log, kernel.listener, None)  # type: ignore[arg-type]
        self.own = set(kernel.descriptors)

    # --- what is judged

    def logged(self, record: bytes) -> int:
        """A line of the log."""
        line = record.decode()
        assert line.endswith("\n") and line[:-1].isprintable() and len(record) <= _LONGEST_LINE, record
        return len(record)

    def signalled(self, process: Process, number: int) -> None:
        """What a signal must be, whatever was said."""
        assert number in _SIGNALS
        if not number:
            return
        kills, request = self.server._kills, self.request
        flight = kills.flight
        assert process.pid not in _UNTOUCHABLE and not process.flags & _KERNEL_THREAD, process
        assert (process.pid, process.start_ticks) in self.said, "a process dies that was not asked for"
        held = {pid for pid, _ in flight.held} if flight is not None else set()
        if process.pid not in held:
            self.begins(process, number, request)
        elif number == Signal.KILL and Signal.KILL not in process.signals:  # a continuation may name it again
            assert self.is_short, "SIGTERM became SIGKILL on a machine that is not short"

    def begins(self, process: Process, number: int, request: KillRequest | None) -> None:
        """A signal to what is not in flight: it was asked for just now."""
        kills = self.server._kills
        key = (request.pid, request.start_ticks) if request is not None else None
        assert request is not None
        is_unreadable = bool(process.garbage)
        assert is_unreadable or (process.adj > -1000 and process.uid != PROTECTED_UID and process.cgroup != _SSHD)
        if kills.flight is not None:
            assert kills.flight.key == key, "two kills in flight"
            return
        assert self.is_short, "a kill on a machine that is not short"
        if process.pid == request.pid and number != 18:
            assert number == request.signal
            self.kills_ms.append(self.kernel.now_ms)
            for count in (4, 6, 10, 61):
                if len(self.kills_ms) >= count:
                    least = 60_000 if count == 61 else (count - 3) * _POLICY.interval_ms
                    assert self.kills_ms[-1] - self.kills_ms[-count] >= least, "the rate is above its limit"

    @property
    def is_short(self) -> bool:
        """By what the killer can read."""
        return self.kernel.available_percent is not None and self.kernel.available_percent <= 40

    def settled(self) -> None:
        """What holds whenever the killer sleeps."""
        peer, flight = self.server._peer, self.server._kills.flight
        expected = set(self.own)
        if peer is not None:
            expected.add(peer.link.fileno())
        if flight is not None:
            assert flight.held, "a kill of nothing is in flight"
            expected |= {pidfd for _, pidfd in flight.held}
        theirs = {number for number, what in self.kernel.descriptors.items() if isinstance(what, Endpoint)}
        assert set(self.kernel.descriptors) - theirs == expected - theirs, "a descriptor is left open"

    # --- what is done

    def connect(self, tape: Tape) -> None:
        uid = OTHER_UID if tape.byte() & 1 else MONITOR_UID
        link = self.kernel.socket(MONITOR if uid == MONITOR_UID else 7000, uid)
        try:
            self.kernel.connect(link)
        except ConnectionRefusedError:
            link.close()
            return
        if self.link is None or self.link.is_closed:
            self.link = link

    def send(self, packet: bytes, *, has_ancillary: bool = False) -> None:
        if self.link is None or self.link.is_closed:
            return
        self.link.queue.clear()
        try:
            self.link.send(packet, has_ancillary=has_ancillary)
        except OSError:
            self.link.close()

    def say_bytes(self, tape: Tape) -> None:
        length = tape.byte()
        self.send(tape.some(length), has_ancillary=length == 255)

    def say_hello(self, tape: Tape) -> None:
        low, high = ((2, 2), (1, 3), (2, 2), (3, 4))[tape.byte() & 3]
        self.send(encode(MonitorHello(1 + tape.byte(), low, high, MONITOR)))

    def ping(self, tape: Tape) -> None:
        self.send(encode(Ping(1 + tape.byte())))

    def leave(self, tape: Tape) -> None:
        if tape.byte() & 1:
            self.send(encode(Bye(0, Farewell.SHUTDOWN)))
        elif self.link is not None:
            self.link.close()

    def ask(self, tape: Tape) -> None:
        kind, who, count = tape.byte(), tape.byte(), tape.byte() & 3
        members = [self.named(tape.byte()) for _ in range(count)]
        pid, ticks = self.named(who)
        signal = Signal.KILL if kind & 1 else Signal.TERM
        scope = (Scope.PROCESS, Scope.GROUP, Scope.CGROUP, Scope.GROUP)[kind >> 1 & 3]
        claimed = (0, 2**30, 2**62, 2**24)[kind >> 3 & 3]
        comm = b"leak" if kind & 32 else tape.some(8)
        self.request = KillRequest(1 + tape.byte(), pid, ticks, 1000, comm, claimed, signal, scope, b"floor\n", 1,
                                   packed_members(members))  # fmt: skip
        self.said |= {(pid, ticks), *members}
        self.send(encode(self.request))

    def named(self, byte: int) -> tuple[int, int]:
        """A process as the monitor names it: rightly, or with another start time."""
        pid = _NAMES[byte & 15]
        found = self.kernel.processes.get(pid)
        return pid, (found.start_ticks if found is not None else 1) + (byte & 16)

    def pass_time(self, tape: Tape) -> None:
        """Nothing wakes the killer earlier than its own deadlines, nor later."""
        until_ms = self.kernel.now_ms + _DURATIONS_MS[tape.byte() & 15]
        while self.kernel.now_ms < until_ms:
            due_ms = self.server._kills.due_ms()
            step_ms = until_ms - self.kernel.now_ms
            if due_ms is not None and due_ms > self.kernel.now_ms:
                step_ms = min(step_ms, due_ms - self.kernel.now_ms)
            self.kernel.now_ms += step_ms
            self.run()

    def die(self, tape: Tape) -> None:
        pid = _NAMES[tape.byte() & 15]
        if pid not in _UNTOUCHABLE:
            self.kernel.exit(pid)

    def obey(self, _tape: Tape) -> None:
        """Every process that was signalled does as it is told, except the deaf and the stuck one."""
        for pid, process in list(self.kernel.processes.items()):
            is_killed, is_asked = 9 in process.signals, 15 in process.signals
            if (is_killed and pid != 6001) or (is_asked and pid not in (6000, 6001)):
                self.kernel.exit(pid)

    def reuse(self, tape: Tape) -> None:
        """Its number is another process's now."""
        pid = _NAMES[tape.byte() & 15]
        if pid not in _UNTOUCHABLE and pid != 2:
            self.ticks += 1
            self.kernel.start(pid, start_ticks=self.ticks, comm=tape.some(4), cgroup=_SSHD if pid == 5000 else _SERVICE)

    def change(self, tape: Tape) -> None:
        """A process is another user's, hides, is renamed, gives its memory back, or can't be signalled."""
        process, what = self.kernel.processes.get(_NAMES[tape.byte() & 15]), tape.byte()
        if process is None:
            return
        process.is_hidden = what & 7 == 1
        process.has_memory = what & 7 != 2
        process.comm = tape.some(15) if what & 7 == 3 else process.comm
        process.state = b"Z" if what & 7 == 4 else b"S"
        if what & 7 == 5 and process.pid not in (5000, 5002, 5003):
            process.adj = -1000 if what & 8 else 0
        if what & 7 == 6:
            self.kernel.not_permitted ^= {process.pid}

    def garble(self, tape: Tape) -> None:
        process, which = self.kernel.processes.get(_NAMES[tape.byte() & 15]), tape.byte()
        if process is not None:
            process.garbage[_GARBLED[which % len(_GARBLED)]] = tape.some(which >> 3)

    def heal(self, _tape: Tape) -> None:
        for process in self.kernel.processes.values():
            process.garbage.clear()

    def make_short(self, tape: Tape) -> None:
        self.kernel.available_percent = (5, 40, 41, None)[tape.byte() & 3]

    def turn_deaf(self, tape: Tape) -> None:
        if self.link is not None:
            self.link.is_deaf = bool(tape.byte() & 1)

    def mark_group(self, tape: Tape) -> None:
        self.kernel.oom_groups ^= {f"/sys/fs/cgroup{(_SERVICE, '/system.slice', _SSHD)[tape.byte() % 3]}"}

    def run(self) -> None:
        code = self.kernel.run(self.server.serve)
        assert code is None, f"the killer has ended with {code}"
        self.settled()


DEEDS = (
    World.connect, World.say_hello, World.ask, World.ask, World.ask, World.pass_time, World.pass_time, World.obey,
    World.ping, World.say_bytes, World.leave, World.die, World.reuse, World.change, World.garble, World.make_short,
    World.turn_deaf, World.mark_group, World.heal,
)  # fmt: skip


def serve(data: bytes) -> None:
    """Do what the bytes say, and let the killer run after each deed."""
    tape, world = Tape(data), World()
    with world.kernel.installed():
        world.start()
        world.connect(Tape(b"\0"))
        world.kernel.now_ms += 60_000  # its burst is whole
        world.run()
        while tape:
            DEEDS[tape.byte() % len(DEEDS)](world, tape)
            world.run()


assert limits.VERSION == 2, "say_hello has the versions"
