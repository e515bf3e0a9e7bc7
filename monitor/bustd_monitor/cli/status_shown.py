"""`bustd status` in words and in JSON: its level, its first line, and what is below it."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from bustd_shared import __version__
from bustd_shared.daemon.log import printable

from ..amounts import size
from ..conditions.finding import Finding
from ..reporting.sentences import readings
from .daemons_running import Running
from .json_text import plain
from .kills import ToldKill
from .memory_now import MemoryNow
from .protection import ProtectionNow
from .seen_now import state

SHOWN_KILLS = 5


class Severity(IntEnum):
    """As a monitoring plugin ends (monitoring-plugins.org, plugin return codes)."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class MachineStatus(NamedTuple):
    """Everything that was seen. `kills`: the oldest first."""

    protection: ProtectionNow
    memory: MemoryNow
    kills: tuple[ToldKill, ...]
    running: Running


def level(status: MachineStatus) -> Severity:
    """CRITICAL: nothing protects this machine. WARNING: it is protected, and someone should look. See `doubts`."""
    if status.protection.is_protected is None:
        return Severity.UNKNOWN
    if not status.protection.is_protected and not status.protection.dry_run:
        return Severity.CRITICAL
    return Severity.WARNING if status.protection.dry_run or doubts(status) else Severity.OK


def doubts(status: MachineStatus) -> list[str]:
    """What someone should look at, each a clause: memory is short, another daemon runs too, what can't be read.

    A condition that is only scarce is no reason: without swap `emergency` is that for ever on a machine in good health.
    """
    found = [f"memory is short: `{one.name}` fires" for one in status.memory.found if one.fires][:1]
    found += [
        f"{one.name} ({one.pid}) runs beside it, and neither knows of the other's kills"
        for one in status.running.others
    ]
    monitors = status.running.monitors
    if len(monitors) > 1:
        found.append(f"{len(monitors)} monitors of bustd run ({', '.join(map(str, monitors))})")
    return [*found, *([status.memory.trouble] if status.memory.trouble else [])]


# --- for people


def lines(status: MachineStatus) -> list[str]:
    """The first line has all that a monitoring plugin shows. Each is printable."""
    shown = [first_line(status)]
    if status.protection.advice:
        shown.append(f"What to do: {status.protection.advice}")
    if status.memory.seen is not None:
        shown += [
            f"Memory: {readings(status.memory.seen.reading)}",
            "Conditions (bustd explain has what each demands):",
        ]
        shown += [_condition(finding) for finding in status.memory.found]
    last = status.kills[-SHOWN_KILLS:]
    if last:
        shown += ["The last kills:", *(_kill(kill) for kill in last)]
    elif status.protection.is_protected:
        shown.append("The last kills: none since the monitor has started")
    return [printable(line) for line in shown]


def first_line(status: MachineStatus) -> str:
    """`BUSTD OK: ...`, without a `|`, after which a plugin's numbers would follow."""
    protection, seen = status.protection, status.memory.seen
    said = [protection.line]
    if protection.since_us:
        said[0] += f", since {_local(protection.since_us)}"
    said += doubts(status)
    if seen is not None:
        said.append(f"{100 * seen.reading.available / seen.reading.total:.1f} % of memory available")
    by_one_reading = [one for one in status.memory.found if not (one.is_scarce or one.condition.needs_time)]
    said += [f"`{one.name}` is {size(one.headroom)} away" for one in by_one_reading]
    return printable(f"BUSTD {level(status).name}: {'; '.join(said)}").replace("|", "/")


def _condition(finding: Finding) -> str:
    away = "" if finding.is_scarce else f", {size(finding.headroom)} away"
    signal = f", SIG{finding.signal.name}" if finding.fires else ""
    return f"  {finding.name:9} {state(finding)}{away}{signal}"


def _kill(kill: ToldKill) -> str:
    who = f"{kill.comm} ({kill.pid})" if kill.pid is not None else "a process that an earlier monitor asked for"
    unit = f", unit {kill.unit}" if kill.unit else ""
    held = f", holding {size(kill.held_bytes)}" if kill.held_bytes is not None else ""
    why = f": SIG{kill.signal} for {kill.condition}" if kill.condition else ""
    after = f" after {kill.elapsed_ms} ms" if kill.elapsed_ms is not None else ""
    return f"  {_local(kill.time_us)} {who}{unit}{held}{why}; {kill.outcome}{after}"


def _local(time_us: int) -> str:
    return f"{datetime.fromtimestamp(time_us / 1e6):%Y-%m-%d %H:%M:%S}"


# --- for programs


def values(status: MachineStatus) -> dict[str, object]:
    """bustd(1), JSON, lists the keys."""
    protection, memory, found = status.protection, status.memory, level(status)
    reading = memory.seen.reading if memory.seen is not None else None
    return {
        "version": __version__,
        "level": found.name,
        "exit_code": int(found),
        "protected": protection.is_protected,
        "dry_run": protection.dry_run,
        "why": plain(protection.line),
        "since": _utc(protection.since_us),
        "advice": plain(protection.advice),
        "warnings": [plain(doubt) for doubt in doubts(status)],
        "available_bytes": reading.available if reading is not None else None,
        "total_bytes": reading.total if reading is not None else None,
        "conditions": [
            {
                "name": finding.name,
                "state": state(finding),
                "signal": finding.signal.name,
                "headroom_bytes": finding.headroom,
            }
            for finding in memory.found
        ],
        "kills": [_kill_values(kill) for kill in status.kills],
        "monitors": list(status.running.monitors),
        "beside": [{"name": other.name, "pid": other.pid} for other in status.running.others],
    }


def _kill_values(kill: ToldKill) -> dict[str, object]:
    return {
        "time": _utc(kill.time_us),
        "condition": plain(kill.condition),
        "signal": plain(kill.signal),
        "outcome": plain(kill.outcome),
        "pid": kill.pid,
        "comm": plain(kill.comm),
        "uid": kill.uid,
        "unit": plain(kill.unit),
        "held_bytes": kill.held_bytes,
        "elapsed_ms": kill.elapsed_ms,
    }


def _utc(time_us: int) -> str | None:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds") if time_us else None
