"""The one kill in flight: its signals, its deadlines and its end. The slot and the rate outlive a connection."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable

from bustd_protocol.messages import Exited, Fate, KillRequest, Reason, Scope, Signal, Verdict, outcome_of
from bustd_shared.daemon.log import printable
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import KillerConfig

from . import aim, checks, facts, sysapi
from .aim import Aim
from .checks import Guard, Ruling
from .facts import Victim
from .rate import Rate, after_kill, rate_wait_ms


class FlightKey(NamedTuple):
    """The process in flight: what makes a request an escalation."""

    pid: int
    start_ticks: int


class Flight(NamedTuple):
    """A kill in progress. At `deadline_ms` SIGTERM is followed by SIGKILL, and a victim of SIGKILL counts as stuck."""

    id: int
    key: FlightKey
    pidfds: tuple[int, ...]
    signal: Signal
    signalled_ms: int
    deadline_ms: int


class Answer(NamedTuple):
    """What is sent to the monitor, and what is logged after that."""

    verdict: Verdict
    sentence: str


class Ending(NamedTuple):
    """An event of the kill in flight: `exited` is None while the kill goes on; the sentence is for the log."""

    exited: Exited | None
    sentence: str


def is_escalation(flight: FlightKey | None, request: KillRequest) -> bool:
    """Whether the request is a SIGKILL for the very process in flight: always permitted, and free."""
    return flight == FlightKey(request.pid, request.start_ticks) and request.signal is Signal.KILL


def send_signal(pidfd: int, number: int) -> Ruling:
    """Signal through the pidfd, which can't reach a successor with the same PID. NONE, GONE, EPERM or KERNEL."""
    try:
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return Ruling(Reason.GONE)
    except OSError as error:
        reason = Reason.EPERM if isinstance(error, PermissionError) else Reason.KERNEL
        return Ruling(reason, str(error), error.errno or 0)
    return checks.PASSED


class Kills:
    """The slot of the kill in flight, and the rate limit. Times are monotonic milliseconds, passed in."""

    def __init__(self) -> None:
        self._rate = Rate()
        self.flight: Flight | None = None

    def retry_after_ms(self, now_ms: int, config: KillerConfig) -> int:
        """Milliseconds for which the rate limit still forbids a new kill."""
        return rate_wait_ms(self._rate, now_ms, config)

    def answer(self, request: KillRequest, guard: Guard, now_ms: int) -> Answer:
        """Check 3, then take aim (checks 4 to 9), then signal. An escalation repeats none of its kill's checks."""
        flight = self.flight
        if flight is not None and is_escalation(flight.key, request):
            self.flight = _with_sigkill(flight, now_ms, guard.config)
            return _answer(request, Ruling(Reason.NONE, "an escalation"), signalled_count=len(flight.pidfds))
        refusal = self.refusal(request, guard, now_ms)
        if refusal.reason:
            return _answer(request, refusal)
        try:
            aimed = aim.take_aim(request, guard)
        except OSError as error:
            aimed = Ruling(Reason.KERNEL, str(error), error.errno or 0)
        return _answer(request, aimed) if isinstance(aimed, Ruling) else self._strike(request, aimed, guard, now_ms)

    def refusal(self, request: KillRequest, guard: Guard, now_ms: int) -> Ruling:
        """Check 3: the slot is free, the rate has room, and there is what the scope needs. No process is looked at."""
        if self.flight is not None:
            return Ruling(Reason.BUSY, f"{self.flight.key.pid} is in flight")
        wait_ms = self.retry_after_ms(now_ms, guard.config)
        if wait_ms:
            return Ruling(Reason.RATE, f"for {wait_ms} ms", retry_after_ms=wait_ms)
        if request.scope is Scope.CGROUP and not guard.hierarchy:
            return Ruling(Reason.UNSUPPORTED, "scope CGROUP: no unified hierarchy")
        return checks.PASSED

    def follow(self, now_ms: int, config: KillerConfig) -> Ending | None:
        """Continue the kill in flight: notice its end, or its deadline. None if neither has come."""
        if self.flight is None:
            return None
        self.flight = flight = _without_the_dead(self.flight)
        pid, elapsed_ms = flight.key.pid, now_ms - flight.signalled_ms
        if flight.pidfds and now_ms < flight.deadline_ms:
            return None
        if flight.pidfds and flight.signal is Signal.TERM:
            self.flight = _with_sigkill(flight, now_ms, config)
            self.release_memory()
            return Ending(None, f"{pid} has not obeyed SIGTERM for {elapsed_ms} ms: SIGKILL")
        self.flight = None
        for pidfd in flight.pidfds:
            os.close(pidfd)
        if flight.pidfds:
            return Ending(
                Exited(flight.id, Fate.STUCK, elapsed_ms), f"{pid} is STUCK, {elapsed_ms} ms after its signal"
            )
        return Ending(Exited(flight.id, Fate.GONE, elapsed_ms), f"{pid} is gone after {elapsed_ms} ms")

    def release_memory(self) -> None:
        """Free the memory of victims that were sent SIGKILL, even if they are slow to exit."""
        if self.flight is None or self.flight.signal is not Signal.KILL:
            return
        for pidfd in self.flight.pidfds:
            try:
                sysapi.release_memory(pidfd)
            except OSError:
                pass  # ESRCH: gone already; ENOSYS: before Linux 5.15; EAGAIN: it frees its memory itself

    def _strike(self, request: KillRequest, aimed: Aim, guard: Guard, now_ms: int) -> Answer:
        """Signal the named process and, if that worked, the other members of its scope."""
        first, config = aimed.victims[0], guard.config
        ruling = send_signal(first.pidfd, request.signal)
        if ruling.reason:
            aim.close_all(aimed.victims)
            return _answer(request, ruling, first)
        pidfds = [first.pidfd, *_signalled(aimed.victims[1:], request.signal)]
        pidfds += _signal_newcomers(request, aimed)
        self._rate = after_kill(self._rate, now_ms, config)
        grace_ms = config.stuck_ms if request.signal is Signal.KILL else config.term_ms
        key = FlightKey(request.pid, request.start_ticks)
        self.flight = Flight(request.id, key, tuple(pidfds), request.signal, now_ms, now_ms + grace_ms)
        if len(pidfds) > 1:
            ruling = ruling._replace(why=f"with {len(pidfds) - 1} more of {aimed.target.cgroup or 'its group'}")
        return _answer(request, ruling, first, signalled_count=len(pidfds))


def _answer(
    request: KillRequest,
    ruling: Ruling,
    victim: Victim | None = None,
    signalled_count: int = 0,
) -> Answer:
    """The verdict on a request, and its line for the log."""
    outcome, differs, held_bytes, known = outcome_of(ruling.reason), 0, 0, ""
    if victim is not None:
        differs, held_bytes = checks.differences(victim.facts, request), victim.facts.held_bytes
        known = f", unit {victim.facts.unit or 'none'}, holding {held_bytes >> 20} MiB"
    name = printable(request.comm) or "no name"
    words = [ruling.reason.name.lower()] if ruling.reason else []
    why = " ".join([*words, ruling.why]).strip()
    sentence = (
        f"{outcome.name.lower()} SIG{request.signal.name} to {request.pid} ({name}{known}) "
        f"for {printable(request.condition)}{f': {why}' if why else ''}"
    )
    reply = Verdict(
        request.id, outcome, ruling.reason, differs, held_bytes, signalled_count, ruling.retry_after_ms, ruling.errno
    )
    return Answer(reply, sentence)


def _signalled(victims: Iterable[Victim], number: int) -> list[int]:
    """Signal each victim; the pidfds of those that were signalled. The others are closed: their exit is not awaited."""
    pidfds = []
    for victim in victims:
        if send_signal(victim.pidfd, number).reason:
            os.close(victim.pidfd)
        else:
            pidfds.append(victim.pidfd)
    return pidfds


def _with_sigkill(flight: Flight, now_ms: int, config: KillerConfig) -> Flight:
    """Send SIGKILL to all that are left. The slot is free `stuck_ms` after the first SIGKILL, not after the last."""
    for pidfd in flight.pidfds:
        send_signal(pidfd, Signal.KILL)
    if flight.signal is Signal.KILL:
        return flight
    return flight._replace(signal=Signal.KILL, deadline_ms=now_ms + config.stuck_ms)


def _without_the_dead(flight: Flight) -> Flight:
    """Close and drop the pidfds of those that have exited."""
    dead = {pidfd for pidfd in flight.pidfds if facts.has_exited(pidfd)}
    for pidfd in dead:
        os.close(pidfd)
    return flight._replace(pidfds=tuple(pidfd for pidfd in flight.pidfds if pidfd not in dead))


def _signal_newcomers(request: KillRequest, aimed: Aim) -> list[int]:
    """Signal what the other members have started meanwhile, until nothing new appears."""
    known = {victim.pid for victim in aimed.victims}
    pidfds: list[int] = []
    for _ in range(aim.MOST_ROUNDS):
        found = aim.newcomers(aimed, known)
        pidfds += _signalled(found, request.signal)
        if not found:
            break
    return pidfds
