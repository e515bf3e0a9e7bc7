"""Very large groups: they die by continuations, and no minute sees more than 1,024 processes signalled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_protocol import limits
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Exited, KillRequest, Outcome, Reason, Verdict
from tests.support import victims
from tests.support.dialogue import Dialogue, Heard, peer
from tests.support.honest import all_survive, group_request, is_served, refused
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

ONE_KILL = "burst = 1\ninterval_ms = 0\nper_minute = 2"
"""Half of a minute's kills are used when a killer starts: it may kill once."""

PROGRAM = """
import os, time
os.setpgid(0, 0)
alive, held = os.pipe()
for number in range({count}):
    if os.fork() == 0:
        os.close(held)
        if number == 0: kept = bytes([1]) * (32 << 20)
        os.read(alive, 1)  # until the parent is dead
        os._exit(0)
print("ready", flush=True)
time.sleep(120)
"""


@contextmanager
def crowd_of(count: int) -> Iterator[tuple[subprocess.Popen[bytes], list[int]]]:
    """A process and its children, in a group of their own. The first child is large enough to be asked for."""
    parent = victims.start_program(PROGRAM.format(count=count))
    try:
        yield parent, victims.children(parent.pid)
    finally:
        victims.end(parent)


def answer_to(monitor: Dialogue, request: KillRequest) -> Verdict:
    """Ask, and pass over the end of what has died meanwhile."""
    monitor.say(request)
    while isinstance(answer := monitor.hear(), Exited):
        pass
    assert isinstance(answer, Verdict)
    assert answer.id == request.id
    return answer


def continued(request: KillRequest, pids: list[int]) -> KillRequest:
    """The continuation that names these."""
    members = packed_members((pid, victims.start_ticks(pid)) for pid in pids)
    return request._replace(id=request.id + pids[0], members=members)


def dead_among(pids: list[int]) -> int:
    """How many are dead: their parent reaps none."""
    return sum(b") Z " in Path(f"/proc/{pid}/stat").read_bytes() for pid in pids)


def test_a_group_of_a_thousand_dies_by_one_request_and_its_continuations(
    place: Path, bystander: subprocess.Popen[bytes]
) -> None:
    """All of it is one kill of the rate."""
    most = limits.MEMBERS
    with (
        crowd_of(1 + 3 * most) as (parent, pids),
        killer(place, rate=ONE_KILL) as daemon,
        all_survive(parent, bystander),
        peer(daemon.socket_path) as monitor,
    ):
        request = group_request(*pids[: 1 + most])
        counts = [answer_to(monitor, request).signalled_count]
        for at in (1 + most, 1 + 2 * most):
            counts.append(answer_to(monitor, continued(request, pids[at : at + most])).signalled_count)
        assert counts == [1 + most, most, most]
        assert daemon.has_said(" is gone after ") or daemon.has_said("has no memory any more after ")
        assert dead_among(pids) == len(pids)
        assert refused(answer_to(monitor, group_request(bystander.pid)), Reason.RATE)


@pytest.mark.left("in a real shortage: 1,024 processes a minute")
def test_no_minute_sees_more_than_1024_processes_signalled(place: Path, bystander: subprocess.Popen[bytes]) -> None:
    most, limit = limits.MEMBERS, limits.PROCESSES_AT_ONCE
    with crowd_of(limit + 100) as (parent, pids), killer(place) as daemon:
        with all_survive(parent, bystander), peer(daemon.socket_path) as monitor:
            request = group_request(*pids[: 1 + most])
            assert answer_to(monitor, request).outcome is Outcome.SIGNALLED
            for at in (1 + most, 1 + 2 * most):
                assert answer_to(monitor, continued(request, pids[at : at + most])).outcome is Outcome.SIGNALLED
            rest = pids[1 + 3 * most :]
            while monitor.hear(1.5) is not Heard.NOTHING:
                pass  # meanwhile as many may be looked at again: it is the minute that is full
            again = group_request(rest[0], *rest[1:], claimed_bytes=0)
            verdict = answer_to(monitor, again)
            assert refused(verdict, Reason.RATE)
            assert dead_among(pids) == 1 + 3 * most <= limit
        assert is_served(daemon, bystander), "one more is not too many"
