"""A victim that holds the lock of its own memory for ever, by a FUSE file: neither half waits for it."""

import ctypes
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_protocol.messages import Exited, Fate, Outcome, Ping, Pong
from tests.support import fuse, pair, victims
from tests.support.dialogue import peer
from tests.support.fuse import Held
from tests.support.honest import kill, request_for
from tests.support.killer import killer
from tests.support.pair import CREWS, PERMISSIVE

pytestmark = [pytest.mark.root, pytest.mark.attack("a local user")]

STUCK_MS = 1200


@pytest.fixture
def held(place: Path) -> Iterator[Held]:
    with fuse.holding_its_own_memory(place) as process:
        yield process


def test_the_killer_serves_on_while_its_victim_can_not_die(
    place: Path, held: Held, bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, grace=f"stuck_ms = {STUCK_MS}") as daemon, peer(daemon.socket_path) as monitor:
        request = request_for(held.pid)
        assert monitor.ask(request).outcome is Outcome.SIGNALLED
        for number in range(request.id + 1, request.id + 4):
            monitor.say(Ping(number))
            assert monitor.hear(1.0) == Pong(number)
        exited = monitor.hear()
        assert isinstance(exited, Exited)
        assert exited[:2] == (request.id, Fate.STUCK)
        assert STUCK_MS <= exited.elapsed_ms < 2 * STUCK_MS
        assert held.is_alive(), "or it proves nothing"
        assert fuse.threads_that_wait(daemon.pid) == []
        kill(monitor, bystander)


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "process_mrelease"), reason="no process_mrelease here")
def test_the_monitors_loop_goes_on_while_its_threads_wait_for_the_victim(place: Path, held: Held) -> None:
    """It asks for the next process, and it ends at SIGTERM in the ordinary way while the threads still hang.

    They are the one that takes memory back, and the one that reads command lines.
    """
    rules = PERMISSIVE | {"rate.interval_ms": 0, "grace.term_ms": 200, "grace.stuck_ms": STUCK_MS}
    with (
        victims.victim(32, name=b"next", as_nobody=True) as follower,
        pair.lone_killer(CREWS["root"], place, rules=rules) as daemon,
        pair.lone_monitor(CREWS["root"], place) as monitor,
    ):
        daemon.await_line(f"signalled SIGTERM to {held.pid} \\(held")
        daemon.await_line(f"{held.pid} has not obeyed SIGTERM for .*: SIGKILL")
        assert victims.exits_within(follower, 15), monitor.log()
        daemon.await_line(f"{held.pid} is STUCK")
        assert held.is_alive(), "or it proves nothing"
        calls = {thread: fuse.system_call_of(thread) for thread in fuse.threads_that_wait(monitor.pid)}
        assert monitor.pid not in calls, "its loop waits"
        assert fuse.PROCESS_MRELEASE in calls.values(), "or it proves nothing"
        assert fuse.threads_that_wait(daemon.pid) == []
        began = time.monotonic()
        assert monitor.stop(signal.SIGTERM) == 0
        assert time.monotonic() - began < 2
