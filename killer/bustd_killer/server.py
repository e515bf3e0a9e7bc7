"""The killer's one loop: one peer, one request at a time. It never guesses, and nothing that a peer does ends it."""

from __future__ import annotations

import os
import select
import time
from _signal import ITIMER_REAL, SIG_IGN, SIGALRM, SIGHUP, SIGINT, SIGTERM, set_wakeup_fd, setitimer
from _signal import signal as on_signal

from bustd_protocol import limits
from bustd_protocol.errors import LocalProtocolError, OtherVersion, RemoteProtocolError
from bustd_protocol.messages import Bye, Farewell, KillerHello, KillRequest, MonitorHello, Ping, Pong
from bustd_shared.daemon.lines import NOTICE, WARNING, Lines
from bustd_shared.daemon.packets import Socket

from . import rehearsal
from .checks import Guard, least_bytes, own_pids
from .flight import Ending, Kills
from .peer import Disconnected, Peer, credentials
from .rate import Bucket

EXIT_STOPPED, EXIT_MONITOR_GONE = 0, 70

_LOG_LINES, _LOG_LINES_PER_SECOND = 20, 5
LONGEST_TURN_S = 2
"""A process that ends while it is read in /proc leaves it to the reader to close what it had mapped, and a TCP socket
with SO_LINGER makes that wait as long as its owner likes. A signal ends the wait."""
_WATCHDOG_MS = 100_000
_WATCHDOG_BEGINS = b"WATCHDOG_USEC=300000000\nWATCHDOG=1"
"""sd_notify(3): three times as long as it takes to feed it. Asked for here: no unit sets one that is not fed."""


class Server:
    """Serves one monitor after another from `listener`, or the one `peer` of a socketpair.

    `watchdog`: a descriptor for sd_notify(3) messages, -1 for none.
    """

    def __init__(
        self, guard: Guard, log: Lines, listener: Socket | None, peer: Peer | None, watchdog: int = -1
    ) -> None:
        now_ms = _now_ms()
        self._guard = guard
        self._log = log
        self._listener = listener
        self._peer = peer
        self._watchdog, self._food = watchdog, _WATCHDOG_BEGINS
        self._fed_ms = now_ms - _WATCHDOG_MS
        self._kills = Kills(now_ms, guard.policy)
        self._messages = Bucket(limits.MESSAGES_PER_SECOND, limits.MESSAGES_PER_SECOND, now_ms)
        self._connections = Bucket(limits.CONNECTIONS_PER_SECOND, limits.CONNECTIONS_PER_SECOND, now_ms)
        self._lines = Bucket(_LOG_LINES, _LOG_LINES_PER_SECOND, now_ms)
        self._unsaid = 0
        self._stopping = False
        self._wakeup = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        for number in (SIGTERM, SIGINT):
            on_signal(number, self._stop)
        on_signal(SIGHUP, SIG_IGN)
        on_signal(SIGALRM, lambda *_: None)

    def serve(self) -> int:
        """Run until told to stop (0), or until the monitor of a socketpair is gone and the kill in flight over (70)."""
        while True:
            ready = self._wait()
            # Ask the flag, not the descriptor: what stops both may have ended the monitor first, and its end woken us.
            if self._stopping:
                self._say_goodbye()
                return EXIT_STOPPED
            ending = self._kills.follow(_now_ms(), self._guard)
            if ending is not None:
                self._say(ending.sentence, WARNING)
            if self._peer is not None:
                self._attend(self._peer, ready, ending)
            elif self._listener is not None and self._listener.fileno() in ready:
                self._accept(self._listener)
            if self._peer is not None and self._peer.log is not None:
                self._peer.log.copy(_now_ms())
            if self._listener is None and self._peer is None and self._kills.flight is None:
                return EXIT_MONITOR_GONE

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _wait(self) -> set[int]:
        """Sleep until a descriptor is ready or a deadline has come; without a deadline there is no other wake-up."""
        now_ms = _now_ms()
        poll = select.poll()
        poll.register(self._wakeup[0], select.POLLIN)
        due_ms = [self._feed_the_watchdog(now_ms), self._kills.due_ms()]
        for _, pidfd in self._kills.flight.held if self._kills.flight is not None else ():
            poll.register(pidfd, select.POLLIN)
        if self._peer is not None:
            poll.register(self._peer.link.fileno(), select.POLLIN)
            if self._peer.log is not None:
                due_ms.append(self._peer.log.watch(poll, now_ms))
            due_ms.append(self._peer.hello_due_ms)
        elif self._listener is not None:
            # Not before the next monitor has room for its own messages, however many the last one sent.
            room_ms = self._messages.wait_ms(now_ms, limits.MESSAGES_PER_SECOND // 2)
            wait_ms = max(self._connections.wait_ms(now_ms), room_ms)
            if wait_ms:
                due_ms.append(now_ms + wait_ms)
            else:
                poll.register(self._listener.fileno(), select.POLLIN)
        timeout = min((max(0, due - now_ms) for due in due_ms if due is not None), default=None)
        setitimer(ITIMER_REAL, 0)
        ready = {descriptor for descriptor, _ in poll.poll(timeout)}
        setitimer(ITIMER_REAL, LONGEST_TURN_S, LONGEST_TURN_S)
        if self._wakeup[0] in ready:
            os.read(self._wakeup[0], 64)
        return ready

    def _feed_the_watchdog(self, now_ms: int) -> int | None:
        """When it must be fed again, None if there is none (sd_notify(3), WATCHDOG=1)."""
        if self._watchdog < 0:
            return None
        if now_ms >= self._fed_ms + _WATCHDOG_MS:
            self._fed_ms = now_ms
            try:
                os.write(self._watchdog, self._food)
                self._food = b"WATCHDOG=1"
            except OSError:
                pass  # a manager that does not read now hears it the next time
        return self._fed_ms + _WATCHDOG_MS

    def _say(self, sentence: str, level: int = NOTICE) -> None:
        """Write a line, unless a peer has caused too many: those are counted, and told with the next that is written.

        A kill and its end, which are warnings, are always written: the rate limits them.
        """
        if not self._lines.take(_now_ms()) and level != WARNING:
            self._unsaid += 1
            return
        self._log(f"{sentence} ({self._unsaid} lines were left out)" if self._unsaid else sentence, level)
        self._unsaid = 0

    def _attend(self, peer: Peer, ready: set[int], ending: Ending | None) -> None:
        """Tell it the end of a kill that it knows of, and hear one packet.

        A violation ends the connection, and only the connection.
        """
        try:
            if ending is not None and ending.exited is not None and peer.awaits_exit:
                peer.send(ending.exited)
            if peer.link.fileno() in ready:
                self._hear(peer)
            if peer.hello_due_ms is not None and _now_ms() >= peer.hello_due_ms:
                raise RemoteProtocolError(f"no Hello within {limits.HELLO_DEADLINE_MS} ms")
        except OtherVersion as error:
            peer.send_farewell_to(error.version)
            self._hang_up(f"the monitor {peer.pid} is not served: {error}; update both packages together")
        except RemoteProtocolError as error:
            self._hang_up(f"violation by pid {peer.pid}: {error}")
        except LocalProtocolError as error:
            self._hang_up(f"a bug, please report it: {error}")
        except Disconnected as error:
            self._hang_up(f"the monitor {peer.pid} is gone: {error}")

    def _answer(self, peer: Peer, request: KillRequest, received_ns: int) -> None:
        """The signal, then the verdict, and only then the log."""
        # By now its parent may be another: the number of one that has exited must not protect a leak that has it.
        guard = self._guard._replace(own=own_pids(os.getpid(), os.getppid(), peer.pid))
        verdict, sentence, is_kill = self._kills.answer(request, guard, _now_ms())
        try:
            peer.send(verdict._replace(latency_us=(time.monotonic_ns() - received_ns) // 1000))
        finally:
            self._say(sentence, WARNING if is_kill else NOTICE)

    def _accept(self, listener: Socket) -> None:
        """Check 1: the peer's uid. A second monitor waits in the backlog while the first is served."""
        self._connections.take(_now_ms())
        try:
            link = listener.accept()
        except OSError as error:
            self._say(f"accept: {error}")
            return
        pid, uid = credentials(link)
        wanted = self._guard.policy.peer_uid
        if uid != wanted:
            self._say(f"refused a connection of uid {uid}, pid {pid}: only uid {wanted} is served")
            link.close()
            return
        self._peer = Peer(link, pid, uid, _now_ms() + limits.HELLO_DEADLINE_MS)

    def _hear(self, peer: Peer) -> None:
        """Receive and answer one packet."""
        received_ns = time.monotonic_ns()
        if not self._messages.take(received_ns // 1_000_000):
            raise RemoteProtocolError(f"more than {limits.MESSAGES_PER_SECOND} messages in a second")
        message = peer.receive()
        if isinstance(message, MonitorHello):
            self._greet(peer, message)
        elif isinstance(message, Ping):
            peer.send(Pong(message.id))
        elif isinstance(message, KillRequest):
            self._answer(peer, message, received_ns)
        elif isinstance(message, Bye):
            raise Disconnected("it said Bye")

    def _hang_up(self, why: str) -> None:
        self._say(why)
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def _greet(self, peer: Peer, hello: MonitorHello) -> None:
        """Answer Hello, after the killer has shown on the monitor itself that it can signal another user's process."""
        inability = rehearsal.prove_on(peer.pid)
        if inability:
            peer.send(Bye(0, Farewell.UNABLE))
            self._hang_up(f"CANNOT PROTECT THIS MACHINE: {inability}")
            return
        policy, flight = self._guard.policy, self._kills.flight
        least = least_bytes(self._guard.machine.read(), policy)
        mine = limits.VERSION, os.getpid(), policy.claimed_percent, least, policy.available_percent
        kill = (flight.id, *flight.key, int(flight.signal)) if flight else (0, 0, 0, 0)
        times_ms = policy.term_ms, policy.stuck_ms
        peer.send(KillerHello(hello.id, *mine, *times_ms, *kill, self._kills.rate.wait_ms(_now_ms())))
        self._say(f"serving the monitor {peer.pid}, uid {peer.uid}")

    def _say_goodbye(self) -> None:
        if self._peer is not None:
            try:
                self._peer.send(Bye(0, Farewell.SHUTDOWN))
            except Disconnected:
                pass
        self._log("stopping")


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000
