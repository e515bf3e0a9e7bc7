"""From a request to the signal, on real victims: a real killer behind its socket, and the monitor's own client."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bustd_monitor.client import Client
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Exited, KillRequest, Message, Outcome, Scope, Signal, Verdict

from ..support import victims
from ..support.killer import killer
from . import crowd, quiet
from .table import Figure, against, of_samples

_TARGET_US = 1000
_BATCH, _BATCHES, _BATCH_TARGET_MS = 300, 3, 60
"""More than three batches of so many would exceed what the killer signals in a minute."""
_VICTIMS_PER_KILLER = 50
"""A new killer for so many, so that its memory of past kills is never longer than with the rate that it ships with."""
_APART_S = 0.03
"""The protocol allows 40 messages a second."""
_PATIENCE_S = 5.0
_DISTURBED_US = 100
_RATE = f"burst = {_VICTIMS_PER_KILLER}\ninterval_ms = 0\nper_minute = {2 * _VICTIMS_PER_KILLER}"
_LIMITS = "claimed_percent = 0\nminimum_mib = 0\nminimum_percent = 0"
"""A sleeping process holds next to nothing, and is killed all the same."""


class Kill(NamedTuple):
    """One kill, in microseconds: the killer's own figure; what the client saw, from sending to the verdict; how long
    the killer could have run and was kept waiting for a processor.
    """

    latency_us: float
    round_trip_us: float
    kept_waiting_us: float


def measure(count: int, directory: Path) -> list[Figure]:
    """Kill `count` processes one after the other. All of them are this process's children, and nobody else may die."""
    kills: list[Kill] = []
    first: list[Kill] = []
    for start in range(0, count, _VICTIMS_PER_KILLER):
        batch = _batch(min(_VICTIMS_PER_KILLER, count - start), directory / f"killer-{start}")
        first.append(batch[0])
        kills += batch
    latency = of_samples(
        "kill_latency",
        "request to signal, in the killer",
        "µs",
        [kill.latency_us for kill in kills],
        note=f"{count} victims",
    )
    return [
        against(latency, latency.p99 or 0, _TARGET_US, f"p99 ≤ {_TARGET_US} µs"),
        _undisturbed(kills),
        of_samples(
            "kill_round_trip", "request to verdict, at the client", "µs", [kill.round_trip_us for kill in kills]
        ),
        of_samples(
            "kill_first_latency",
            "request to signal, a killer's first",
            "µs",
            [kill.latency_us for kill in first],
            note=f"{len(first)} killers",
        ),
        _together(directory / "killer-together"),
    ]


def _together(directory: Path) -> Figure:
    """A process group of 300, whose members the request names: each is opened, read and checked by itself."""
    latencies_ms = []
    with killer(directory, rate=_RATE, limits=_LIMITS, only_descendants_of=os.getpid()) as running:
        client = Client(str(running.socket_path))
        try:
            _connect(client)
            for _ in range(_BATCHES):
                with crowd.sleepers(_BATCH, in_one_group=True) as pids, quiet.no_collection():
                    latencies_ms.append(_kill(client, pids[0], running.pid, pids[1:]).latency_us / 1000)
                time.sleep(1.2)  # each process that is looked at costs one of 128 tokens a second
        finally:
            client.lose(0, "")
    figure = of_samples(
        "kill_latency_batch", f"request to the last of {_BATCH} signals", "ms", latencies_ms, note=f"{_BATCHES} batches"
    )
    return against(figure, max(latencies_ms), _BATCH_TARGET_MS, f"≤ {_BATCH_TARGET_MS} ms")


def _undisturbed(kills: list[Kill]) -> Figure:
    """What is left when nobody else wants the processors: on a busy machine the whole says more about the others."""
    key, what = "kill_latency_undisturbed", "request to signal, with a processor at once"
    samples = [kill.latency_us for kill in kills if kill.kept_waiting_us <= _DISTURBED_US]
    if not samples:
        return Figure(key, what, why_not=f"the killer waited over {_DISTURBED_US} µs for a processor each time")
    note = f"{len(samples)} of {len(kills)}; the others waited over {_DISTURBED_US} µs for a processor"
    return of_samples(key, what, "µs", samples, note=note)


def _batch(count: int, directory: Path) -> list[Kill]:
    with (
        crowd.sleepers(count) as pids,
        killer(directory, rate=_RATE, limits=_LIMITS, only_descendants_of=os.getpid()) as running,
    ):
        client = Client(str(running.socket_path))
        try:
            _connect(client)
            kills = []
            with quiet.no_collection():
                for pid in pids:
                    kills.append(_kill(client, pid, running.pid))
                    time.sleep(_APART_S)
        finally:
            client.lose(0, "")
    return kills


def _connect(client: Client) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    trouble = ""
    while not client.is_ready:
        trouble = client.keep(time.monotonic_ns() // 1_000_000) or trouble
        if time.monotonic() > deadline:
            raise RuntimeError(f"no connection to the killer: {trouble}")
        if client.fileno() >= 0 and select.select([client.fileno()], [], [], 0.1)[0]:
            client.receive()


def _kill(client: Client, pid: int, killer_pid: int, members: Sequence[int] = ()) -> Kill:
    """Ask for one and its members, take the verdict, and wait for the report of the end. RuntimeError: not killed."""
    ticks, now_ms = victims.start_ticks(pid), time.monotonic_ns() // 1_000_000
    scope = Scope.GROUP if members else Scope.PROCESS
    named = packed_members((member, victims.start_ticks(member)) for member in members)
    request = KillRequest(
        client.next_id(), pid, ticks, os.geteuid(), b"sleep", 0, Signal.TERM, scope, b"bench", now_ms, named
    )
    waited_ns = _kept_waiting_ns(killer_pid)
    sent_ns = time.perf_counter_ns()
    client.send(request)
    verdict = _next(client)
    round_trip_us = (time.perf_counter_ns() - sent_ns) / 1000
    if not isinstance(verdict, Verdict) or verdict.outcome is not Outcome.SIGNALLED:
        raise RuntimeError(f"the killer did not kill {pid}: {verdict}")
    exited = _next(client)
    if not isinstance(exited, Exited):
        raise RuntimeError(f"no report of the end of {pid}: {exited}")
    return Kill(verdict.latency_us, round_trip_us, (_kept_waiting_ns(killer_pid) - waited_ns) / 1000)


def _kept_waiting_ns(pid: int) -> int:
    """How long the process has been ready to run and did not (Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1])


def _next(client: Client) -> Message:
    poll = select.poll()
    poll.register(client.fileno(), select.POLLIN)
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        poll.poll(1000)
        message = client.receive()
        if message is not None:
            return message
    raise RuntimeError("the killer does not answer")
