"""What an honest monitor asks for, and the proof that the killer still serves one."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bustd_protocol.members import packed_members
from bustd_protocol.messages import (
    Exited,
    Fate,
    KillRequest,
    Outcome,
    Reason,
    Scope,
    Signal,
    Verdict,
)
from bustd_shared.kernel import procfs

from . import victims
from .dialogue import Dialogue, peer
from .killer import Killer

_OF_THIS_TEST = 4000
"""Ids start here, so that they differ from those of an earlier MonitorHello."""

OVER = (Fate.GONE, Fate.RELEASED)
"""How the kill of a process that dies of SIGKILL is over; which comes first, the kernel decides."""

_ids = iter(range(_OF_THIS_TEST, 2**32))


def request_for(pid: int, /, **changes: object) -> KillRequest:
    """A request with what /proc shows of the process, and with `changes`."""
    root = Path(f"/proc/{pid}")
    stat = procfs.parse_stat((root / "stat").read_bytes())
    status = procfs.parse_status((root / "status").read_bytes())
    assert stat is not None
    assert status is not None
    request = KillRequest(
        id=next(_ids),
        pid=pid,
        start_ticks=stat.start_ticks,
        uid=status.uid,
        comm=stat.comm,
        claimed_bytes=status.held_bytes or 0,
        signal=Signal.KILL,
        scope=Scope.PROCESS,
        condition=b"floor",
        monotonic_ms=1,
    )
    return request._replace(**changes)  # type: ignore[arg-type]


def group_request(pid: int, /, *members: int, **changes: object) -> KillRequest:
    """A request for its process group (or another scope in `changes`) that names these processes as members."""
    named = packed_members((member, victims.start_ticks(member)) for member in members)
    return request_for(pid, **{"scope": Scope.GROUP, "members": named} | changes)


def refused(verdict: Verdict, reason: Reason) -> bool:
    """Whether the Verdict is a refusal for this reason, with nothing signalled."""
    return verdict[1:3] == (Outcome.REFUSED, reason) and verdict.signalled_count == 0 and verdict.latency_us >= 0


def dies_of(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> bool:
    """Whether the process ends soon, by this signal and no other."""
    return victims.exits_within(process, 10) and process.wait() == -number


def kill(monitor: Dialogue, process: subprocess.Popen[bytes], **changes: object) -> Verdict:
    """Send an honest request, by which the process dies, and in which nothing differs from /proc."""
    request = request_for(process.pid, **changes)
    verdict = monitor.ask(request)
    assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE), verdict
    assert dies_of(process, request.signal)
    exited = monitor.hear()
    assert isinstance(exited, Exited), exited
    assert exited.id == request.id
    assert exited.fate in OVER, "on a busy machine its memory is back before it is gone"
    return verdict


def is_served(killer: Killer, process: subprocess.Popen[bytes]) -> bool:
    """A correct monitor connects, sends MonitorHello, and the process dies at its request."""
    with peer(killer.socket_path) as monitor:
        verdict = kill(monitor, process)
    return verdict.differs == 0 and verdict.signalled_count == 1 and killer.process.poll() is None


@contextmanager
def all_survive(*processes: subprocess.Popen[bytes]) -> Iterator[None]:
    """Check that the processes are alive at the end of the block, by asking the kernel."""
    yield
    dead = [process.pid for process in processes if not victims.is_alive(process)]
    assert not dead, f"dead: {dead}"
