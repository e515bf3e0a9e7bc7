"""What events cost: each with no reader and with three, and a pair that could have readers and has none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
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


class Dropped(Exception):
    """A reader did not last for as long as it was measured."""


def measure(seconds: int, idle_seconds: float, settle_seconds: float, directory: Path) -> list[Figure]:
    """`seconds` of events at once; `idle_seconds` with two monitors side by side."""
    return [*_shares(seconds), *_idle(idle_seconds, settle_seconds, directory)]


# --- events


def _shares(seconds: int) -> list[Figure]:
    """Of one processor, in percent: the event with the most fields, a decision, fifty times a second."""
    found = []
    for count in (0, _READERS):
        with _event_log(count) as log:
            samples = [spent_ns / 1e7 for spent_ns in _times_ns(log, seconds)]
        what = f"{_PER_SECOND} events a second, {count or 'no'} readers"
        found.append(of_samples(f"readers_share_{count}", what, "%", samples, note="of one processor, with the log"))
    more = found[1].value - found[0].value
    what = f"{_PER_SECOND} events a second, what {_READERS} readers add"
    added = Figure("readers_share_added", what, "%", more, note="of one processor")
    return [*found, against(added, more, _MOST_PERCENT)]


def _times_ns(log: EventLog, seconds: int) -> Iterator[int]:
    """The processor time of each second's events. Between them everybody sleeps, as in life."""
    event = chosen(runners_up=tuple(candidate(102 + number) for number in range(10)))
    with quiet.no_collection():
        for _ in range(seconds):
            spent_ns = 0
            for _ in range(_PER_SECOND):
                time.sleep(1 / _PER_SECOND)
                began_ns = time.thread_time_ns()
                log(event)
                spent_ns += time.thread_time_ns() - began_ns
            yield spent_ns


@contextmanager
def _event_log(readers: int) -> Iterator[EventLog]:
    """One that writes entries to a journal of its own. That and each reader are processes that wait for the next.

    Raises Dropped at the end: one of them has not heard everything.
    """
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="bustd-bench-"))
        journal = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        journal.bind(f"{place}/journal")
        listener = Socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(f"{place}/events")
        listener.listen(readers)
        admitting = Readers(listener)
        stack.callback(admitting.close)
        waiting = [stack.enter_context(_waiting_for(journal))]
        for _ in range(readers):
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
                link.connect(f"{place}/events")
                waiting.append(stack.enter_context(_waiting_for(link)))
        admitting.welcome(0)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        stack.callback(os.close, nowhere)
        log = EventLog(Log("bustd-monitor", nowhere), f"{place}/journal", admitting)
        stack.callback(log.close)
        yield log
        if any(process.poll() is not None for process in waiting):
            raise Dropped("a reader was dropped")


@contextmanager
def _waiting_for(link: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    """A process that reads from the socket until it is closed."""
    program = "import socket\nlink = socket.socket(fileno=0)\nwhile link.recv(16384):\n    pass"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", program], stdin=link)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


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
