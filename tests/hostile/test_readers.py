"""Readers of events that misbehave: whatever they do, the monitor decides, and costs little in calm."""

import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support import pair, victims
from tests.support.reading import events_until, monitor_of, pair_with_readers, reader

pytestmark = pytest.mark.attack("a local user")

MOST_CPU = 0.05
SECONDS = 4.0
TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(params=pair.VARIANTS)
def crew(request: pytest.FixtureRequest) -> pair.Crew:
    return pair.CREWS[request.param]


@pytest.fixture
def place(crew: pair.Crew) -> Iterator[Path]:
    with pair.place_for(crew) as path:
        yield path


@contextmanager
def again_and_again(act: Callable[[], None]) -> Iterator[None]:
    """In a thread, until the end of the block."""
    is_over = threading.Event()

    def run() -> None:
        while not is_over.is_set():
            act()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


@contextmanager
def hanging(path: Path) -> Iterator[None]:
    """Sixteen that read nothing."""
    with ExitStack() as stack:
        for _ in range(16):
            stack.enter_context(reader(path))
        yield


@contextmanager
def flooding(path: Path) -> Iterator[None]:
    """One that sends whatever fits, all the time."""
    with reader(path) as link:
        link.setblocking(False)

        def send() -> None:
            try:
                link.send(b"MESSAGE=kill them all\n" * 100)
            except BlockingIOError:
                select.select([], [link], [], 0.05)
            except OSError:
                time.sleep(0.05)  # it was dropped

        with again_and_again(send):
            yield


@contextmanager
def a_hundred(path: Path) -> Iterator[None]:
    """A hundred that all want in, as many as the queue holds at a time."""
    with ExitStack() as stack:
        links = [stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)) for _ in range(100)]
        for link in links:
            link.setblocking(False)

        def knock() -> None:
            for link in links:
                link.connect_ex(str(path))
            time.sleep(0.01)

        with again_and_again(knock):
            yield


@contextmanager
def coming_and_going(path: Path) -> Iterator[None]:
    """One that connects and closes, as fast as it can."""

    def come_and_go() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
            link.setblocking(False)
            if link.connect_ex(str(path)):
                time.sleep(0.01)

    with again_and_again(come_and_go):
        yield


LINGERING = """
import socket, struct, sys, time
server = socket.create_server(("127.0.0.1", 0))
client = socket.create_connection(server.getsockname())
peer, _ = server.accept()
client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
client.setblocking(False)
try:
    while True: client.send(bytes(1 << 16))
except BlockingIOError: pass
links = []
while len(links) < 40:
    link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    link.connect(sys.argv[1])
    if len(links) == 8:
        socket.send_fds(link, [b"x"], [client.fileno()])
        client.close()
        print("sent", flush=True)
    links.append(link)
while sys.argv[2] == "stays": time.sleep(60)
while True:
    for link in links:
        link.close()
    links = []
    time.sleep(0.3)
    for _ in range(20):
        links.append(socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET))
        links[-1].setblocking(False)
        links[-1].connect_ex(sys.argv[1])
"""
"""It sends a descriptor whose last close takes an hour (SO_LINGER), and leaves the closing to the monitor."""


@contextmanager
def lingering(path: Path, then: str) -> Iterator[None]:
    """In a process of its own, which would itself wait for that hour if it were not killed."""
    command = [sys.executable, "-I", "-c", LINGERING, str(path), then]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as attacker:
        try:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == b"sent\n"
            time.sleep(2)  # so that the monitor has let go of it
            yield
        finally:
            attacker.kill()


ATTACKS = pytest.mark.parametrize("attack", [hanging, flooding, a_hundred, coming_and_going])


@ATTACKS
def test_the_leak_dies_whatever_readers_do(crew, place, attack):
    with crew.victim() as leak, pair_with_readers(crew, place, "-V") as (bustd, path), attack(path):
        assert victims.exits_within(leak, 15), bustd.log()
        bustd.await_line("the victim is gone")


def test_a_descriptor_that_takes_an_hour_to_close_keeps_the_monitor_from_nothing(crew, place):
    """The leak starts when the monitor has let go of it: a signal would end the wait, and hide it."""
    with pair_with_readers(crew, place) as (bustd, path), lingering(path, "leaves"), crew.victim() as leak:
        assert victims.exits_within(leak, 15), bustd.log()
        bustd.await_line("the victim is gone")


def test_a_descriptor_that_takes_an_hour_to_close_does_not_keep_the_monitor_from_its_end(crew, place):
    with pair_with_readers(crew, place, monitor=pair.NEVER) as (bustd, path):
        bustd.await_ready()
        monitor = os.pidfd_open(monitor_of(bustd))
        with lingering(path, "stays"):
            signal.pidfd_send_signal(monitor, signal.SIGTERM)
            assert select.select([monitor], [], [], 10)[0]
            bustd.ends()
        os.close(monitor)


@ATTACKS
def test_in_calm_they_cost_little_and_an_honest_reader_of_root_hears_everything(crew, place, attack):
    with pair_with_readers(crew, place, monitor=pair.NEVER) as (bustd, path):
        bustd.await_ready()
        monitor = monitor_of(bustd)
        with reader(path) as honest:
            events_until(honest, "connected to the killer")
            with attack(path):
                before, started_s = ticks_of(monitor), time.monotonic()
                time.sleep(SECONDS)
                share = (ticks_of(monitor) - before) / TICKS / (time.monotonic() - started_s)
            assert share <= MOST_CPU, f"{share:.1%} of a core"
            if crew.is_root:
                os.kill(monitor, 1)
                events_until(honest, "read again")


def ticks_of(pid: int) -> int:
    words = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return int(words[11]) + int(words[12])
