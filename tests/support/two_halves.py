"""Both halves on one fake kernel: the killer's server and the monitor's dialogue, with nothing real but their code.

Each half runs only when an event says so. So every order of messages, crashes, deadlines and deaths can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

from bustd_killer.checks import Guard, own_pids
from bustd_killer.server import Server
from bustd_monitor.client import Client
from bustd_monitor.config import config_of
from bustd_monitor.dialogue import KillerDialogue
from bustd_monitor.ranking.order import Ranking
from bustd_monitor.ranking.terms import Rules
from bustd_protocol.codec import decode
from bustd_protocol.messages import KillRequest, Scope, Signal
from bustd_shared.rules.protection import Protection
from tests.fakes.kernel import Asleep, Endpoint, Kernel, Listener, Process
from tests.support import in_process
from tests.unit.monitor.making import GIB, candidate, process, reading

KILLER, PARENT, MONITOR, MONITOR_UID = 640, 600, 812, 999
LEAK, MEMBER, NEWCOMER = 4711, 4712, 4713
BURST, INTERVAL_MS, PER_MINUTE, TERM_MS, STUCK_MS = 2, 500, 6, 2000, 5000
PLENTY, SHORT, VERY_SHORT = reading(12 * GIB), reading(0.8 * GIB), reading(0.3 * GIB)
MEMORY = ((SHORT, 5), (VERY_SHORT, 5), (PLENTY, 90))
"""What the monitor reads, and what percentage the killer reads as available."""
_POLICY = in_process.policy(
    peer_uid=MONITOR_UID, burst=BURST, interval_ms=INTERVAL_MS, per_minute=PER_MINUTE, term_ms=TERM_MS,
    stuck_ms=STUCK_MS,
)  # fmt: skip
_CONFIG = config_of({"killer": {"ping_seconds": 3}})
_LONGEST_STEP_MS = 500


class Broken(AssertionError):
    """An invariant does not hold."""


class Halves:
    """The two programs, their kernel, and the processes that can die. `scope`: of what the monitor asks for."""

    def __init__(self, scope: Scope = Scope.PROCESS) -> None:
        self.kernel = Kernel(KILLER, PARENT)
        self.scope = scope
        self.weather = 0
        self.ticks = 100
        self.kills: list[int] = []
        self.begun = 0
        self.life_ms = 0
        self.signals: list[tuple[int, int]] = []
        self.kernel.on_signal = self._signalled
        self.kernel.start(1, uid=0, comm=b"systemd", cgroup="/init.scope")
        self.kernel.start(MONITOR, uid=MONITOR_UID, comm=b"bustd-monitor", cgroup="/bustd-monitor.service")
        self._spawn()

    def start(self) -> None:
        """Both programs are executed; the socket is systemd's, and outlives the killer."""
        self.kernel.listener = Listener(self.kernel)
        self._start_killer()
        self._start_monitor()

    # --- the events

    def hear_as_killer(self) -> None:
        """The killer runs, with one packet more that it can read."""
        self._uncover(self.killer_end())
        self._run_killer()

    def hear_as_monitor(self) -> None:
        """The monitor hears one packet more, or that the killer is gone."""
        link = self.monitor_end()
        if link is not None:
            self._uncover(link)
            self.dialogue.hear()

    def crash_killer(self) -> None:
        """kill -9, and systemd starts it again."""
        for number, what in list(self.kernel.descriptors.items()):
            if isinstance(what, Endpoint) and what.credentials[0] == KILLER:
                if what not in self._listener.backlog:
                    what.close()
            elif not isinstance(what, Endpoint | Listener):
                self.kernel.close(number)
        self._start_killer()

    def crash_monitor(self) -> None:
        """kill -9, and systemd starts it again."""
        link = self.monitor_end()
        if link is not None:
            link.close()
        self._start_monitor()

    def pass_time(self) -> None:
        """To the next deadline of either half; both run then."""
        now_ms, state = self.kernel.now_ms, self.dialogue.driver.state
        asked_ms = [
            self._killer_due_ms,
            self.dialogue.due_ms(),
            self.client.ping_due_ms(_CONFIG.killer.ping_seconds * 1000),
            state.hold_until_ms,
        ]
        due_ms = min((due for due in asked_ms if due is not None and due > now_ms), default=now_ms + _LONGEST_STEP_MS)
        self.kernel.now_ms = min(due_ms, now_ms + 12 * _LONGEST_STEP_MS)
        self._run_killer()
        self._run_monitor()

    def exit(self) -> None:
        """Everything that was signalled exits, and other processes take its place."""
        gone = [pid for pid, one in self.kernel.processes.items() if one.signals]
        for pid in gone:
            self.kernel.exit(pid)
        if gone:
            self._spawn()

    def fork(self) -> None:
        """The group has one process more."""
        if NEWCOMER not in self.kernel.processes:
            self._begin(NEWCOMER)

    def change_weather(self) -> None:
        """Memory is short, very short, or plentiful."""
        self.weather = (self.weather + 1) % len(MEMORY)
        self.kernel.available_percent = MEMORY[self.weather][1]

    # --- what is

    def killer_end(self) -> Endpoint | None:
        """The connection that the killer serves, or will accept next."""
        if self.server._peer is not None:
            link: Any = self.server._peer.link
            return link  # type: ignore[no-any-return]
        backlog = self._listener.backlog
        return backlog[0] if backlog else None

    def monitor_end(self) -> Endpoint | None:
        """The monitor's connection."""
        link: Any = self.client._link
        return link  # type: ignore[no-any-return]

    @property
    def flight(self) -> Any:
        """The kill in flight."""
        return self.server._kills.flight

    @property
    def _listener(self) -> Listener:
        assert self.kernel.listener is not None
        return self.kernel.listener

    def state(self) -> str:
        """What distinguishes it from other states: times count from now, ids and start times by when they appear."""
        now_ms, seen = self.kernel.now_ms, dict[int, int]()
        kills, peer, state = self.server._kills, self.server._peer, self.dialogue.driver.state

        def name(number: int | None) -> int:
            return seen.setdefault(number, len(seen)) if number else -1

        def due(at_ms: int | None) -> int | None:
            return None if at_ms is None else max(at_ms - now_ms, -1)

        def wire(link: Endpoint | None) -> object:
            if link is None:
                return None
            said = [decode(packet) for packet, _ in link.queue]
            return link.visible, link.is_closed, [(type(one).__name__, name(one.id), *_gist(one)) for one in said]

        session, deadlines, flight, ended = (
            self.client._connection.session, self.client._deadlines, kills.flight, kills._ended
        )  # fmt: skip
        monitor = (
            self.client.is_ready, session.phase, [name(one) for one in session[1:]], due(self.client._next_try_ms),
            due(self.client._hello_due_ms), due(deadlines._answer_due_ms), due(deadlines._pong_due_ms),
            due(self.client.ping_due_ms(3000)), state.stage, state.readings, due(state.hold_until_ms),
            state.flight and (name(state.flight.start_ticks), state.flight.signal),
            [name(ticks) for _, ticks in sorted(state.refused)], due(state.claim.until_ms) if state.claim else 0,
            [name(one[1]) for one in state.spared], self.dialogue._is_continuing, self.dialogue._escalation is not None,
            self.dialogue._begun is not None,
        )  # fmt: skip
        killer = (
            peer and (peer._phase, sorted((kind.__name__, name(one)) for kind, one in peer._owed.items())),
            flight and (name(flight.id), name(flight.key[1]), flight.signal, due(flight.deadline_ms),
                        due(flight.looked_ms + 100), len(flight.held), flight.continuations),
            ended and due(kills._ended_ms + 1000) != -1 and name(ended.key[1]),
            due(kills.rate._burst_free_ms), [due(at_ms + 60_000) for at_ms, begun, _ in kills.rate._counted if begun],
            len(self._listener.backlog),
        )  # fmt: skip
        alive = [(pid, name(one.start_ticks), one.signals) for pid, one in self.kernel.processes.items() if pid >= LEAK]
        whole = self.weather, monitor, killer, wire(self.monitor_end()), wire(self.killer_end()), alive
        return repr(whole)

    # --- how they run

    def _start_killer(self) -> None:
        guard = Guard(_POLICY, self.kernel.machine, own_pids(KILLER, PARENT, 0))  # type: ignore[arg-type]
        self.server = Server(guard, lambda *_: None, self._listener, None)  # type: ignore[arg-type]
        self.kills, self.life_ms = [], self.kernel.now_ms
        self._run_killer()

    def _start_monitor(self) -> None:
        self.client = Client("/run/bustd/killer.sock")
        members = SimpleNamespace(of=self._members_of, read=lambda _: [], largest=lambda found, count: found[:count])
        idle = SimpleNamespace(
            due_ms=None, keep=_nothing, hold=_nothing, release=_nothing, release_at=_nothing, drop=_nothing
        )
        self.dialogue = KillerDialogue(
            _CONFIG,
            Rules(_CONFIG.victims, Protection(), 0, -1),
            search=SimpleNamespace(rank=self._rank, watch=_nothing),  # type: ignore[arg-type]
            sensor=SimpleNamespace(read=lambda *_: MEMORY[self.weather][0]),  # type: ignore[arg-type]
            client=self.client,
            members=members,  # type: ignore[arg-type]
            reclaimer=idle,  # type: ignore[arg-type]
            tell=_nothing,
            clock_ns=lambda: self.kernel.now_ms * 1_000_000,
        )
        self._run_monitor()

    def _run_killer(self) -> None:
        self.kernel.turns = 0
        self._killer_due_ms = None
        try:
            raise Broken(f"the killer has ended with {self.server.serve()}")
        except Asleep as asleep:
            if asleep.timeout_ms is not None:
                self._killer_due_ms = self.kernel.now_ms + asleep.timeout_ms

    def _run_monitor(self) -> None:
        now_ms = self.kernel.now_ms
        self.dialogue.keep(now_ms)
        self.dialogue.driver.read(MEMORY[self.weather][0], now_ms)
        self.dialogue.ping(now_ms)
        for link in (self.monitor_end(), self.killer_end()):
            if link is not None and link.visible is None:
                link.visible = 0

    @staticmethod
    def _uncover(link: Endpoint | None) -> None:
        if link is not None:
            link.visible = min((link.visible or 0) + 1, max(len(link.queue), 1))

    # --- the machine

    def _spawn(self) -> None:
        for pid in (LEAK, MEMBER):
            if pid not in self.kernel.processes:
                self._begin(pid)

    def _begin(self, pid: int) -> None:
        self.ticks += 1
        self.kernel.start(pid, start_ticks=self.ticks, group=LEAK, cgroup="/a.service")

    def _rank(self, _terms: object, refused: frozenset[tuple[int, int]], _now_ms: int) -> Ranking:
        found = self.kernel.processes[LEAK]
        if (LEAK, found.start_ticks) in refused:
            return Ranking((), ())
        grows = process(LEAK, start_ticks=found.start_ticks, gained_bytes=GIB)
        return Ranking((candidate(LEAK)._replace(process=grows, scope=self.scope),), ())

    def _members_of(self, _process: object, scope: Scope) -> SimpleNamespace:
        def listed() -> list[tuple[int, int]]:
            pids = [pid for pid in (MEMBER, NEWCOMER) if pid in self.kernel.processes]
            return [(pid, self.kernel.processes[pid].start_ticks) for pid in pids if scope is not Scope.PROCESS]

        return SimpleNamespace(listed=listed)

    # --- what must hold at each signal

    def _signalled(self, found: Process, number: int) -> None:
        if not number:
            return
        self.signals.append((found.pid, number))
        flight = self.flight
        held = {pid for pid, _ in flight.held} if flight is not None else set()
        if found.pid in held:
            if number != Signal.KILL:
                raise Broken("a second SIGTERM")
            return
        request = self._last_request()
        if request is None:
            raise Broken("a kill without a request of this session")
        if flight is not None:
            if (request.pid, request.start_ticks) != flight.key:
                raise Broken("two kills in flight")
        elif found.pid == request.pid and found.start_ticks == request.start_ticks:
            self._count_a_kill()
        elif found.pid == request.pid:
            raise Broken("another process than the one that was asked for")

    def _last_request(self) -> KillRequest | None:
        """What the peer of the killer has asked last, in this session."""
        link = self.killer_end()
        assert link is not None and link.other is not None
        said = [decode(packet) for packet in link.received]
        requests = [message for message in said if isinstance(message, KillRequest)]
        return requests[-1] if requests else None

    def _count_a_kill(self) -> None:
        now_ms = self.kernel.now_ms
        self.kills.append(now_ms)
        self.begun += 1
        in_a_minute = [at_ms for at_ms in self.kills if at_ms > now_ms - 60_000]
        most = PER_MINUTE if now_ms - self.life_ms >= 60_000 else PER_MINUTE - PER_MINUTE // 2
        at_once = [at_ms for at_ms in self.kills if at_ms > now_ms - INTERVAL_MS]
        if len(in_a_minute) > most or len(at_once) > BURST:
            raise Broken("the rate is above its limit")
        if now_ms < self.life_ms + len(self.kills) * INTERVAL_MS:
            raise Broken("the burst is not empty after a start")


@contextmanager
def halves(scope: Scope = Scope.PROCESS, deeds: tuple[Callable[[Halves], None], ...] = ()) -> Iterator[Halves]:
    """Both halves, after these events."""
    made = Halves(scope)
    with made.kernel.installed((MONITOR, MONITOR_UID)):
        made.start()
        for deed in deeds:
            deed(made)
        yield made


def _gist(message: object) -> tuple[object, ...]:
    """What counts of a message beside its id."""
    fields = ("reason", "fate", "signal", "flight_signal", "farewell")
    return tuple(getattr(message, field) for field in fields if hasattr(message, field))


def _nothing(*_: object) -> None:
    pass
