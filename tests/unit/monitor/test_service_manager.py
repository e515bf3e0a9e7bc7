"""What the service manager hears, turn by turn, over a real datagram socket that the test holds."""

import itertools
import os
import resource
import signal
import socket
from contextlib import contextmanager, suppress

import pytest

from bustd_monitor.client import Client
from bustd_monitor.config import config_of
from bustd_monitor.reporting.service_manager import ServiceManager
from bustd_monitor.reporting.standing import standing
from tests.unit.monitor import test_loop
from tests.unit.monitor.making import killer_hello, verdict
from tests.unit.monitor.test_loop import PLENTY, QUICK, SHORT

scene = test_loop.scene

WATCHDOG = {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}
LONG = {
    "sleep": {"longest_ms": 600_000, "fill_mib_per_second": 1},
    "killer": {"ping_seconds": 86_400},
    "verbose": True,
}
"""On a machine that has plenty, no sleep is shorter than ten minutes."""

UNANSWERED = "STATUS=NOT PROTECTED: no connection to the killer (it has not answered yet)"
ANSWERED = "STATUS=watching; the killer 640 answers"
BLIND = "STATUS=BLIND: /proc/meminfo makes no sense, and nothing is decided on it"


class Manager:
    """The end of systemd: `name` is what it puts into NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.environment = {"NOTIFY_SOCKET": name}
        self.address = "\0" + name[1:] if name.startswith("@") else name
        self.come()

    def come(self) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(self.address)

    def go(self) -> None:
        self.socket.close()
        if self.address == self.name:
            os.unlink(self.name)  # noqa: PTH108

    def heard(self) -> list[list[str]]:
        """The lines of each datagram since the last time."""
        datagrams = []
        with suppress(BlockingIOError):
            while True:
                datagrams.append(self.socket.recv(4096).decode().split("\n"))
        return datagrams

    @contextmanager
    def full(self):
        """It does not read, and nothing more goes into its queue, until the end of the block."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
            other.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    other.sendto(b"something", self.address)
        yield
        assert set(map(tuple, self.heard())) == {("something",)}


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    made = Manager(f"{tmp_path}/notify" if request.param == "path" else f"@bustd-test-{os.getpid()}")
    yield made
    made.socket.close()


@contextmanager
def without_blocking():
    """The block fails when it takes seconds: it waits for somebody, then."""

    def ring(*_):
        raise AssertionError("this has blocked")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def turn_of(it, *, after_ms: int = 0) -> int | None:
    """A turn whose sleep ends at once, however long it was meant to be."""
    it.now_ms += after_ms
    signal.raise_signal(signal.SIGHUP)
    return it.loop.turn()


def greet_awake(it) -> None:
    """As `greet`, where a sleep is longer than any test should take."""
    turn_of(it)
    it.says(killer_hello(it.heard()[0].id))
    turn_of(it)
    turn_of(it)
    it.said.clear()


def sleeps(it) -> list[int]:
    """How long the loop meant to sleep, in milliseconds, since the last time."""
    found = [int(line.split()[1]) for line in it.said if line.startswith("[adaptive-sleep]")]
    it.said.clear()
    return found


# --- readiness and status


def test_it_is_ready_with_the_first_reading_that_makes_sense_and_says_so_once(scene, manager):
    it = scene(environment=manager.environment)
    it.reading = None
    for _ in range(3):
        turn_of(it)
    assert manager.heard() == [[BLIND]]
    it.reading = PLENTY
    it.turns()
    assert manager.heard() == [["READY=1", UNANSWERED]]
    it.turns(3)
    assert manager.heard() == []


def test_the_status_changes_with_the_killer_and_with_nothing_that_a_crisis_brings(scene, manager):
    it = scene(environment=manager.environment)
    it.greet()
    assert manager.heard() == [["READY=1", UNANSWERED], [ANSWERED]]
    it.reading = SHORT
    it.turns()
    it.says(verdict(request_id=it.asks().id))
    it.turns(5)
    it.reading = PLENTY
    it.turns(5)
    assert manager.heard() == []


def test_a_reading_that_makes_no_sense_shows_in_the_status_until_the_next(scene, manager):
    it = scene(environment=manager.environment)
    it.greet()
    manager.heard()
    for reading in (None, None, PLENTY, PLENTY):
        it.reading = reading
        turn_of(it)
    assert manager.heard() == [[BLIND], [ANSWERED]]


def test_a_dry_run_is_one_as_soon_as_the_file_says_so(scene, manager):
    it = scene(environment=manager.environment)
    it.greet()
    manager.heard()
    it.loop._reload = lambda: config_of(QUICK | {"dry_run": True})
    turn_of(it)
    it.turns()
    assert manager.heard() == [["STATUS=dry run: no process is killed; the killer 640 answers"]]


def test_why_there_is_no_killer_is_said_and_the_next_attempt_is_not(tmp_path):
    client = Client(f"{tmp_path}/killer.sock")
    for now_ms in (0, 0, 100, 300):
        client.keep(now_ms)
        assert standing(0, client.trouble, dry_run=False, is_blind=False) == (
            f"NOT PROTECTED: no connection to the killer ({tmp_path}/killer.sock: No such file or directory)"
        )
    assert standing(0, client.trouble, dry_run=True, is_blind=False).startswith(
        "dry run: no process is killed; no connection to the"
    )


def test_no_path_can_add_a_line(tmp_path):
    client = Client(f"{tmp_path}/a\nREADY=1\udcff")
    client.keep(0)
    said = standing(0, client.trouble, dry_run=False, is_blind=False)
    assert said.isprintable()
    assert r"a\nREADY=1\udcff: " in said


def test_the_last_word_is_that_it_stops(scene, manager):
    it = scene(environment=manager.environment)
    it.turns()
    manager.heard()
    signal.raise_signal(signal.SIGTERM)
    with without_blocking():
        assert it.loop.run() == 0
    assert manager.heard() == [["STOPPING=1", "STATUS=stopped: nobody is watching"]]


# --- the watchdog


def test_it_is_fed_by_the_first_turn_after_a_quarter_of_the_interval_and_by_no_earlier_one(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG)
    it.greet()
    assert manager.heard() == [["READY=1", UNANSWERED, "WATCHDOG=1"], [ANSWERED]]
    fed_ms = []
    for _ in range(260):
        it.turns()
        fed_ms += [it.now_ms] * len(manager.heard())
    assert fed_ms[0] == 1100 + 5000
    assert {after - before for before, after in itertools.pairwise(fed_ms)} == {5000}


def test_turns_that_are_further_apart_all_feed_it(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG)
    it.turns()
    manager.heard()
    for _ in range(5):
        it.now_ms += 9900
        it.turns()
        assert manager.heard() == [["WATCHDOG=1"]]


def test_no_sleep_is_longer_than_half_of_the_interval(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG, **LONG)
    greet_awake(it)
    manager.heard()
    turn_of(it, after_ms=6000)
    assert (sleeps(it), manager.heard()) == ([10_000], [["WATCHDOG=1"]])
    turn_of(it, after_ms=3000)
    assert (sleeps(it), manager.heard()) == ([7000], []), "an early wake-up"
    turn_of(it, after_ms=7000)
    assert (sleeps(it), manager.heard()) == ([10_000], [["WATCHDOG=1"]])


def test_it_costs_no_wake_up_where_no_sleep_is_longer_than_that(scene, manager):
    for longest_ms in (3600, 5000, 7000, 10_000):
        settings = LONG | {"sleep": {**LONG["sleep"], "longest_ms": longest_ms}}
        it = scene(environment=manager.environment | WATCHDOG, **settings)
        greet_awake(it)
        turn_of(it, after_ms=30_000)
        it.said.clear()
        manager.heard()
        for _ in range(20):
            turn_of(it, after_ms=longest_ms)
            assert sleeps(it) == [longest_ms]
            manager.heard()


def test_a_turn_that_does_not_come_to_its_end_feeds_nothing(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG)
    it.greet()
    manager.heard()

    def hang(*_):
        raise TimeoutError

    it.loop._sensor.read = hang
    it.now_ms += 60_000
    with pytest.raises(TimeoutError):
        it.loop.turn()
    assert manager.heard() == []


def test_a_file_that_can_not_be_read_is_no_hang(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG, **LONG)
    it.reading = None
    turn_of(it, after_ms=10_000)
    assert manager.heard() == [[BLIND]], "there is no watchdog before it is ready"
    it.reading = PLENTY
    turn_of(it)
    manager.heard()
    it.reading = None
    turn_of(it, after_ms=10_000)
    assert manager.heard() == [[BLIND, "WATCHDOG=1"]]


def test_while_nothing_can_be_read_a_short_interval_is_kept_all_the_same(scene, manager):
    it = scene(environment=manager.environment | {"WATCHDOG_USEC": "800000"}, **LONG)
    greet_awake(it)
    it.reading = None
    turn_of(it, after_ms=800)
    assert sleeps(it) == [400]


@pytest.mark.parametrize(
    "variables",
    [
        {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": ""},
        {"WATCHDOG_USEC": "many"},
        {"WATCHDOG_USEC": "-1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": ""},
        {},
    ],
)
def test_a_watchdog_that_is_not_ours_or_makes_no_sense_is_none(scene, manager, variables):
    it = scene(environment=manager.environment | variables, **LONG)
    greet_awake(it)
    manager.heard()
    turn_of(it, after_ms=60_000)
    assert (sleeps(it), manager.heard()) == ([600_000], [])


def test_a_watchdog_without_a_pid_is_ours(manager):
    service_manager = ServiceManager(manager.environment | {"WATCHDOG_USEC": "20000000"})
    service_manager.tell(0, "well", has_read=True)
    assert manager.heard() == [["READY=1", "STATUS=well", "WATCHDOG=1"]]
    service_manager.close()


# --- a manager that does not listen


def test_a_full_queue_holds_nothing_up_and_what_it_did_not_take_is_sent_again(scene, manager):
    it = scene(environment=manager.environment)
    with without_blocking(), manager.full():
        it.turns(3)
    it.turns()
    assert manager.heard() == [["READY=1", UNANSWERED]]
    it.says(killer_hello(it.heard()[0].id))
    with without_blocking(), manager.full():
        it.turns(3)
    it.turns(3)
    assert manager.heard() == [[ANSWERED]]


def test_a_watchdog_that_could_not_be_fed_is_fed_well_before_it_bites_and_without_haste(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG, **LONG)
    greet_awake(it)
    turn_of(it, after_ms=20_000)
    it.said.clear()
    manager.heard()
    with without_blocking(), manager.full():
        for after_ms in (10_000, 2500, 2500):
            turn_of(it, after_ms=after_ms)
            assert sleeps(it) == [2500]
    turn_of(it, after_ms=2500)
    assert (sleeps(it), manager.heard()) == ([10_000], [["WATCHDOG=1"]])


def test_one_that_is_not_ready_for_want_of_room_does_not_spin_when_it_goes_blind(scene, manager):
    it = scene(environment=manager.environment | WATCHDOG, **LONG)
    with manager.full():
        turn_of(it, after_ms=60_000)
        it.reading = None
        it.said.clear()
        turn_of(it, after_ms=2500)
        assert sleeps(it) == [1000]
    turn_of(it, after_ms=1000)
    assert manager.heard() == [["READY=1", BLIND, "WATCHDOG=1"]]


def test_a_manager_that_goes_and_comes_back_hears_what_it_has_missed(scene, manager):
    it = scene(environment=manager.environment)
    manager.go()
    it.greet()
    manager.come()
    it.turns()
    assert manager.heard() == [["READY=1", ANSWERED]]


def test_no_descriptor_is_needed_after_the_start(manager):
    service_manager = ServiceManager(manager.environment)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            os.pipe()
        service_manager.tell(0, "well", has_read=True)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert manager.heard() == [["READY=1", "STATUS=well"]]
    service_manager.close()


@pytest.mark.parametrize("name", [None, "", "notify", "vsock:2:1234", "./notify"])
def test_without_an_address_that_makes_sense_there_is_no_socket_and_no_watchdog(name):
    before = os.listdir("/proc/self/fd")  # noqa: PTH208
    service_manager = ServiceManager(WATCHDOG if name is None else WATCHDOG | {"NOTIFY_SOCKET": name})
    assert os.listdir("/proc/self/fd") == before  # noqa: PTH208
    service_manager.tell(0, "well", has_read=True)
    service_manager.stopping()
    assert service_manager.due_ms() is None


@pytest.mark.parametrize("name", ["/nobody/listens/here", "/" + "x" * 200, "@", "@" + "x" * 200])
def test_an_address_that_nobody_has_is_no_trouble(scene, name):
    it = scene(environment={"NOTIFY_SOCKET": name} | WATCHDOG)
    with without_blocking():
        it.greet()
        signal.raise_signal(signal.SIGTERM)
        assert it.loop.run() == 0
