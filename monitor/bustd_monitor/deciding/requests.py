"""The requests that the monitor makes, from what was decided. Pure."""

from __future__ import annotations

from bustd_protocol import limits
from bustd_protocol.members import packed_members
from bustd_protocol.messages import KillRequest, Scope, Signal

from ..conditions.finding import Finding
from ..ranking.order import Candidate
from .actions import Ask, Escalate


def finding_for(
    candidate: Candidate, finding: Finding, spared: tuple[tuple[int, int, int], ...], now_ms: int
) -> Finding:
    """The finding as it asks for this candidate: with SIGKILL where SIGTERM can't, did not, or should not end it.

    `spared`: PID and start time of those that SIGTERM did not end, and until when that counts (monotonic).
    """
    victim = (candidate.process.pid, candidate.process.start_ticks)
    is_spared = any(one[:2] == victim and now_ms < one[2] for one in spared)
    needs_kill = is_spared or candidate.is_killed_at_once or candidate.process.ignores_sigterm
    return finding._replace(signal=Signal.KILL) if needs_kill else finding


def kill_request(request_id: int, ask: Ask, members: list[tuple[int, int]], now_ms: int) -> KillRequest:
    """Kill this candidate, and with it these members of its scope: (PID, start time in clock ticks) of each.

    The same again with further members, while the kill is in flight, is a continuation.
    """
    process, finding, family = ask.candidate.process, ask.finding, ask.candidate.family
    identity = (process.pid, process.start_ticks, process.uid, process.comm[: limits.COMM_BYTES])
    how = (finding.signal, ask.candidate.scope, finding.name.encode())
    claimed_bytes = process.held_bytes if family is None else family.claimed_bytes
    return KillRequest(request_id, *identity, claimed_bytes, *how, now_ms, packed_members(members))


def escalation(request_id: int, action: Escalate, now_ms: int) -> KillRequest:
    """SIGKILL for the process in flight: its PID and start time are all that counts."""
    flight, condition = action.flight, action.finding.name.encode()
    identity = (flight.pid, flight.start_ticks, 0, b"")
    return KillRequest(request_id, *identity, 0, Signal.KILL, Scope.PROCESS, condition, now_ms)
