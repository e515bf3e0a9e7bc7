"""Events as the agent reads them."""

from __future__ import annotations

import io

from bustd_monitor.cli.entries import Entry, entries
from bustd_monitor.cli.notifying.candidates import Glance, NamedProcess
from bustd_monitor.reporting import events
from bustd_monitor.reporting.events import Kind

MIB, GIB = 2**20, 2**30
UID = 1000
NOW_US = 10**12
NOW_MS = NOW_US // 1000


def entry(kind: Kind, *, made_us: int = NOW_US, candidates: tuple[bytes, ...] = (), **fields: object) -> Entry:
    named = [("MESSAGE_ID", kind.message_id), ("__MONOTONIC_TIMESTAMP", made_us)]
    named += [(f"BUSTD_{name}", value) for name, value in fields.items()]
    lines = [f"{name}={value}\n".encode() for name, value in named]
    lines += [b"BUSTD_CANDIDATE=%s\n" % one for one in candidates]
    (made,) = entries(io.BytesIO(b"".join(lines)))
    return made


def warned(*candidates: bytes, made_us: int = NOW_US, short_in_ms: int = 20_000) -> Entry:
    return entry(
        events.SHORT_SOON,
        made_us=made_us,
        candidates=candidates,
        SHORT_IN_MS=short_in_ms,
        AVAILABLE_BYTES=GIB,
        TOTAL_BYTES=16 * GIB,
    )


def decided(pid: int, held_bytes: int = 2 * GIB) -> Entry:
    return entry(events.DECIDED, VICTIM_PID=pid, VICTIM_BYTES=held_bytes)


def ended(pid: int, name: str = "leak", *, uid: int = UID, kind: Kind = events.ENDED, made_us: int = NOW_US) -> Entry:
    return entry(
        kind,
        made_us=made_us,
        VICTIM_PID=pid,
        VICTIM_COMM=name,
        VICTIM_UID=uid,
        CONDITION="a condition",
        AVAILABLE_BYTES=3 * GIB,
        TOTAL_BYTES=16 * GIB,
    )


def target(pid: int = 7, name: str = "leak", *, uid: int = UID, held_bytes: int = GIB) -> NamedProcess:
    return NamedProcess(pid, 90, uid, held_bytes, name)


def line(pid: int = 7, name: bytes = b"leak", *, uid: int = UID) -> bytes:
    return b"%d 90 %d %d %s" % (pid, uid, GIB, name)


def everything(_: NamedProcess) -> Glance:
    return Glance(may_end=True, may_spare=True)


def nothing(_: NamedProcess) -> Glance:
    return Glance()
