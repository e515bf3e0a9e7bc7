"""The sentences of the log. What they say of a victim is what the ranking knew: nothing is read again in a crisis."""

from __future__ import annotations

import os
import time

from bustd_monitor.amounts import size as size
from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, Exited, Fate, Outcome, Scope, Verdict
from bustd_shared import __version__
from bustd_shared.daemon.log import printable

from ..conditions.table import Conditions, grounds, switched_on
from ..deciding.actions import (
    Ask,
    Basis,
    CannotKill,
    Escalate,
    KernelKilled,
    LessCameBack,
    News,
    NodeIsFull,
    NothingGrows,
    NoVictim,
    Scarce,
    ShortSoon,
    StillSmall,
    SwapWent,
)
from ..deciding.stages import Stage
from ..deciding.worth_killing import Relief
from ..ranking.order import Candidate
from ..ranking.what_may_die import Spared
from ..sensing.processes import SHORT_COMMAND_BYTES, Process
from ..sensing.reading import Reading
from ..sensing.unread import ALL_READ
from . import reasons, unheld, unread

DRY_RUN = "dry run: everything is decided and logged, nothing is ever killed"

_SHOWN = 3
"""So many of the processes that would be next: an entry of the journal has more of them (BUSTD_CANDIDATE)."""
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def in_force(reading: Reading | None, conditions: Conditions) -> str:
    """The first line of the log: the version, and what each condition that is switched on demands of this machine."""
    if reading is None:
        names = [one.name for one, _ in switched_on(conditions)]
        return f"bustd {__version__} acts by {', '.join(names)}; memory can't be read just now"
    demands = " | ".join(f"{one.name}: {one.demands(reading, its)}" for one, its in switched_on(conditions))
    return f"bustd {__version__} acts when one of these is true: {demands}"


def read_again(reading: Reading | None, conditions: Conditions) -> str:
    """The same after SIGHUP."""
    return f"the configuration has been read again: {in_force(reading, conditions)}"


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
    command = f", command {printable(process.command[:SHORT_COMMAND_BYTES])}" if process.command else ""
    return f"{holder(process)}, {max(age_s, 0):.0f} s old{command}"


def holder(process: Process) -> str:
    """Which process it is, and how much it holds."""
    unit = printable(process.unit) or "none"
    named = f"{process.pid} ({printable(process.comm)}) of uid {process.uid}, unit {unit}"
    return f"{named}, holding {size(process.held_bytes)}"


def phase_changed(before: Stage, after: Stage, reading: Reading) -> str:
    """The monitor is at something else now, after this reading."""
    return f"{before.value} -> {after.value}: {readings(reading)}"


def fill_rate(per_second: int, why: str) -> str:
    """The rate that every sleep is reckoned with. `why`: where it comes from, a word or two."""
    return f"programs fill memory by {size(per_second)} a second at most ({why})"


def asking_for_the_next(ask: Ask) -> str:
    """The killer is asked for another process after it has refused."""
    alone = "" if ask.candidate.scope is not Scope.PROCESS else " alone"
    return f"asking for the next: {victim(ask.candidate.process)}{alone}{_and(unheld.fills(ask.unheld))}"


def urgent(action: Escalate) -> str:
    """The process in flight gets SIGKILL."""
    which = f"SIGKILL for {action.flight.pid}, which is in flight"
    return f"{action.finding.name} is urgent now: {which}{_and(unheld.fills(action.unheld))}"


def decision(ask: Ask, conditions: Conditions, took_us: int) -> str:
    """The line of a kill: what was chosen and why, and how long it took."""
    return f"{choice(ask, conditions)}; decided in {took_us} us"


def choice(ask: Ask, conditions: Conditions, boottime_s: float | None = None) -> str:
    """The condition, the numbers, the victim, and which processes would have been next."""
    assert ask.basis is not None, "only the first choice of a ranking has this line"
    chosen, reading = ask.candidate, ask.basis.seen.reading
    others = ", ".join(_runner_up(other) for other in ask.runners_up[:_SHOWN])
    beyond = grounds(ask.finding, ask.basis.seen, conditions)
    ending = reasons.ending(chosen, ask.finding.signal)
    remarks = "".join(_and(words) for words in (beyond, relief(ask.basis), unheld.fills(ask.unheld), ending))
    return (
        f"{ask.finding.name} fires: {readings(reading)}; SIG{ask.finding.signal.name} for "
        f"{victim(chosen.process, boottime_s)}, "
        f"{reasons.place(chosen)}; after it {others or 'none'}{remarks}"
    )


def _and(clause: str) -> str:
    return f"; {clause}" if clause else ""


def _runner_up(other: Candidate) -> str:
    if other.family is not None:
        return reasons.members(other)
    return _named(other.process)


def _named(process: Process) -> str:
    return f"{process.pid} ({printable(process.comm)}, {size(process.held_bytes)})"


def relief(basis: Basis) -> str:
    """What the death of the first does not bring; "" if it ends the shortage."""
    if basis.relief is Relief.PART:
        return f"its death alone does not end the shortage: that takes {size(basis.needed_bytes)}"
    if basis.relief is Relief.MANY_HANDS:
        return f"memory is in many hands, and to end the shortage takes {size(basis.needed_bytes)}"
    return ""


def news(said: News) -> str:
    """What a decision says beside a choice."""
    if isinstance(said, NoVictim):
        return _what_fills_memory(said)
    if isinstance(said, Scarce):
        return f"memory is scarce: {readings(said.reading)}; {_ahead(said)}"
    if isinstance(said, ShortSoon):
        rate = f"it fills up at {size(said.per_second)} a second"
        return f"memory will be short in {said.short_ms // 1000} s: {rate}, {readings(said.reading)}; {_ahead(said)}"
    if isinstance(said, SwapWent):
        return unheld.swap_went(said.before, said.now)
    if isinstance(said, KernelKilled):
        return unheld.kernel_killed(said.killed)
    if isinstance(said, NodeIsFull):
        bound = None if said.bound is None else [_named(one) for one in said.bound]
        return unheld.node_is_full(said.node, said.available, bound)
    if isinstance(said, NothingGrows):
        return "memory fills up, and no process worth killing grows: what takes it is no program (a tmpfs, perhaps)"
    if isinstance(said, StillSmall):
        return (
            f"no process is killed yet: {said.process.pid} ({printable(said.process.comm)}) takes the memory, and its "
            f"death would not help before it holds more; {size(said.available)} are left"
        )
    if isinstance(said, LessCameBack):
        return (
            f"{said.process.pid} ({printable(said.process.comm)}) has given back {size(said.came_back_bytes)} of "
            f"{size(said.claimed_bytes)}: others of its name, parent and size count by that for ten minutes"
        )
    if isinstance(said, CannotKill):
        return f"CANNOT PROTECT THIS MACHINE: the killer says {said.reason.name.lower()}{_error(said.errno)}"
    return "the second look at the readings finds no shortage any more: no process is killed"


def _ahead(said: Scarce | ShortSoon) -> str:
    """What is expected, and which process would die first as far as that is known."""
    left = f"{said.condition.name} fires when {size(max(said.left_bytes, 0))} more are taken"
    return left + (f"; the first to die would be {_runner_up(said.candidates[0])}" if said.candidates else "")


def unjudged(spared: tuple[Spared, ...]) -> str:
    """That these processes, at least one, are spared because a rule can't be judged; and the largest of them."""
    largest = max(spared, key=lambda left: left.process.held_bytes)
    process, others = largest.process, len(spared) - 1
    also = f", and {others} more" if others else ""
    return (
        f"spared: {process.pid} ({printable(process.comm)}) with {size(process.held_bytes)}{also}: "
        f"{reasons.left_out(largest)}"
    )


def _what_fills_memory(said: NoVictim) -> str:
    """Where memory is, if not with the processes that may be killed."""
    reading, largest = said.reading, said.largest
    nobody = "NOBODY TO KILL"
    if largest is not None:
        process = largest.process
        held = f"{process.pid} ({printable(process.comm)}) with {size(largest.held_bytes)}"
        nobody = f"NOBODY WORTH KILLING: the largest that may be is {held}"
        if said.again is not None:
            nobody += _and(unheld.not_again(said.again, said.unheld, largest.brings_bytes, reading))
    if said.unread != ALL_READ:
        nobody += f"; {unread.words(said.unread)}"
    anonymous = max(reading.total - reading.available, 0)
    kernel = f", the kernel {size(reading.kernel)}" if reading.kernel else ""
    return (
        f"memory is short and there is {nobody}; of {size(reading.ram)}, tmpfs and shared memory hold "
        f"{size(reading.shared)}, huge pages {size(reading.hugetlb)}{kernel}, all programs {size(anonymous)}"
        f"{_and(unheld.grew(said.unheld))}"
    )


def _error(number: int) -> str:
    return f" ({os.strerror(number)})" if number else ""


def verdict(answer: Verdict) -> str:
    """What the killer answered."""
    if answer.outcome is not Outcome.SIGNALLED:
        wait = f", again in {answer.retry_after_ms} ms" if answer.retry_after_ms else ""
        why = f"{answer.reason.name.lower()}{_error(answer.errno)}"
        return f"the killer: {answer.outcome.name.lower()}, {why}{wait}"
    differs = [word for bit, word in ((DIFFERS_UID, "uid"), (DIFFERS_COMM, "name")) if answer.differs & bit]
    changed = f", its {' and '.join(differs)} had changed" if differs else ""
    return f"the killer: signalled {answer.signalled_count} in {answer.latency_us} us{changed}"


def beside(daemons: list[str]) -> str:
    """That these daemons run as well; "" if none does."""
    if not daemons:
        return ""
    names, run = " and ".join(daemons), "runs" if len(daemons) == 1 else "run"
    return f"{names} {run} too: the faster one kills, and neither knows of the other's kills; let one of them run"


def watching_apart(monitors_cgroup: str, killers_cgroup: str) -> str:
    """A sentence if bustd.toml and killer.toml name different control groups ("": none); "" if they agree."""
    if monitors_cgroup == killers_cgroup:
        return ""
    return (
        f'cgroup is "{monitors_cgroup}" in bustd.toml and "{killers_cgroup}" in killer.toml: the killer refuses while '
        "its own group is not short, and any process outside of it"
    )


def forgeable(names: tuple[bytes, ...]) -> str:
    """What to say of names that root protects, by killer.toml or by `-u`."""
    shown = ", ".join(f'"{printable(name)}"' for name in names)
    return (
        f"{shown}: a name in protect.names of killer.toml, or of -u, protects every process that has it, and any "
        "program can give itself one; it can't give itself a unit (protect.units) or a user (protect.users)"
    )


def exited(report: Exited, reading: Reading | None) -> str:
    """How a kill ended, and what it brought."""
    now = f"; now {readings(reading)}" if reading is not None else ""
    if report.fate is Fate.STUCK:
        return (
            f"the victim is STUCK: it has not ended {report.elapsed_ms} ms after its signal, though its memory may be "
            f"back already; it is set aside for as long as it lives{now}"
        )
    if report.fate is Fate.SPARED:
        return (
            f"the victim has not obeyed SIGTERM for {report.elapsed_ms} ms and lives, because memory is no longer "
            f"short; the next time it gets SIGKILL at once{now}"
        )
    if report.fate is Fate.RELEASED:
        return f"the victim has no memory any more after {report.elapsed_ms} ms, and is about to be gone{now}"
    return f"the victim is gone after {report.elapsed_ms} ms{now}"
