"""What events cost: each with no reader and with three, and a pair that could have readers and has none."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bustd_monitor.event_log import EventLog
from bustd_monitor.readers import Readers
from bustd_shared.daemon.log import Log
from bustd_shared.daemon.packets import Socket

from ..support import pair, reading
from ..unit.cli.history.making import chosen
from ..unit.monitor.making import candidate
from . import daemons, idle, memory, quiet
from .table import Figure, against, of_samples

_READERS, _PER_SECOND = 3, 50
_MOST_PERCENT, _MOST_MB = 1.0, 0.3
_MOST_WAKE_UPS_PER_SECOND = 0.02
"""None: but two monitors do not begin to sleep at once, so one may wake up once or twice more in two minutes."""
_WARMING_UP = 10
_IN_A_SAMPLE = _PER_SECOND
"""Events: a sample is what a second with as many as that costs."""


def measure(seconds: int, idle_seconds: float, settle_seconds: float, directory: Path) -> list[Figure]:
    """`seconds` of events at once; `idle_seconds` with two monitors side by side."""
    return [*_shares(seconds), *_idle(idle_seconds, settle_seconds, directory)]


# --- events


def _shares(seconds: int) -> list[Figure]:
    """Of one processor, in percent: the event with the most fields, a decision, fifty times a second."""
    found = []
    for count in (0, _READERS):
        with _event_log(count) as (log, links):
            samples = [share / 1e7 for share in _times_ns(log, links, seconds)]
        what = f"{_PER_SECOND} events a second, {count or 'no'} readers"
        found.append(of_samples(f"readers_share_{count}", what, "%", samples, note="of one processor"))
    return [found[0], against(found[1], found[1].value, _MOST_PERCENT)]


def _times_ns(log: EventLog, links: list[socket.socket], seconds: int) -> Iterator[int]:
    """The processor time of each second's events. The readers read when the clock stands still."""
    event = chosen(runners_up=tuple(candidate(102 + number) for number in range(10)))
    with quiet.no_collection():
        for number in range(_WARMING_UP + seconds):
            spent_ns = 0
            for _ in range(_IN_A_SAMPLE):
                began_ns = time.thread_time_ns()
                log(event)
                spent_ns += time.thread_time_ns() - began_ns
                for link in links:
                    assert link.recv(16_384), "a reader was dropped"
            if number >= _WARMING_UP:
                yield spent_ns


@contextmanager
def _event_log(readers: int) -> Iterator[tuple[EventLog, list[socket.socket]]]:
    """One that writes entries to a journal of its own, and what reads: the journal's socket, then each reader."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bustd-bench-"))
        journal = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        journal.bind(f"{place}/journal")
        listener = Socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"{place}/events")
        listener.listen(readers)
        admitting = Readers(listener)
        stack.callback(admitting.close)
        links = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(readers)]
        for link in links:
            stack.enter_context(link).connect(f"{place}/events")
        admitting.welcome(0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        log = EventLog(Log("bustd-monitor", nowhere), f"{place}/journal", admitting)
        stack.callback(log.close)
        yield log, [journal, *links]


# --- no events


def _idle(seconds: float, settle_seconds: float, directory: Path) -> list[Figure]:
    """Two pairs in a dry run: one has a socket for readers, to which nobody connects."""
    crew = pair.CREWS["root" if os.geteuid() == 0 else "own"]
    with_socket = directory / "with-readers"
    with_socket.mkdir(mode=0o755)
    nothing: pair.Policy = {}
    with (
        daemons.idle_pair(directory / "without-readers") as without,
        reading.pair_with_readers(crew, with_socket, "--dry-run", monitor=nothing, killer=nothing) as (running, _),
    ):
        running.await_ready()
        pids = {"without": without["monitor"], "with": reading.monitor_of(running)}
        time.sleep(settle_seconds)
        elapsed, used = idle.spent(pids, seconds)
        private = {name: memory.of(pid).private for name, pid in pids.items()}
    more_mb = (private["with"] - private["without"]) / 1e6
    more_often = (used["with"].wake_ups - used["without"].wake_ups) / elapsed
    note = f"{used['with'].wake_ups} and {used['without'].wake_ups} in {elapsed:.0f} s"
    held = Figure("readers_memory", "monitor, private memory for readers, none connected", "MB", more_mb)
    woken = Figure("readers_wake_ups", "monitor, wake-ups for readers, none connected", "per s", more_often, note=note)
    return [against(held, more_mb, _MOST_MB), against(woken, more_often, _MOST_WAKE_UPS_PER_SECOND)]
