"""Any flood of connections, messages and requests costs the killer at most 2 % of a core, and its log some lines."""

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from bustd_protocol import codec, limits
from bustd_protocol.members import packed_members
from bustd_protocol.messages import KillRequest, Message, MonitorHello, Ping, Reason, Scope, Signal
from tests.support import victims
from tests.support.dialogue import peer
from tests.support.honest import all_survive, group_request, is_served, refused, request_for
from tests.support.killer import Killer, killer

pytestmark = pytest.mark.attack("a captured monitor")

SECONDS = 4.0
MOST_CPU = 0.02
MOST_LINES_PER_SECOND = 12
"""Five a second, the first twenty, and what ends and begins."""

HELLO = MonitorHello(1, limits.VERSION, limits.VERSION, 1)


class Cost(NamedTuple):
    """Which share of a core the killer took, and how many lines a second it wrote."""

    share: float
    lines: float

    def __str__(self) -> str:
        return f"{self.share:.3%} with {self.lines:.1f} lines a second"


class Flooder:
    """A captured monitor: it reads nothing, connects again as often as it can, and never waits."""

    def __init__(self, daemon: Killer) -> None:
        self.path = str(daemon.socket_path)
        self.link: socket.socket | None = None

    def sends(self, *packets: bytes) -> None:
        """These packets on the connection, or on a new one; then read away what has come."""
        if self.link is None:
            self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.link.settimeout(0.05)
            try:
                self.link.connect(self.path)
            except OSError:
                self.hangs_up()
                return
            self.link.setblocking(False)
        try:
            for packet in packets:
                self.link.send(packet, socket.MSG_NOSIGNAL)
            while self.link.recv(4096):
                pass
            self.hangs_up()
        except BlockingIOError:
            time.sleep(0.0005)
        except OSError:
            self.hangs_up()

    def hangs_up(self) -> None:
        if self.link is not None:
            self.link.close()
        self.link = None


def garbage(flooder: Flooder, _: KillRequest) -> None:
    flooder.sends(b"\xc1")


def connections(flooder: Flooder, _: KillRequest) -> None:
    flooder.sends()
    flooder.hangs_up()


def hellos(flooder: Flooder, _: KillRequest) -> None:
    flooder.sends(codec.encode(HELLO))


def pings(flooder: Flooder, _: KillRequest) -> None:
    fresh = flooder.link is None
    flooder.sends(*map(codec.encode, [HELLO] if fresh else [Ping(7)]))


def requests(flooder: Flooder, request: KillRequest) -> None:
    said: list[Message] = [HELLO] if flooder.link is None else []
    flooder.sends(*map(codec.encode, [*said, request]))


def refusals(flooder: Flooder, request: KillRequest) -> None:
    requests(flooder, request._replace(start_ticks=1, comm=b"A" * 64, condition=b"B" * 16))


def members(flooder: Flooder, request: KillRequest) -> None:
    """As many as a request can name, of the named process' own group or not."""
    named = packed_members((pid, 1) for pid in range(1, limits.MEMBERS + 1))
    requests(flooder, request._replace(scope=Scope.GROUP, signal=Signal.TERM, members=named, claimed_bytes=2**60))


@pytest.mark.parametrize("flood", [garbage, connections, hellos, pings, refusals, members])
def test_a_flood_costs_at_most_two_percent_of_a_core(
    place: Path,
    victim: subprocess.Popen[bytes],
    bystander: subprocess.Popen[bytes],
    flood: Callable[[Flooder, KillRequest], None],
    record_property: Callable[[str, object], None],
) -> None:
    request = request_for(bystander.pid)
    with killer(place) as daemon:
        with all_survive(victim, bystander, daemon.process):
            with peer(daemon.socket_path):
                pass  # it has started whole
            descriptors = open_files(daemon.pid)
            measured = undisturbed(daemon, lambda flooder: flood(flooder, request))
            record_property("shares of a core", ", ".join(map(str, measured)))
            assert min(measured).share <= MOST_CPU
            assert max(cost.lines for cost in measured) <= MOST_LINES_PER_SECOND
        assert is_served(daemon, victim)
        assert open_files(daemon.pid) <= descriptors


GROUP = """
import os, sys, time
os.setpgid(0, 0)
group, alive, held = os.getpgid(0), *os.pipe()
for number in range(300):
    if os.fork() == 0:
        os.close(held)
        if number == 0: kept = bytes([1]) * (32 << 20)
        if number == 299: open("/proc/self/comm", "w").write("sshd")
        os.read(alive, 1)  # until the parent is dead
        os._exit(0)
print("ready", flush=True)
time.sleep(120)
"""


def test_a_flood_of_groups_that_are_looked_at_whole_and_refused_costs_no_more(
    place: Path, record_property: Callable[[str, object], None]
) -> None:
    """Each member is held and read before the last, which is protected, refuses them all.

    All are children of the process that --only-descendants-of names, so that this option costs nothing.
    """
    parent = victims.start_program(GROUP)
    try:
        with killer(place, only_descendants_of=parent.pid) as daemon, all_survive(parent, daemon.process):
            first, *others = victims.children(parent.pid)
            request = group_request(first, *others)
            with peer(daemon.socket_path) as monitor:
                for _ in range(3):  # what may be looked at without a pause
                    assert refused(monitor.ask(request), Reason.PROTECTED)
                    request = request._replace(id=request.id + 1)
            tokens_of_two_looks = 2 * (1 + len(others))  # a shorter time may pass without a look
            seconds = tokens_of_two_looks / limits.PROCESSES_PER_SECOND
            measured = undisturbed(daemon, lambda flooder: requests(flooder, request), seconds)
            record_property("shares of a core", ", ".join(map(str, measured)))
            assert min(measured).share <= MOST_CPU
            assert len(victims.children(parent.pid)) == 1 + len(others)
    finally:
        victims.end(parent)


def undisturbed(daemon: Killer, flood: Callable[[Flooder], None], seconds: float = SECONDS) -> list[Cost]:
    """What this flood costs, measured until once it costs no more than it may, and six times at most.

    What else runs on the machine makes each turn dearer: one measurement that is not disturbed is enough.
    """
    measured: list[Cost] = []
    while len(measured) < 6 and min(measured, default=Cost(1.0, 0.0)).share > MOST_CPU:
        measured.append(cost_of(daemon, flood, seconds))
    return measured


def cost_of(daemon: Killer, flood: Callable[[Flooder], None], seconds: float) -> Cost:
    """What the killer does while this is sent to it all the time."""
    flooder = Flooder(daemon)
    began, used_ns, lines = time.monotonic(), cpu_ns(daemon.pid), len(daemon.log().splitlines())
    while time.monotonic() < began + seconds:
        flood(flooder)
    took = time.monotonic() - began
    cost = Cost((cpu_ns(daemon.pid) - used_ns) / 1e9 / took, (len(daemon.log().splitlines()) - lines) / took)
    flooder.hangs_up()
    return cost


def open_files(pid: int) -> int:
    """How many descriptors it has. The kernel tells only root."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())) if os.geteuid() == 0 else 0


def cpu_ns(pid: int) -> int:
    """How long it has run so far (Documentation/scheduler/sched-stats.rst)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0])
