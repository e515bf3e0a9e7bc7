"""Readings, processes and candidates as the tests of the monitor need them: ordinary in what they do not name."""

from __future__ import annotations

import os
import time

from bustd_monitor.conditions.finding import Finding
from bustd_monitor.conditions.table import BY_NAME, Conditions
from bustd_monitor.config import MonitorConfig, config_of
from bustd_monitor.ranking.order import Candidate
from bustd_monitor.ranking.settings import Matchers, Victims
from bustd_monitor.ranking.what_may_die import Cause, Move
from bustd_monitor.sensing.processes import Process
from bustd_monitor.sensing.reading import Reading
from bustd_protocol import limits
from bustd_protocol.messages import KillerHello, Reason, Signal, Verdict, outcome_of
from bustd_shared.kernel.pressure import MemoryPressure

MIB, GIB = 2**20, 2**30
DEFAULTS: MonitorConfig = config_of({})


def conditions(**tables: dict[str, object]) -> Conditions:
    """The default conditions; a table that is named changes its keys, and `only="floor"` switches the others off."""
    only = tables.pop("only", None)
    if only is not None:
        for name in Conditions._fields:
            tables.setdefault(name, {})
            tables[name] = {"enabled": name == only, **tables[name]}
    return config_of({"conditions": tables}).conditions


def psi(some_avg10: float = 0.0, *, full_ms: int = 0) -> MemoryPressure:
    """`full_ms`: milliseconds of full stall since boot."""
    return MemoryPressure(some_avg10, full_ms * 2000, some_avg10 / 2, full_ms * 1000)


def reading(
    available: float = 8 * GIB,
    *,
    free: float | None = None,
    total: float = 16 * GIB,
    swap: tuple[float, float] = (0, 0),
    pressure: MemoryPressure | None = psi(),  # noqa: B008  # immutable
) -> Reading:
    """A machine on which user space can have 16 GiB; `swap` is (total, free), and all that is free is usable."""
    is_free = available if free is None else free
    of_swap = (int(swap[0]), int(swap[1]))
    return Reading(int(total), int(is_free), int(total), int(available), *of_swap, pressure, swap_usable=of_swap[1])


def finding(
    name: str = "floor",
    *,
    fires: bool = True,
    is_scarce: bool = True,
    headroom: int = 0,
    signal: Signal = Signal.TERM,
    needs_time: bool | None = None,
    look_again_ms: int | None = None,
) -> Finding:
    """Of the condition with this name, or with one like it that needs time or not."""
    condition = BY_NAME[name] if needs_time is None else BY_NAME[name]._replace(needs_time=needs_time)
    return Finding(condition, is_scarce, fires, headroom, signal, look_again_ms)


def process(pid: int = 4711, **changed: object) -> Process:
    ordinary = Process(
        pid=pid,
        start_ticks=90125,
        uid=1000,
        comm=b"leak",
        unit="user@1000.service",
        oom_score=700,
        oom_score_adj=0,
        held_bytes=GIB,
    )
    return ordinary._replace(**changed)


def candidate(pid: int = 4711, **changed: object) -> Candidate:
    made = process(pid, **changed)
    return Candidate(made, made.held_bytes, made.held_bytes)


def with_copies(pid: int, mib: int, kept_mib: int, **changed: object) -> Candidate:
    """One that holds `mib`, of which a forked child keeps a part."""
    one = candidate(pid, held_bytes=mib * MIB, **changed)
    return one._replace(badness=one.badness - kept_mib * MIB, moves=(Move(Cause.COPIED, -kept_mib * MIB),))


def ticks_ago(seconds: float) -> int:
    """The start time of a process that is so old, or as old as a machine that was booted later than that."""
    return max(int((time.clock_gettime(time.CLOCK_BOOTTIME) - seconds) * os.sysconf("SC_CLK_TCK")), 1)


def matchers(
    *,
    units: tuple[str, ...] = (),
    uids: tuple[int, ...] = (),
    names: tuple[bytes, ...] = (),
    commands: tuple[str, ...] = (),
    cgroups: tuple[str, ...] = (),
) -> Matchers:
    return Matchers(units, uids, names, commands, cgroups)


def victims(**changed: object) -> Victims:
    return DEFAULTS.victims._replace(**changed)


def verdict(reason: Reason = Reason.NONE, *, request_id: int = 1, retry_after_ms: int = 0) -> Verdict:
    return Verdict(request_id, outcome_of(reason), reason, retry_after_ms=retry_after_ms)


def killer_hello(request_id: int = 1, *, flight: tuple[int, int, int, int] = (0, 0, 0, 0)) -> KillerHello:
    """`flight`: its id, PID, start time and signal."""
    return KillerHello(request_id, limits.VERSION, 640, 50, 16 * MIB, 40, 2000, 5000, *flight, 0)
