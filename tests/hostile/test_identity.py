"""Processes that must never be asked for, processes that differ from the request, and dead processes."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer import facts
from bustd_protocol.messages import DIFFERS_COMM, DIFFERS_UID, Outcome, Reason, Signal
from bustd_shared.kernel import process, procfs
from tests.support import victims
from tests.support.dialogue import peer
from tests.support.honest import all_survive, dies_of, is_served, refused, request_for
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

KTHREADD = 2

WITH_A_THREAD = """
import threading, time
kept = bytes([1]) * (32 << 20)
threading.Thread(target=lambda: (print("ready", flush=True), time.sleep(120))).start()
"""

RENAMES_ITSELF = """
import itertools
kept = bytes([1]) * (32 << 20)
print("ready", flush=True)
with open("/proc/self/comm", "wb", buffering=0) as comm:
    for number in itertools.count(): comm.write(b"worm %d" % number)
"""

LEADER_EXITS = """
import ctypes, os, platform, threading, time
kept = bytes([1]) * (48 << 20)
def live_on():
    while open("/proc/self/task/%d/stat" % os.getpid()).read().rpartition(")")[2].split()[0] != "Z": time.sleep(0.001)
    print("ready", flush=True)
    time.sleep(120)
threading.Thread(target=live_on).start()
ctypes.CDLL(None).syscall({"x86_64": 60}.get(platform.machine(), 93), 0)
"""


@pytest.fixture
def undead() -> Iterator[subprocess.Popen[bytes]]:
    """A process whose first thread has exited, while another thread lives and holds the memory."""
    process = victims.start_program(LEADER_EXITS)
    yield process
    victims.end(process)


@pytest.mark.parametrize("number", list(Signal))
@pytest.mark.parametrize("who", ["pid1", "self", "parent", "monitor"])
def test_what_must_never_be_asked_for_is_refused(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], who: str, number: Signal
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander, daemon.process), peer(daemon.socket_path) as liar:
            pid = {"pid1": 1, "self": daemon.pid, "parent": os.getpid(), "monitor": liar.pid}[who]
            verdict = liar.ask(request_for(pid, signal=number, claimed_bytes=0))
            assert refused(verdict, getattr(Reason, who.upper()))
            assert victims.is_alive(liar.process)  # type: ignore[arg-type]
        assert daemon.has_said(f"refused SIG{number.name} to {pid} (")
        assert daemon.has_said(f"for floor: {who}\n")
        assert is_served(daemon, victim)


@pytest.mark.skipif(not Path(f"/proc/{KTHREADD}").exists(), reason="no kernel thread to be seen here (a container)")
def test_a_kernel_thread_is_refused(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    stat = procfs.parse_stat(Path(f"/proc/{KTHREADD}/stat").read_bytes())
    if stat is None or not stat.is_kernel_thread:
        pytest.skip("process 2 is no kernel thread here")
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(KTHREADD)), Reason.KERNEL_THREAD)
        assert daemon.has_said("to 2 (kthreadd, unit ")
        assert is_served(daemon, victim)


def test_the_id_of_a_thread_is_refused(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    process = victims.start_program(WITH_A_THREAD)
    try:
        (thread,) = {int(task.name) for task in Path(f"/proc/{process.pid}/task").iterdir()} - {process.pid}
        with killer(place) as daemon:
            with all_survive(process, bystander), peer(daemon.socket_path) as liar:
                verdict = liar.ask(request_for(process.pid, pid=thread, start_ticks=victims.start_ticks(thread)))
                assert refused(verdict, Reason.NOT_LEADER)
            assert daemon.has_said(f'to {thread} (called "python3" by the monitor) for floor: not_leader\n')
            assert is_served(daemon, process)
    finally:
        victims.end(process)


@pytest.mark.parametrize("stale", [-1, 1, -(10**6), 2**40])
def test_another_start_time_is_another_process(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], stale: int
) -> None:
    true = victims.start_ticks(victim.pid)
    told = max(true + stale, 0)
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid, start_ticks=told)), Reason.START_TIME)
        assert daemon.has_said(f"for floor: start_time started at {true}, not {told}\n")
        assert is_served(daemon, victim)


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"uid": 4711}, DIFFERS_UID),
        ({"comm": b"innocent"}, DIFFERS_COMM),
        ({"uid": 2**32 - 1, "comm": b""}, DIFFERS_UID | DIFFERS_COMM),
    ],
    ids=["uid", "comm", "both"],
)
def test_another_uid_or_name_is_reported_and_no_excuse(
    place: Path,
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    changes: dict[str, object],
    differs: int,
) -> None:
    with killer(place) as daemon, all_survive(daemon.process):
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            verdict = monitor.ask(request_for(victim.pid, **changes))
            assert verdict[1:4] == (Outcome.SIGNALLED, Reason.NONE, differs)
            assert dies_of(victim)
        assert daemon.has_said(f"signalled SIGKILL to {victim.pid} (")
        assert is_served(daemon, bystander)


@pytest.mark.attack("a local user")
def test_a_name_forges_no_line_of_the_log(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            name = b"x\n2026-01-01 bustd-killer: stopping\x1b[2J\xff"
            liar.ask(request_for(victim.pid, start_ticks=0, comm=name, condition=b"a\nb\r\x00"))
        forged = 'called "x\\n2026-01-01 bustd-killer: stopping\\x1b[2J\\xff" by the monitor) for a\\nb\\r\\x00: '
        assert daemon.has_said(forged)
        assert all(" bustd-killer: " in line[:35] for line in daemon.log().splitlines())
        assert "bustd-killer: stopping" not in daemon.log().replace(forged, "")
        assert is_served(daemon, victim)


@pytest.mark.attack("a local user")
def test_a_process_that_renames_itself_all_the_time_dies(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    worm = victims.start_program(RENAMES_ITSELF)
    try:
        with killer(place) as daemon:
            with all_survive(bystander), peer(daemon.socket_path) as monitor:
                verdict = monitor.ask(request_for(worm.pid, comm=b"worm -1"))
                assert verdict[1:4] == (Outcome.SIGNALLED, Reason.NONE, DIFFERS_COMM)
                assert dies_of(worm)
            assert is_served(daemon, bystander)
    finally:
        victims.end(worm)


@pytest.mark.attack("a local user")
def test_a_zombie_leader_with_a_living_thread_dies_and_its_bytes_are_seen(
    place: Path, undead: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    stat = procfs.parse_stat(Path(f"/proc/{undead.pid}/stat").read_bytes())
    assert stat is not None
    assert (stat.state, stat.threads) == (b"Z", 2)
    with killer(place) as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            verdict = monitor.ask(request_for(undead.pid, claimed_bytes=48 << 20))
            assert verdict[1:3] == (Outcome.SIGNALLED, Reason.NONE)
            assert verdict.held_bytes >= 48 << 20
            assert dies_of(undead)
        assert daemon.has_said(f"signalled SIGKILL to {undead.pid} (python3, unit ")
        assert is_served(daemon, bystander)


@pytest.mark.parametrize("reaped", [False, True], ids=["a zombie", "no process at all"])
def test_a_dead_process_is_gone(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], reaped: bool
) -> None:
    request = request_for(victim.pid)
    victim.kill()
    assert victims.exits_within(victim, 5)
    if reaped:
        victim.wait()
    with killer(place) as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as liar:
            verdict = liar.ask(request)
            assert verdict[1:3] == (Outcome.GONE, Reason.GONE)
            assert verdict.signalled_count == 0
        assert daemon.has_said(f'gone SIGKILL to {victim.pid} (called "leak" by the monitor) for floor: gone')
        assert is_served(daemon, bystander)


def test_a_dead_process_whose_group_lives_on_is_gone(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    """The kernel still knows the number, as that of the process group."""
    with victims.victim(0, own_group=True) as leader, victims.victim(0, group=leader.pid) as member:
        request = request_for(leader.pid)
        victims.end(leader)
        with killer(place) as daemon:
            with all_survive(member, bystander), peer(daemon.socket_path) as liar:
                assert liar.ask(request).outcome is Outcome.GONE
            assert is_served(daemon, bystander)


@pytest.mark.parametrize("last_read", range(4))
def test_a_process_that_ends_while_its_facts_are_read_is_gone(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, last_read: int
) -> None:
    """It may end after any of the reads: whether it lives is checked after all of them."""
    read, reads = process.read_file, iter(range(100))

    def read_and_end(path: str, most_bytes: int = process.MOST_BYTES, **how: tuple[int, ...]) -> bytes | None:
        data = read(path, most_bytes, **how)
        if next(reads) == last_read:
            victim.send_signal(signal.SIGKILL)
            victim.wait()
        return data

    monkeypatch.setattr(process, "read_file", read_and_end)
    assert facts.open_victim(victim.pid) is Reason.GONE
