"""Entries as the journal gives them, made from events as the monitor tells them."""

from __future__ import annotations

from io import BytesIO

from bustd_monitor.cli.entries import Entry, entries
from bustd_monitor.cli.history.journal import of_ours
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding import actions, events
from bustd_monitor.deciding.actions import Ask, Basis, Escalate, Flight
from bustd_monitor.deciding.events import Answered, Chosen, Ended, Event, NextAsked
from bustd_monitor.deciding.worth_killing import Relief
from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import told
from bustd_protocol.messages import Exited, Fate, KillRequest, Reason, Scope, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, finding, process, reading, verdict

MONITOR_UNIT, KILLER_UNIT = "bustd-monitor.service", "bustd-killer.service"
THIS, BEFORE = "b" * 32, "a" * 32
EPOCH_S = 1_790_000_000
"""When a boot of these tests began, by the wall clock."""


def field(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + len(value).to_bytes(8, "little") + value + b"\n"
    return name.encode() + b"=" + value + b"\n"


def stamped(
    packet: bytes, at_s: float, unit: str = MONITOR_UNIT, boot: str = THIS, wall_s: float | None = None
) -> bytes:
    """A packet of the native protocol as `journalctl -o export` prints its entry."""
    stamps = {
        "__REALTIME_TIMESTAMP": b"%d" % ((EPOCH_S + at_s if wall_s is None else wall_s) * 1e6),
        "__MONOTONIC_TIMESTAMP": b"%d" % (at_s * 1e6),
        "_BOOT_ID": boot.encode(),
        "_SYSTEMD_UNIT": unit.encode(),
    }
    return b"".join(field(name, value) for name, value in stamps.items()) + packet + b"\n"


CANDIDATES = (b"102 77 1000 209715200 next one", b"103 78 1000 104857600 third")
"""PID START_TICKS UID HELD_BYTES COMM."""


def exported(event: Event, at_s: float, **where: object) -> bytes:
    said = told(event)
    if any(name == "CANDIDATE" for name, _ in said.fields):
        others = tuple(field for field in said.fields if field[0] != "CANDIDATE")
        said = said._replace(fields=(*others, *(("CANDIDATE", value) for value in CANDIDATES)))
    return stamped(entry("bustd-monitor", said.sentence, said), at_s, **where)


def line(sentence: str, at_s: float, unit: str = KILLER_UNIT, **where: object) -> bytes:
    """A line of a daemon's standard error."""
    program = unit.removesuffix(".service")
    packet = field("MESSAGE", f"{program}: {sentence}".encode()) + b"PRIORITY=4\nSYSLOG_IDENTIFIER=python3\n"
    return stamped(packet, at_s, unit, **where)


def read(*stream: bytes) -> list[Entry]:
    """The entries of a stream that count."""
    found = (of_ours(one) for one in entries(BytesIO(b"".join(stream))))
    return [one for one in found if one is not None]


# --- a kill

AVAILABLE, TOTAL = 100 * MIB, GIB


def chosen(pid: int = 101, comm: bytes = b"leak", **others: object) -> Chosen:
    ask = Ask(
        candidate(pid, comm=comm, unit="leak.service", uid=1001, held_bytes=300 * MIB),
        finding("floor"),
        (candidate(102, comm=b"next one"), candidate(103)),
        Basis(Seen(reading(AVAILABLE, total=TOTAL), Trends()), Relief.WHOLE, 512 * MIB),
    )
    return Chosen(ask._replace(**others), DEFAULTS.conditions, 812)


def request(pid: int = 101, comm: bytes = b"leak") -> KillRequest:
    return KillRequest(7, pid, 9, 1001, comm, GIB, Signal.TERM, Scope.PROCESS, b"floor", 5)


def answered(pid: int = 101, reason: Reason = Reason.NONE, comm: bytes = b"leak") -> Answered:
    return Answered(verdict(reason), request(pid, comm))


def ended(pid: int = 101, fate: Fate = Fate.GONE, available: int = 400 * MIB, comm: bytes = b"leak") -> Ended:
    return Ended(Exited(7, fate, 40), request(pid, comm), reading(available, total=TOTAL))


def escalated(pid: int = 101) -> Escalate:
    return Escalate(Flight(pid, 9, Signal.TERM), finding("floor", signal=Signal.KILL))


def asked_next(pid: int = 102) -> NextAsked:
    return NextAsked(chosen(pid, b"next one").ask._replace(basis=None, runners_up=()))


def less_came_back(pid: int = 101) -> actions.LessCameBack:
    return actions.LessCameBack(process(pid, comm=b"leak"), 300 * MIB, 20 * MIB)


def kill(pid: int = 101, at_s: float = 100.0, **where: object) -> bytes:
    """A whole kill, as both daemons tell it."""
    return b"".join(
        [
            line(
                f"signalled SIGTERM to {pid} (leak, unit leak.service, holding 300 MiB, uid 1001) for floor",
                at_s,
                **where,
            ),
            exported(chosen(pid), at_s + 0.001, **where),
            exported(answered(pid), at_s + 0.002, **where),
            line(f"{pid} is gone after 40 ms", at_s + 0.04, **where),
            exported(ended(pid), at_s + 0.041, **where),
        ]
    )


STARTED = events.Started(reading(AVAILABLE), DEFAULTS.conditions)
