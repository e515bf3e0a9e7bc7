"""The sentences of the log. What they say about a victim is what the ranking knew: nothing is read anew in a crisis."""

from __future__ import annotations

import os
import time

from bustd_monitor.amounts import size as size
from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, Exited, Fate, Outcome, Scope, Verdict
from bustd_shared.daemon.log import printable

from ..deciding.states import Ask, Escalate, Phase
from ..sensing.processes import Process
from ..sensing.reading import Reading

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def readings(reading: Reading) -> str:
    """The present values that the conditions look at."""
    percent = 100 * reading.available / reading.total
    swap = f"{size(reading.swap_free)} of {size(reading.swap_total)} swap free" if reading.swap_total else "no swap"
    if reading.swap_usable < reading.swap_free:
        swap += f" ({size(reading.swap_usable)} usable)"
    return (
        f"{size(reading.available)} of {size(reading.total)} available ({percent:.1f} %), {size(reading.free)} free, "
        f"{swap}, {pressure(reading)}"
    )


def pressure(reading: Reading) -> str:
    """PSI in words."""
    if reading.pressure is None:
        return "no PSI"
    return f"PSI some {reading.pressure.some_avg10:.1f} % full {reading.pressure.full_avg10:.1f} %"


def victim(process: Process, boottime_s: float | None = None) -> str:
    """A process as the ranking knew it. `boottime_s`: seconds since boot, where it is not now but in a trace."""
    now_s = time.clock_gettime(time.CLOCK_BOOTTIME) if boottime_s is None else boottime_s
    age_s = now_s - process.start_ticks / _TICKS_PER_SECOND
    unit = printable(process.unit) or "none"
    command = f", command {printable(process.command)}" if process.command else ""
    return (
        f"{process.pid} ({printable(process.comm)}) of uid {process.uid}, unit {unit}, holding "
        f"{size(process.held_bytes)}, {max(age_s, 0):.0f} s old{command}"
    )


def phase_changed(before: Phase, after: Phase, reading: Reading) -> str:
    """The monitor is at something else now, after this reading."""
    return f"{before.value} -> {after.value}: {readings(reading)}"


def asking_for_the_next(ask: Ask) -> str:
    """The killer is asked for another process after it has refused."""
    alone = "" if ask.candidate.scope is not Scope.PROCESS else " alone"
    return f"asking for the next: {victim(ask.candidate.process)}{alone}"


def urgent(action: Escalate) -> str:
    """The process in flight gets SIGKILL."""
    return f"{action.finding.name} is urgent now: SIGKILL for {action.flight.pid}, which is in flight"


def decision(ask: Ask, reading: Reading, took_us: int) -> str:
    """The line of a kill: what was chosen and why, and how long it took."""
    return f"{choice(ask, reading)}; decided in {took_us} us"


def choice(ask: Ask, reading: Reading, boottime_s: float | None = None) -> str:
    """The condition, the numbers, the victim, and who would have been next."""
    chosen = ask.candidate
    others = ", ".join(
        f"{other.process.pid} ({printable(other.process.comm)}, {size(other.process.held_bytes)})"
        for other in ask.runners_up
    )
    return (
        f"{ask.finding.name} fires: {readings(reading)}; SIG{ask.finding.signal.name} for "
        f"{victim(chosen.process, boottime_s)}, "
        f"{chosen.why}; after it {others or 'nobody'}{f'; {ask.remark}' if ask.remark else ''}"
    )


def verdict(answer: Verdict) -> str:
    """What the killer answered."""
    if answer.outcome is not Outcome.SIGNALLED:
        wait = f", again in {answer.retry_after_ms} ms" if answer.retry_after_ms else ""
        return f"the killer: {answer.outcome.name.lower()}, {answer.reason.name.lower()}{wait}"
    differs = [word for bit, word in ((DIFFERS_UID, "uid"), (DIFFERS_COMM, "name")) if answer.differs & bit]
    changed = f", its {' and '.join(differs)} had changed" if differs else ""
    return f"the killer: signalled {answer.signalled_count} in {answer.latency_us} us{changed}"


def watching_apart(monitors_cgroup: str, killers_cgroup: str) -> str:
    """A sentence if bustd.toml and killer.toml name different control groups ("": none); "" if they agree."""
    if monitors_cgroup == killers_cgroup:
        return ""
    return (
        f'cgroup is "{monitors_cgroup}" in bustd.toml and "{killers_cgroup}" in killer.toml: the killer refuses while '
        "its own is not short, and whoever is outside of it"
    )


def exited(report: Exited, reading: Reading | None) -> str:
    """How a kill ended, and what it brought."""
    now = f"; now {readings(reading)}" if reading is not None else ""
    if report.fate is Fate.STUCK:
        return (
            f"the victim is STUCK: it has not ended {report.elapsed_ms} ms after its signal, though its memory may be "
            f"back already; it is set aside for as long as it lives{now}"
        )
    return f"the victim is gone after {report.elapsed_ms} ms{now}"
