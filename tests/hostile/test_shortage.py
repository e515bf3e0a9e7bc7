"""False claims: of bytes that a process does not hold, and of a shortage that does not exist."""

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from bustd_protocol.messages import Outcome, Reason
from tests.support import victims
from tests.support.cgroups import group_at, mount_point
from tests.support.dialogue import peer
from tests.support.honest import all_survive, dies_of, is_served, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

MIB = 2**20
DEFAULTS = "[peer]\nuser = {uid}\n[rate]\ninterval_ms = 0\n"
"""killer.toml of a machine on which root has changed nothing, except that the first kill need not wait."""

SHRINKS = """
import mmap
kept = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
kept.write(bytes([1]) * len(kept))
print("large", flush=True)
input()
kept.close()
print("small", flush=True)
input()
"""

CACHES = """
import mmap, tempfile, time
with tempfile.TemporaryFile(dir="/var/tmp") as file:
    file.truncate(64 << 20)
    kept = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
for page in range(0, len(kept), 4096): kept[page]
print("ready", flush=True)
time.sleep(120)
"""

THRASHES = """
import mmap, os, sys
with open(sys.argv[1], "w") as procs: procs.write(str(os.getpid()))
with open(sys.argv[2], "wb+") as file:  # in the group, so that its pages are the group's
    for _ in range(48): file.write(bytes(1 << 20))
    file.flush()
    cached = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
while True:
    for page in range(0, len(cached), 4096): cached[page]
"""


def test_a_victim_that_has_shrunk_since_the_claim_is_refused(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    process = subprocess.Popen(
        [victims.install.python(), "-I", "-c", SHRINKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"large\n"
        request = request_for(process.pid)
        assert request.claimed_bytes >= 64 * MIB
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"small\n"
        with killer(place, limits="minimum_mib = 1") as daemon:
            with all_survive(process, bystander), peer(daemon.socket_path) as monitor:
                assert refused(monitor.ask(request), Reason.SHRUNK)
            assert daemon.has_said(f"KiB, not {request.claimed_bytes // 2 >> 10} KiB\n")
            assert is_served(daemon, bystander)
    finally:
        victims.end(process)


def test_a_claim_of_more_than_twice_the_truth_is_refused(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    held = request_for(victim.pid).claimed_bytes
    with killer(place) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            for claim in (2 * held + 4 * MIB, 2**63 - 1):
                assert refused(liar.ask(request_for(victim.pid, claimed_bytes=claim)), Reason.SHRUNK)
                assert daemon.has_said(f"KiB, not {claim // 2 >> 10} KiB\n")
        assert daemon.has_said(f", uid {os.geteuid()}) for floor: shrunk holds {held >> 10} KiB, not ")
        assert is_served(daemon, victim)


@pytest.mark.left("to claim almost twice what a process holds")
def test_a_claim_of_almost_twice_the_truth_may_be_growth(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    claim = 2 * request_for(victim.pid).claimed_bytes - 4 * MIB
    with killer(place) as daemon:
        with all_survive(bystander), peer(daemon.socket_path) as monitor:
            assert monitor.ask(request_for(victim.pid, claimed_bytes=claim)).outcome is Outcome.SIGNALLED
            assert dies_of(victim)
        assert is_served(daemon, bystander)


def test_a_process_too_small_to_help_is_refused_whatever_is_claimed(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    with victims.victim(0, name=b"tiny") as tiny, killer(place) as daemon:
        with all_survive(tiny, bystander), peer(daemon.socket_path, greeted=False) as liar:
            least = liar.greet().minimum_bytes
            held = request_for(tiny.pid).claimed_bytes
            assert 0 < held < least <= 16 * MIB
            for claim in (0, held, least):
                assert refused(liar.ask(request_for(tiny.pid, claimed_bytes=claim)), Reason.SHRUNK)
        assert daemon.has_said(
            f", uid {os.geteuid()}) for floor: shrunk holds {held >> 10} KiB, not {least >> 10} KiB\n"
        )
        assert is_served(daemon, bystander)


def test_page_cache_is_not_held(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    """The kernel takes it back by itself, so killing for it does not help."""
    reader = victims.start_program(CACHES)
    try:
        with killer(place) as daemon:
            with all_survive(reader, bystander), peer(daemon.socket_path) as liar:
                assert refused(liar.ask(request_for(reader.pid, claimed_bytes=64 * MIB)), Reason.SHRUNK)
            assert is_served(daemon, bystander)
    finally:
        victims.end(reader)


def require_plenty() -> None:
    """These tests need a machine that is not short of memory. On one that is, they would prove nothing."""
    meminfo = {line.split()[0]: int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines()}
    if meminfo["MemAvailable:"] < 0.5 * meminfo["MemTotal:"]:
        pytest.skip("this machine is short of memory")


def refused_for_no_shortage(place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]) -> None:
    """Check that a killer with root's defaults refuses."""
    with killer(place, config=DEFAULTS.format(uid=os.geteuid())) as daemon:
        with all_survive(victim, bystander), peer(daemon.socket_path) as liar:
            assert refused(liar.ask(request_for(victim.pid)), Reason.NOT_SHORT)
        assert daemon.has_said("% available")
        said = re.search(r"for floor: not_short (\d+\.\d) % available\n", daemon.log())
    assert said is not None
    assert float(said[1]) > 40


def test_on_a_healthy_machine_nothing_dies(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    require_plenty()
    refused_for_no_shortage(place, victim, bystander)
    with killer(place) as daemon:  # now any machine counts as short, so an honest request is served
        assert is_served(daemon, victim)


@contextmanager
def thrashing(group: Path, place: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Processes in a group of 24 MiB, each of which reads a file of 48 MiB over and over."""
    (group / "memory.limit_in_bytes").write_text(str(24 * MIB))
    command = [victims.install.python(), "-I", "-c", THRASHES, str(group / "cgroup.procs")]
    processes = [
        subprocess.Popen([*command, str(place / f"cache{number}")], stdin=subprocess.DEVNULL) for number in range(3)
    ]
    try:
        yield processes
    finally:
        for process in processes:
            victims.end(process)


@pytest.mark.attack("a local user")
@pytest.mark.root
def test_pressure_made_in_a_small_memory_cgroup_is_no_shortage(
    place: Path,
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    record_property: Callable[[str, object], None],
) -> None:
    require_plenty()
    root = mount_point("memory")
    if root is None or not os.access(root, os.W_OK):
        pytest.skip("no memory controller of version 1 here")
    with group_at(root, "thrash") as group, thrashing(group, place) as thrashers:
        for _ in range(8):  # at most 4 s: PSI is averaged every 2 s, and on some machines never
            if some_avg10() >= 10 or victims.exits_within(thrashers[0], 0.5):
                break
        record_property("the pressure beside the killer", some_avg10())
        refused_for_no_shortage(place, victim, bystander)
        with killer(place) as daemon:
            assert is_served(daemon, victim)


def some_avg10() -> float:
    """PSI some avg10 of the machine's memory, 0 if there is no PSI."""
    with suppress(OSError):
        return float(Path("/proc/pressure/memory").read_text().split()[1].removeprefix("avg10="))
    return 0.0


@pytest.mark.parametrize(
    ("available_percent", "reason"), [(40, Reason.NONE), (41, Reason.NOT_SHORT), (100, Reason.NOT_SHORT)]
)
def test_only_what_is_available_decides_whether_memory_is_short(
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    available_percent: int,
    reason: Reason,
) -> None:
    """With fake readings, because a test must not exhaust the machine's memory."""
    machine = guard(available_percent=available_percent)
    with kills() as slot, all_survive(bystander):
        assert slot.answer(request_for(victim.pid), machine, 0).verdict.reason is reason
        assert victims.exits_within(victim, 5 if reason is Reason.NONE else 0) == (reason is Reason.NONE)
