"""Victims that are killed and do not go: the slot is free for a leak as soon as their memory is back."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bustd_protocol.messages import Exited, Fate, Outcome
from tests.support import decoys, victims
from tests.support.dialogue import Dialogue, peer
from tests.support.honest import kill, request_for
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a local user")

MOST_DELAY_S = 0.3


def test_two_decoys_that_are_stuck_delay_the_death_of_a_leak_by_at_most_three_tenths_of_a_second(
    place: Path, record_property: Callable[[str, object], None]
) -> None:
    """Init of a PID namespace is not gone before the last process in it is, one of which a tracer outside holds.

    It has given its memory back: that is enough. A busy machine only adds to the delay, so the least of three counts.
    """
    small = "claimed_percent = 0\nminimum_mib = 0\nminimum_percent = 0"
    delays_s: list[float] = []
    with killer(place, limits=small, rate="interval_ms = 0\nper_minute = 60_000") as daemon:
        while len(delays_s) < 3 and min(delays_s, default=1.0) > MOST_DELAY_S:
            with (
                decoys.stuck_init() as first,
                decoys.stuck_init() as second,
                victims.victim() as leak,
                victims.victim() as another,
                peer(daemon.socket_path) as monitor,
            ):
                alone_s = seconds_until_dead(monitor, another)
                began = time.monotonic()
                for pid in (first, second):
                    request = request_for(pid)
                    assert monitor.ask(request).outcome is Outcome.SIGNALLED
                    exited = monitor.hear()
                    assert isinstance(exited, Exited)
                    assert exited[:2] == (request.id, Fate.RELEASED)
                    assert Path(f"/proc/{pid}").exists()
                seconds_until_dead(monitor, leak)
                delays_s.append(time.monotonic() - began - alone_s)
    record_property("delays", ", ".join(f"{delay_s:.3f} s" for delay_s in delays_s))
    assert min(delays_s) <= MOST_DELAY_S


def seconds_until_dead(monitor: Dialogue, process: subprocess.Popen[bytes]) -> float:
    """From the request to the death of the process, with nothing in flight before it."""
    began = time.monotonic()
    kill(monitor, process)
    return time.monotonic() - began
