"""The killer's one loop: one peer, one request at a time. It never guesses, and never waits for its peer."""

from __future__ import annotations

import os
import select
import signal
import time

from bustd_protocol import limits
from bustd_protocol.errors import LocalProtocolError, RemoteProtocolError
from bustd_protocol.messages import Bye, Farewell, KillerHello, KillRequest, MonitorHello, Ping, Pong
from bustd_shared.daemon.log import Log
from bustd_shared.daemon.packets import Socket
from bustd_shared.rules.killer_toml import minimum_bytes

from . import rehearsal
from .checks import Guard
from .flight import Kills
from .lockdown import Unable
from .peer import Disconnected, Peer, credentials

EXIT_STOPPED, EXIT_MONITOR_GONE = 0, 70


class Server:
    """Serves one monitor after another from `listener`, or the one `peer` of a socketpair."""

    def __init__(self, guard: Guard, log: Log, listener: Socket | None, peer: Peer | None) -> None:
        self._guard = guard
        self._log = log
        self._listener = listener
        self._peer = peer
        self._kills = Kills()
        self._stopping = False
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def serve(self) -> int:
        """Run until told to stop (0), or until the monitor of a socketpair is gone and the kill in flight over (70)."""
        while True:
            ready = self._wait()
            # Ask the flag, not the descriptor: ctrl-C ends the monitor too, and its end of file may have woken us.
            if self._stopping:
                self._say_goodbye()
                return EXIT_STOPPED
            self._follow_kill()
            if self._peer is not None and self._peer.link.fileno() in ready:
                self._hear(self._peer)
            elif self._listener is not None and self._listener.fileno() in ready:
                self._accept(self._listener)
            self._drop_a_silent_peer()
            if self._listener is None and self._peer is None and self._kills.flight is None:
                return EXIT_MONITOR_GONE

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self) -> set[int]:
        """Sleep until a descriptor is ready or a deadline has come; without a deadline there is no other wake-up."""
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        deadlines = []
        if self._peer is not None:
            poll.register(self._peer.link.fileno(), select.POLLIN)
            if not self._peer.has_said_hello and self._listener is not None:
                deadlines.append(self._peer.accepted_ms + limits.HELLO_DEADLINE_MS)
        elif self._listener is not None:
            poll.register(self._listener.fileno(), select.POLLIN)
        if self._kills.flight is not None:
            deadlines.append(self._kills.flight.deadline_ms)
            for pidfd in self._kills.flight.pidfds:
                poll.register(pidfd, select.POLLIN)
        timeout = max(0, min(deadlines) - _now_ms()) if deadlines else None
        return {descriptor for descriptor, _ in poll.poll(timeout)}

    def _follow_kill(self) -> None:
        """Report the end of the kill in flight to a monitor that knows of it."""
        ending = self._kills.follow(_now_ms(), self._guard.config)
        if ending is None:
            return
        self._log(ending.sentence)
        if ending.exited is not None and self._peer is not None and self._peer.awaits_exit:
            try:
                self._peer.send(ending.exited)
            except Disconnected as error:
                self._hang_up(f"the monitor {self._peer.pid} is gone: {error}")

    def _answer(self, peer: Peer, request: KillRequest, received_ns: int) -> None:
        """The signal, then the verdict, and only then the log and the victim's memory."""
        verdict, sentence = self._kills.answer(request, self._guard, _now_ms())
        try:
            peer.send(verdict._replace(latency_us=(time.monotonic_ns() - received_ns) // 1000))
        finally:
            self._log(sentence)
            self._kills.release_memory()

    def _accept(self, listener: Socket) -> None:
        """Check 1: the peer's uid. A second monitor waits in the backlog while the first is served."""
        try:
            link = listener.accept()
        except OSError as error:
            self._log(f"accept: {error}")
            return
        pid, uid = credentials(link)
        if uid != self._guard.config.peer_uid:
            self._log(f"refused a connection of uid {uid}, pid {pid}: only uid {self._guard.config.peer_uid} is served")
            link.close()
            return
        self._peer = Peer(link, pid, uid, _now_ms())

    def _hear(self, peer: Peer) -> None:
        """Receive and answer one packet. A violation ends the connection, and only the connection."""
        try:
            received_ns = time.monotonic_ns()
            message = peer.receive(received_ns // 1_000_000)
            if isinstance(message, MonitorHello):
                self._greet(peer, message)
            elif isinstance(message, Ping):
                peer.send(Pong(message.id))
            elif isinstance(message, KillRequest):
                self._answer(peer, message, received_ns)
            elif isinstance(message, Bye):
                raise Disconnected("it said Bye")
        except RemoteProtocolError as error:
            self._hang_up(f"violation by pid {peer.pid}: {error}")
        except LocalProtocolError as error:
            self._hang_up(f"a bug, please report it: {error}")
        except Disconnected as error:
            self._hang_up(f"the monitor {peer.pid} is gone: {error}")

    def _hang_up(self, why: str) -> None:
        self._log(why)
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _drop_a_silent_peer(self) -> None:
        peer = self._peer
        if peer is None or peer.has_said_hello or self._listener is None:
            return
        if _now_ms() >= peer.accepted_ms + limits.HELLO_DEADLINE_MS:
            self._hang_up(f"violation by pid {peer.pid}: no Hello within {limits.HELLO_DEADLINE_MS} ms")

    def _greet(self, peer: Peer, hello: MonitorHello) -> None:
        """Answer Hello, after the killer has shown on the monitor itself that it can signal another user's process."""
        self._guard = self._guard._replace(own=self._guard.own._replace(monitor=peer.pid))
        inability = rehearsal.prove_on(peer.pid)
        if inability:
            peer.send(Bye(0, Farewell.UNABLE))
            raise Unable(inability)
        config, flight = self._guard.config, self._kills.flight
        machine = self._guard.machine.read()
        least = minimum_bytes(machine.meminfo.total if machine else 0, config)
        shares = (config.available_percent, config.pressured_available_percent, int(config.pressure_some_avg10))
        kill = (flight.id, *flight.key, int(flight.signal)) if flight else (0, 0, 0, 0)
        wait_ms = self._kills.retry_after_ms(_now_ms(), config)
        times_ms = config.term_ms, config.stuck_ms
        mine = (limits.VERSION, os.getpid(), config.claimed_percent, least, *shares, *times_ms, *kill, wait_ms)
        peer.send(KillerHello(hello.id, *mine))
        self._log(f"serving the monitor {peer.pid}, uid {peer.uid}")

    def _say_goodbye(self) -> None:
        if self._peer is not None and self._peer.has_said_hello:
            try:
                self._peer.send(Bye(0, Farewell.SHUTDOWN))
            except Disconnected:
                pass
        self._log("stopping")


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
