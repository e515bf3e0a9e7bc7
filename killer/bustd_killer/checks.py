"""Checks 3 and 5 to 9, in the order in which they are made. Pure: facts in, a ruling out."""

from __future__ import annotations

from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, KillRequest, Reason, Scope, Signal
from bustd_shared.daemon.record import NamedTuple
from bustd_shared.rules.killer_toml import KillerConfig, minimum_bytes
from bustd_shared.rules.protection import Protection, protected_by

from .facts import Facts, Machine

OOM_SCORE_ADJ_MIN = -1000


class Own(NamedTuple):
    """The processes that belong to bustd itself."""

    killer: int
    parent: int
    monitor: int


class Ruling(NamedTuple):
    """The outcome of a check: `reason` NONE if it passed; `why` is for the log, `errno` what the kernel said."""

    reason: Reason
    why: str = ""
    errno: int = 0


PASSED = Ruling(Reason.NONE)


class FlightKey(NamedTuple):
    """The process in flight: what makes a request an escalation."""

    pid: int
    start_ticks: int


def is_escalation(flight: FlightKey | None, request: KillRequest) -> bool:
    """Whether the request is a SIGKILL for the very process in flight: always permitted, and free."""
    return flight == FlightKey(request.pid, request.start_ticks) and request.signal is Signal.KILL


class Rate(NamedTuple):
    """The rate limit's memory, in monotonic milliseconds: when the whole burst is free again, and the last minute."""

    burst_free_ms: int = 0
    last_minute_ms: tuple[int, ...] = ()


def after_kill(rate: Rate, now_ms: int, config: KillerConfig) -> Rate:
    """The rate limit after one more kill. Only signals that were sent use it up."""
    recent = tuple(killed_ms for killed_ms in rate.last_minute_ms if killed_ms > now_ms - 60_000)
    return Rate(max(rate.burst_free_ms, now_ms) + config.interval_ms, (*recent, now_ms))


def rate_wait_ms(rate: Rate, now_ms: int, config: KillerConfig) -> int:
    """Check 3, second half: milliseconds until the next kill is permitted, 0 if it is now.

    `burst` kills may come at once and one more every `interval_ms`; no minute may see more than `per_minute`.
    """
    wait = rate.burst_free_ms - (config.burst - 1) * config.interval_ms - now_ms
    recent = [killed_ms for killed_ms in rate.last_minute_ms if killed_ms > now_ms - 60_000]
    if len(recent) >= config.per_minute:
        wait = max(wait, recent[-config.per_minute] + 60_000 - now_ms)
    return max(0, wait)


def judge_kind(pid: int, facts: Facts, own: Own) -> Ruling:
    """Check 5: nothing that must never be asked for, and nothing dead."""
    if pid == 1:
        return Ruling(Reason.PID1)
    if pid == own.killer:
        return Ruling(Reason.SELF)
    if pid == own.parent:
        return Ruling(Reason.PARENT)
    if pid == own.monitor:
        return Ruling(Reason.MONITOR)
    if facts.stat.is_kernel_thread:
        return Ruling(Reason.KERNEL_THREAD)
    if facts.stat.is_dead:
        return Ruling(Reason.GONE, "a zombie")
    return PASSED


def judge_identity(facts: Facts, request: KillRequest) -> Ruling:
    """Check 6: the start time alone is identity; a uid or comm that differs is reported (see `differences`)."""
    if facts.stat.start_ticks != request.start_ticks:
        return Ruling(Reason.START_TIME, f"started at {facts.stat.start_ticks}, not {request.start_ticks}")
    return PASSED


def differences(facts: Facts, request: KillRequest) -> int:
    """What of the record differs: DIFFERS_UID, DIFFERS_COMM or both. Processes can change either under way."""
    return (DIFFERS_UID if facts.uid != request.uid else 0) | (DIFFERS_COMM if facts.stat.comm != request.comm else 0)


def judge_protection(facts: Facts, protection: Protection) -> Ruling:
    """Check 7: "unkillable" is enforced here, whatever the monitor says."""
    if facts.oom_score_adj <= OOM_SCORE_ADJ_MIN:
        return Ruling(Reason.ADJ)
    rule = protected_by(protection, facts.unit, facts.uid, facts.stat.comm)
    return Ruling(Reason.PROTECTED, rule) if rule else PASSED


def judge_scope(request: KillRequest, hierarchy: str) -> Ruling:
    """Scope cgroup needs a unified hierarchy, wherever that is mounted."""
    if request.scope is Scope.CGROUP and not hierarchy:
        return Ruling(Reason.UNSUPPORTED, "scope CGROUP: no unified hierarchy")
    return PASSED


def judge_bytes(facts: Facts, request: KillRequest, machine: Machine, config: KillerConfig) -> Ruling:
    """Check 8: it holds its share of what the request claims, and enough to help."""
    least = max(request.claimed_bytes * config.claimed_percent // 100, minimum_bytes(machine.meminfo.total, config))
    if facts.held_bytes < least:
        return Ruling(Reason.SHRUNK, f"holds {facts.held_bytes >> 10} KiB, not {least >> 10} KiB")
    return PASSED


def judge_shortage(machine: Machine, config: KillerConfig) -> Ruling:
    """Check 9: the machine really is short, by the killer's own reading.

    Pressure alone proves nothing: a user with a memory cgroup of his own can make it on an idle machine. The share is
    of what user space can have (available plus anonymous), so that a filled tmpfs does not shift it.
    """
    available = machine.meminfo.available
    if available is None:
        return Ruling(Reason.NOT_SHORT, "/proc/meminfo has no MemAvailable")
    percent = 100 * available / max(available + machine.meminfo.anonymous, 1)
    pressured = machine.some_avg10 >= config.pressure_some_avg10
    limit = config.pressured_available_percent if pressured else config.available_percent
    if percent > limit:
        return Ruling(Reason.NOT_SHORT, f"{percent:.1f} % available, pressure {machine.some_avg10:.1f} %")
    return PASSED
