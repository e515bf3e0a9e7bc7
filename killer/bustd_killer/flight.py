"""The one kill in flight: its signals, its deadlines, its end. Slot and limits outlive a connection."""

from __future__ import annotations

import os
from _signal import SIGCONT, pidfd_send_signal

from bustd_protocol import limits
from bustd_protocol.messages import Exited, Fate, KillRequest, Reason, Scope, Signal, Verdict, outcome_of
from bustd_shared.daemon.lines import printable
from bustd_shared.daemon.record import NamedTuple

from . import aim, checks, facts
from .aim import Aim
from .checks import Guard, Ruling
from .facts import Victim
from .policy import Policy
from .rate import Bucket, Rate

LOOK_MS = 100
"""How often a victim that has its SIGKILL is asked whether it still has memory."""
_MOST_LOOKED_AT = 64
"""How many of a batch are asked at a time, at most."""


class Flight(NamedTuple):
    """A kill under way. `deadline_ms` is when SIGTERM becomes SIGKILL, or SIGKILL is given up as stuck.

    `held` are (PID, pidfd) of those that live and have memory. `was_released`: one that lives had none any more.
    """

    id: int
    aimed: Aim
    held: tuple[tuple[int, int], ...]
    signal: Signal
    signalled_ms: int
    deadline_ms: int
    looked_ms: int
    continuations: int = 0
    was_released: bool = False

    @property
    def key(self) -> tuple[int, int]:
        """PID and start time of the named process: what makes a request an escalation or a continuation."""
        return self.aimed.case.victim.pid, self.aimed.case.start_ticks


class Answer(NamedTuple):
    """What the monitor is told, and what the log is told after that. `is_kill`: a new kill has begun."""

    verdict: Verdict
    sentence: str
    is_kill: bool = False


class Ending(NamedTuple):
    """An event of the kill in flight: `exited` is None while the kill goes on; the sentence is for the log."""

    exited: Exited | None
    sentence: str


def send_signal(pidfd: int, number: int) -> Ruling:
    """Signal through the pidfd, which can't reach a successor with the same PID. NONE, GONE, EPERM or KERNEL."""
    try:
        pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return Ruling(Reason.GONE)
    except OSError as error:
        reason = Reason.EPERM if isinstance(error, PermissionError) else Reason.KERNEL
        return Ruling(reason, str(error), error.errno or 0)
    return checks.PASSED


class Kills:
    """The in-flight slot and the limits on kills and on processes looked at. Times are monotonic milliseconds."""

    def __init__(self, now_ms: int, policy: Policy) -> None:
        self.rate = Rate(now_ms, policy)
        self._looks = Bucket(limits.PROCESSES_AT_ONCE, limits.PROCESSES_PER_SECOND, now_ms)
        self._ended: Flight | None = None
        self._ended_ms = 0
        self.flight: Flight | None = None

    def answer(self, request: KillRequest, guard: Guard, now_ms: int) -> Answer:
        """Check 3, then checks 4 to 9, then the signals; of an escalation check 9, of a continuation its members'."""
        flight, known = self.flight, self._continued(request, now_ms)
        try:
            if flight is not None and known is flight and request.signal is Signal.KILL and not request.members:
                return self._escalate(flight, request, guard, now_ms)
            refusal = self.refusal(request, guard, now_ms, is_continuation=known is not None and bool(request.members))
            if refusal.reason:
                return _answer(request, refusal)
            if known is not None and request.members:
                return self._continue(known, request, guard, now_ms)
            aimed = aim.take_aim(request, guard)
            return _answer(request, aimed) if isinstance(aimed, Ruling) else self._strike(request, aimed, now_ms)
        except OSError as error:  # EMFILE: more members than descriptors
            return _answer(request, Ruling(Reason.KERNEL, str(error), error.errno or 0))

    def refusal(self, request: KillRequest, guard: Guard, now_ms: int, *, is_continuation: bool = False) -> Ruling:
        """Check 3: the slot is free, the limits have room, and there is what the scope needs. No process is read."""
        if self.flight is not None and not is_continuation:
            return Ruling(Reason.BUSY, f"{self.flight.key[0]} is in flight")
        looks = 1 + len(request.members) // limits.MEMBER_BYTES
        is_full = self.rate.signalled_in_a_minute(now_ms) + looks > limits.PROCESSES_AT_ONCE
        of_kills_ms = 0 if is_continuation else self.rate.wait_ms(now_ms)
        wait_ms = max(of_kills_ms, 1000 if is_full else 0, self._looks.wait_ms(now_ms, looks))
        if wait_ms:
            return Ruling(Reason.RATE, f"for {wait_ms} ms", retry_after_ms=wait_ms)
        self._looks.take(now_ms, looks)
        if request.scope is Scope.CGROUP and not guard.policy.hierarchy:
            return Ruling(Reason.UNSUPPORTED, "scope CGROUP: no unified hierarchy")
        return checks.PASSED

    def follow(self, now_ms: int, guard: Guard) -> Ending | None:
        """Continue the kill in flight: notice its end, or its deadline. None if neither has come."""
        if self.flight is None:
            return None
        self.flight = flight = _looked_after(self.flight, now_ms)
        pid, elapsed_ms = flight.key[0], now_ms - flight.signalled_ms
        if flight.held and now_ms < flight.deadline_ms:
            return None
        if not flight.held:
            fate = Fate.RELEASED if flight.was_released else Fate.GONE
            how = "has no memory any more" if flight.was_released else "is gone"
            return self._end(flight, fate, now_ms, f"{pid} {how} after {elapsed_ms} ms")
        if flight.signal is Signal.KILL:
            return self._end(flight, Fate.STUCK, now_ms, f"{pid} is STUCK, {elapsed_ms} ms after its signal")
        relief = checks.shortage(guard.machine.read(), guard.policy)
        if relief.reason:
            words = f"{pid} has not obeyed SIGTERM for {elapsed_ms} ms, and is SPARED: {relief.why}"
            return self._end(flight, Fate.SPARED, now_ms, words)
        self.flight = _with_sigkill(flight, now_ms, guard.policy)
        return Ending(None, f"{pid} has not obeyed SIGTERM for {elapsed_ms} ms: SIGKILL")

    def due_ms(self) -> int | None:
        """When `follow` must be called again although nothing has exited; None: no kill is in flight."""
        if self.flight is None:
            return None
        looks = self.flight.signal is Signal.KILL
        return min(self.flight.deadline_ms, self.flight.looked_ms + LOOK_MS) if looks else self.flight.deadline_ms

    def _continued(self, request: KillRequest, now_ms: int) -> Flight | None:
        """The kill that the request is about, in flight or just over: its named process is the same.

        What is to be continued has the kill's signal too: the one that was asked for, or SIGKILL once that was sent.
        """
        flight = self.flight
        if flight is None and self._ended is not None and now_ms <= self._ended_ms + limits.CONTINUATION_MS:
            flight = self._ended
        if flight is None or flight.key != (request.pid, request.start_ticks):
            return None
        signals = (flight.signal, flight.aimed.case.request.signal)
        return flight if request.signal in signals or not request.members else None

    def _escalate(self, flight: Flight, request: KillRequest, guard: Guard, now_ms: int) -> Answer:
        relief = checks.shortage(guard.machine.read(), guard.policy)
        if relief.reason:
            return _answer(request, relief)
        self.flight = _with_sigkill(flight, now_ms, guard.policy)
        return _answer(request, Ruling(Reason.NONE, "an escalation"), signalled_count=len(flight.held))

    def _strike(self, request: KillRequest, aimed: Aim, now_ms: int) -> Answer:
        """Signal the one that was asked for and, if that worked, the members."""
        named, policy = aimed.victims[0], aimed.case.guard.policy
        ruling = _signal(named, request.signal)
        if ruling.reason:
            aim.close_all(aimed.victims)
            return _answer(request, ruling, named)
        held = ((named.pid, named.pidfd), *_signalled(aimed.victims[1:], request.signal))
        self.rate.count(now_ms, len(held))
        deadline_ms = now_ms + _grace_ms(request.signal, policy)
        self.flight = Flight(request.id, aimed._replace(victims=()), held, request.signal, now_ms, deadline_ms, now_ms)
        if len(held) > 1:
            ruling = ruling._replace(why=f"with {len(held) - 1} more of {aimed.cgroup or 'its group'}")
        return _answer(request, ruling, named, signalled_count=len(held))._replace(is_kill=True)

    def _continue(self, flight: Flight, request: KillRequest, guard: Guard, now_ms: int) -> Answer:
        """Signal further members of a kill. One that is over begins again by that, unless no member is left."""
        if flight.continuations >= limits.CONTINUATIONS:
            return _answer(request, Ruling(Reason.BUSY, f"{flight.continuations} continuations were made"))
        # A kill that is over may have ended the shortage: what is left of the group must not die for it.
        relief = checks.shortage(guard.machine.read(), guard.policy) if self.flight is None else checks.PASSED
        if relief.reason:
            return _answer(request, relief)
        further = aim.take_aim(request, guard, flight.aimed)
        if isinstance(further, Ruling):
            return _answer(request, further)
        held = _signalled(further.victims, flight.signal)  # by now it may be SIGKILL
        self.rate.count(now_ms, len(held), kills=0)
        continued = flight._replace(held=(*flight.held, *held), continuations=flight.continuations + 1)
        if self.flight is None and not held:
            self._ended = continued
            return _answer(request, Ruling(Reason.GONE, "and so are the members"))
        if self.flight is None:
            continued = continued._replace(id=request.id, signalled_ms=now_ms, looked_ms=now_ms, was_released=False)
            continued = continued._replace(deadline_ms=now_ms + _grace_ms(flight.signal, guard.policy))
        self.flight = continued
        return _answer(request, Ruling(Reason.NONE, f"{len(held)} more members"), signalled_count=len(held))

    def _end(self, flight: Flight, fate: Fate, now_ms: int, sentence: str) -> Ending:
        """The slot is free. What was spared can't be continued: memory is not short."""
        for _, pidfd in flight.held:
            os.close(pidfd)
        self.flight, self._ended_ms = None, now_ms
        self._ended = None if fate is Fate.SPARED else flight._replace(held=())
        return Ending(Exited(flight.id, fate, now_ms - flight.signalled_ms), sentence)


def _answer(request: KillRequest, ruling: Ruling, victim: Victim | None = None, signalled_count: int = 0) -> Answer:
    """The verdict on a request, and its line for the log: what the killer saw, and what it was told only as such."""
    outcome, seen = outcome_of(ruling.reason), _description(victim or ruling.saw, request)
    asked = f"SIG{request.signal.name} to {request.pid} ({seen}) for {printable(request.condition)}"
    why = f"{ruling.reason.name.lower() if ruling.reason else ''} {ruling.why}".strip()
    told = (checks.differences(victim.entry, request), victim.held_bytes) if victim else (0, 0)
    verdict = Verdict(request.id, outcome, ruling.reason, *told, signalled_count, ruling.retry_after_ms, ruling.errno)
    return Answer(verdict, f"{outcome.name.lower()} {asked}{f': {why}' if why else ''}")


def _description(victim: Victim | None, request: KillRequest) -> str:
    """What the killer has read of the process; in quotes what the monitor calls it, where that is another name."""
    told = f'called "{printable(request.comm)}" by the monitor'
    if victim is None:
        return told
    entry = victim.entry
    name, unit = printable(entry.stat.comm) or "no name", printable(entry.unit) or "none"
    also = f", {told}" if entry.stat.comm != request.comm else ""
    return f"{name}, unit {unit}, holding {victim.held_bytes >> 20} MiB, uid {entry.status.uid}{also}"


def _signal(victim: Victim, number: int) -> Ruling:
    """Signal it. One that is stopped can't handle SIGTERM, and save its work, before it is continued."""
    ruling = send_signal(victim.pidfd, number)
    if not ruling.reason and number == Signal.TERM and victim.entry.stat.state == b"T":
        send_signal(victim.pidfd, SIGCONT)
    return ruling


def _signalled(victims: tuple[Victim, ...], number: int) -> tuple[tuple[int, int], ...]:
    """Signal each; (PID, pidfd) of those that took it. One that is gone, or can't be signalled, is not waited for."""
    held = []
    for victim in victims:
        if _signal(victim, number).reason:
            os.close(victim.pidfd)
        else:
            held.append((victim.pid, victim.pidfd))
    return tuple(held)


def _with_sigkill(flight: Flight, now_ms: int, policy: Policy) -> Flight:
    """SIGKILL to all that are left, once: the slot is freed `stuck_ms` after that, however often it is asked for."""
    if flight.signal is Signal.KILL:
        return flight
    for _, pidfd in flight.held:
        send_signal(pidfd, Signal.KILL)
    return flight._replace(signal=Signal.KILL, deadline_ms=now_ms + policy.stuck_ms, looked_ms=now_ms)


def _looked_after(flight: Flight, now_ms: int) -> Flight:
    """Without those that have exited, and after SIGKILL without those that have given their memory back."""
    is_due = flight.signal is Signal.KILL and now_ms >= flight.looked_ms + LOOK_MS
    exited, released = facts.exited([pidfd for _, pidfd in flight.held]), 0
    living = [one for one in flight.held if one[1] not in exited]
    # The first that still has memory keeps the slot: the others need not be asked this time.
    while is_due and released < min(len(living), _MOST_LOOKED_AT) and not facts.has_memory(living[released][0]):
        released += 1
    left, was_released = tuple(living[released:]), flight.was_released or released > 0
    for _, pidfd in set(flight.held).difference(left):
        os.close(pidfd)
    return flight._replace(held=left, looked_ms=now_ms if is_due else flight.looked_ms, was_released=was_released)


def _grace_ms(signal: Signal, policy: Policy) -> int:
    """How long a victim of this signal has, in milliseconds, before the next step."""
    return policy.stuck_ms if signal is Signal.KILL else policy.term_ms
