"""A killer that watches one control group, and a monitor that asks for a process outside it, or too early."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_protocol.messages import Outcome, Reason, Scope
from tests.support.cgroups import put
from tests.support.dialogue import peer
from tests.support.honest import all_survive, dies_of, is_served, refused, request_for
from tests.support.killer import killer
from tests.support.watched import WatchedGroup, watched_group

pytestmark = [pytest.mark.root, pytest.mark.attack("a captured monitor")]

Process = subprocess.Popen[bytes]

CONFIG = f"[peer]\nuser = {os.geteuid()}\n[rate]\ninterval_ms = 0\n"
"""Nothing is killed while more than a quarter is available, as by default; the first kill need not wait."""


@pytest.fixture
def watched(place: Path) -> Iterator[WatchedGroup]:
    with watched_group(place) as made:
        yield made


@pytest.mark.parametrize("scope", list(Scope))
def test_a_process_outside_the_group_is_refused_however_short_the_group_is(
    place: Path, watched: WatchedGroup, victim: Process, bystander: Process, scope: Scope
) -> None:
    watched.fills(99)
    watched.holds(victim.pid)
    put(bystander.pid, watched.beside)
    with (
        killer(place, "--cgroup", watched.path, config=CONFIG, through=watched.through) as daemon,
        all_survive(bystander),
    ):
        with all_survive(victim), peer(daemon.socket_path) as monitor:
            assert refused(monitor.ask(request_for(bystander.pid, scope=scope)), Reason.OUTSIDE)
        assert is_served(daemon, victim)


def test_one_that_was_moved_out_since_the_monitor_looked_is_refused(
    place: Path, watched: WatchedGroup, victim: Process
) -> None:
    watched.fills(99)
    watched.holds(victim.pid)
    request = request_for(victim.pid)
    put(victim.pid, watched.beside)
    with (
        killer(place, "--cgroup", watched.path, config=CONFIG, through=watched.through) as daemon,
        all_survive(victim),
        peer(daemon.socket_path) as monitor,
    ):
        assert refused(monitor.ask(request), Reason.OUTSIDE)


def test_the_shortage_is_that_of_the_group_by_the_killers_own_reading(
    place: Path, watched: WatchedGroup, victim: Process
) -> None:
    watched.holds(victim.pid)
    with (
        killer(place, "--cgroup", watched.path, config=CONFIG, through=watched.through) as daemon,
        peer(daemon.socket_path) as monitor,
    ):
        with all_survive(victim):
            assert refused(monitor.ask(request_for(victim.pid)), Reason.NOT_SHORT)
        watched.fills(99)
        assert monitor.ask(request_for(victim.pid, id=2)).outcome is Outcome.SIGNALLED
        assert dies_of(victim)
        assert f"watching the control group {watched.path}" in daemon.log_path.read_text()


def test_a_killer_of_a_group_that_can_not_be_watched_does_not_start(place: Path, watched: WatchedGroup) -> None:
    with killer(place, "--cgroup", "/nowhere", through=watched.through, comes_up=False) as daemon:
        assert daemon.process.wait(20) == 69
        assert "there is no control group /nowhere" in daemon.log_path.read_text()
