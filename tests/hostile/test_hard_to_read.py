"""Leaks that are hard to read: a status of 22 KiB, and a leader that is a zombie. Both halves read them right."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_monitor.sensing import processes
from bustd_protocol.messages import Exited, Outcome, Reason
from tests.support import churn, pair, victims
from tests.support.dialogue import peer
from tests.support.honest import OVER, all_survive, is_served, request_for
from tests.support.killer import killer
from tests.support.pair import CREWS, ONE_KILL

pytestmark = pytest.mark.attack("a local user")

MIB = 2**20
HELLO_OF_THE_KILLER = 2
LOOKS, HELLOS = 2000, 25

IN_MANY_GROUPS = """
import os, time
os.setgroups(range(100_000, 103_000))
os.setgid(65534)
os.setuid(65534)
kept = bytes([1]) * (64 << 20)
print("ready", flush=True)
time.sleep(120)
"""


@pytest.fixture
def in_many_groups() -> Iterator[subprocess.Popen[bytes]]:
    """A process with so many supplementary groups that RssAnon is beyond the first 16 KiB of its status."""
    process = victims.start_program(IN_MANY_GROUPS)
    assert Path(f"/proc/{process.pid}/status").read_bytes().find(b"RssAnon:") > 16_384
    yield process
    victims.end(process)


@pytest.mark.root
def test_a_leak_with_3000_groups_dies_by_request(
    place: Path, in_many_groups: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            verdict = monitor.ask(request_for(in_many_groups.pid, claimed_bytes=64 * MIB))
            assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE)
            assert verdict.held_bytes >= 64 * MIB
            assert victims.exits_within(in_many_groups, 10)
        assert is_served(daemon, bystander)


@pytest.mark.root
def test_the_pair_finds_a_leak_with_3000_groups_and_no_smaller_process_dies_for_it(
    place: Path, in_many_groups: subprocess.Popen[bytes]
) -> None:
    crew = CREWS["root"]
    with crew.victim(32, name=b"innocent") as innocent, pair.pair(crew, place, killer=ONE_KILL) as bustd:
        assert victims.exits_within(in_many_groups, 15), bustd.log()
        assert victims.is_alive(innocent)


@pytest.mark.root
def test_the_pair_finds_a_leak_whose_leader_is_a_zombie_while_threads_come_and_go(place: Path) -> None:
    crew = CREWS["root"]
    with (
        crew.victim(32, name=b"innocent") as innocent,
        churn.churning(place, 64, as_nobody=True) as leak,
        pair.pair(crew, place, killer=ONE_KILL) as bustd,
    ):
        assert victims.exits_within(leak, 15), bustd.log()
        assert victims.is_alive(innocent)


def test_the_monitor_reads_such_a_leader_right_2000_times_of_2000(place: Path) -> None:
    """The killer's reading of it is in tests/unit/killer/test_facts.py."""
    with churn.churning(place, 24) as leak:
        looks = [processes.read_process(leak.pid, 0) for _ in range(LOOKS)]
        held = [look.held_bytes for look in looks if look is not None]
        assert (len(held), min(held) >= 24 * MIB) == (LOOKS, True)


def test_the_killer_judges_such_a_leader_every_time_by_what_its_threads_hold(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """It claims nearly all: a single look that sees less is a refusal."""
    with churn.churning(place, 24) as leak, killer(place, limits="claimed_percent = 100") as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            for _ in range(20):
                honest = request_for(leak.pid, claimed_bytes=2**40)
                verdict = monitor.ask(honest)
                assert verdict.reason is Reason.SHRUNK
                assert daemon.has_said(f"to {leak.pid} (churn, unit ")
                assert "holding 0 MiB" not in daemon.log()
            assert monitor.ask(request_for(leak.pid, claimed_bytes=24 * MIB)).outcome is Outcome.SIGNALLED
            assert victims.exits_within(leak, 10)
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert exited.fate in OVER
        assert is_served(daemon, bystander)


@pytest.mark.attack("a captured monitor")
def test_a_monitor_whose_leader_is_a_zombie_can_not_end_the_killer(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    """At Hello the killer looks at the peer. One that it can not see at all: hidden_before_hello in test_reuse.py."""
    with killer(place, peer_uid=os.geteuid()) as daemon:
        with all_survive(daemon.process, victim, bystander):
            assert churn.hellos_of(place, daemon.socket_path, HELLOS) == [HELLO_OF_THE_KILLER] * HELLOS
        assert is_served(daemon, victim)
