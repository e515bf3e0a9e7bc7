"""The loop between a killer that the test plays, over a real socketpair, and readings that the test makes."""

import os
import socket
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from bustd_monitor.client import Client
from bustd_monitor.config import config_of
from bustd_monitor.deciding.events import Event
from bustd_monitor.loop import EXIT_KILLER_GONE, Loop
from bustd_monitor.ranking.order import Ranking
from bustd_monitor.ranking.what_may_die import Shield, Spared
from bustd_monitor.readers import PAUSE_MS, Readers
from bustd_monitor.reclaimer import Reclaimer
from bustd_monitor.reporting.events import STARTED, told
from bustd_monitor.reporting.service_manager import ServiceManager
from bustd_monitor.sensing.fill_rate import FillRate
from bustd_monitor.sensing.processes import Process
from bustd_monitor.sensing.triggers import Triggers
from bustd_protocol import codec
from bustd_protocol.messages import Exited, Fate, KillRequest, MonitorHello, Ping, Reason, Scope, Signal
from bustd_shared.daemon.packets import AF_UNIX, SOCK_SEQPACKET, Socket
from bustd_shared.rules.protection import Protection
from tests.support.signals import handlers_restored
from tests.unit.monitor.making import GIB, candidate, killer_hello, process, reading, verdict

SHORT, VERY_SHORT, PLENTY = reading(0.8 * GIB), reading(0.3 * GIB), reading(12 * GIB)
QUICK = {"sleep": {"shortest_ms": 1, "longest_ms": 1, "watch_longest_ms": 1}}


class HeldVictims(Reclaimer):
    """Without the thread and the kernel: the PIDs that are held, and those whose memory was to be taken."""

    def __init__(self) -> None:
        self.due_ms = None
        self.held: list[int] = []
        self.released: list[list[int]] = []

    def hold(self, pids: list[int]) -> None:
        self.drop()
        self.held = pids

    def release(self) -> None:
        self.due_ms = None
        self.released.append(self.held)
        self.held = []

    def drop(self) -> None:
        self.due_ms, self.held = None, []


class Scene:
    """A loop with its killer, its clock and its machine in the test's hand."""

    def __init__(
        self,
        environment: dict[str, str] | None = None,
        sensor: object = None,
        client: Client | None = None,
        path: str = "",
        readers: Readers | None = None,
        **settings: object,
    ) -> None:
        """`sensor`: instead of one that reads what is in `reading`; `client`: instead of one of a pair; `path`: where a
        killer listens, in place of one at the other end of a socket pair."""
        ours, self.killer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.killer.setblocking(False)
        self.now_ms, self.reading, self.said = 1000, PLENTY, []
        self.candidates = (candidate(101), candidate(102))
        self.rankings = self.reloads = 0
        self.spared = ()
        self.watch_takes_ms, self.due = 0, []
        self.is_listening, self.heard_at_each_line = False, []
        with ours:
            one_of_a_path = Client(path) if path else None
            self.client = client or one_of_a_path or Client("/nowhere", Socket(fileno=ours.detach()))
        self.reclaimer = HeldVictims()
        self.members: list[tuple[int, int]] = []
        self.others: dict[int, Process] = {}
        self.listings: list[tuple[int, Scope]] = []
        self.service_manager = ServiceManager(environment or {})
        self.loop = Loop(
            config_of(QUICK | settings),
            Protection(),
            sensor=sensor or SimpleNamespace(read=lambda *_: self.reading, quick_look=None),
            search=SimpleNamespace(rank=self.rank, watch=self.watch),
            client=self.client,
            members=SimpleNamespace(
                of=self.members_of,
                read=lambda members: [self.others[pid] for pid, _ in members if pid in self.others],
                largest=lambda members, count: [pid for pid, _ in members[:count]],
            ),
            reclaimer=self.reclaimer,
            triggers=Triggers((), "none"),
            fill_rate=FillRate(lambda: 6 * GIB),
            service_manager=self.service_manager,
            tell=self.tell,
            clock_ns=lambda: self.now_ms * 1_000_000,
            reload=self.reload,
            readers=readers,
        )
        self.readers = readers

    def tell(self, event: Event) -> None:
        self.said.append(told(event).sentence)
        self.heard_at_each_line.append(len(self.heard()) if self.is_listening else 0)

    def reload(self) -> None:
        self.reloads += 1

    def rank(self, *_: object) -> Ranking:
        self.rankings += 1
        return Ranking(self.candidates, self.spared)

    def members_of(self, process: Process, scope: Scope) -> SimpleNamespace:
        """`members`, as they are when they are listed; each listing is noted."""

        def listed() -> list[tuple[int, int]]:
            self.listings.append((process.pid, scope))
            return list(self.members) if scope is not Scope.PROCESS else []

        return SimpleNamespace(listed=listed)

    def watch(self, _terms: object, _now_ms: int, is_due: Callable[[], bool]) -> None:
        """Takes its time, and notes whether the next reading was due before and after that."""
        before = is_due()
        self.now_ms += self.watch_takes_ms
        self.due.append((before, is_due()))

    def turns(self, count: int = 1) -> int | None:
        """So many turns, a tenth of a second apart; the exit code of the last."""
        code = None
        for _ in range(count):
            self.now_ms += 100
            code = self.loop.turn()
        return code

    def heard(self) -> list[object]:
        """What the loop has sent since the last time."""
        messages = []
        while True:
            try:
                packet = self.killer.recv(4096)
            except BlockingIOError:
                return messages
            if not packet:
                return messages
            messages.append(codec.decode(packet))

    def says(self, *messages: object) -> None:
        for message in messages:
            self.killer.send(codec.encode(message))

    def greet(self, **flight: object) -> None:
        self.turns()
        (hello,) = self.heard()
        assert isinstance(hello, MonitorHello)
        self.says(killer_hello(hello.id, **flight))
        self.turns(2)

    def asks(self) -> KillRequest:
        (request,) = self.heard()
        assert isinstance(request, KillRequest)
        return request

    def close(self) -> None:
        self.killer.close()
        self.client.lose(0, "")
        self.service_manager.close()
        self.loop._sleeper.close()


@pytest.fixture
def scene():
    made = []

    def make(**settings):
        made.append(Scene(**settings))
        return made[-1]

    with handlers_restored():
        yield make
    for one in made:
        one.close()


def test_a_shortage_becomes_one_request_and_its_end_another_reading(scene):
    it = scene()
    it.greet()
    it.reading = SHORT
    it.turns()
    request = it.asks()
    assert (request.pid, request.signal, request.condition) == (101, Signal.TERM, b"floor")
    it.says(verdict(Reason.NONE, request_id=request.id))
    it.turns(3)
    assert it.heard() == []
    it.reading = PLENTY
    it.says(Exited(request.id, Fate.GONE, 40))
    it.turns(3)
    assert it.heard() == []
    assert any("gone after 40 ms" in line for line in it.said)


def test_readers_of_events_learn_when_memory_can_be_read_again_and_which_killer_answers(scene):
    it = scene()
    it.greet()
    it.reading = None
    it.turns(2)
    assert it.said[-1] == "what is available makes no sense: nothing is decided on it"
    it.reading = PLENTY
    it.said.clear()
    it.turns(3)
    assert it.said == ["connected to the killer 640"]


def test_memory_that_can_be_read_again_is_no_protection_without_a_killer(scene):
    it = scene()
    it.reading = None
    it.turns(2)
    it.reading = PLENTY
    it.said.clear()
    it.turns(3)
    assert it.said == []


def test_the_request_is_on_its_way_before_anything_is_logged_about_it(scene):
    it = scene()
    it.greet()
    it.reading, it.is_listening = SHORT, True
    it.said.clear()
    it.heard_at_each_line.clear()
    it.turns()
    assert it.said[0].startswith("floor fires") and it.heard_at_each_line == [1]


def test_what_a_never_that_could_not_be_judged_spares_is_said_after_the_request_and_where_there_is_no_candidate(scene):
    it = scene()
    it.greet()
    it.spared = (Spared(process(103), Shield.UNJUDGED, "is too long"),)
    it.reading = SHORT
    it.turns()
    line = "spared: 103 (leak) with 1024 MiB: never could not be judged: its command line is too long"
    assert it.said[-1] == line
    assert "floor fires" in it.said[-2]
    it = scene()
    it.greet()
    it.candidates, it.spared = (), (Spared(process(103), Shield.UNJUDGED, "is too long"),)
    it.reading = SHORT
    it.turns()
    assert it.said[-1] == line
    assert "NOBODY TO KILL" in it.said[-2]


def test_an_exit_that_crosses_an_escalation_lets_nothing_be_asked_before_its_verdict(scene):
    it = scene()
    it.greet()
    it.reading = SHORT
    it.turns()
    request = it.asks()
    it.says(verdict(Reason.NONE, request_id=request.id))
    it.turns()
    it.reading = VERY_SHORT
    it.turns()
    escalation = it.asks()
    assert (escalation.pid, escalation.signal) == (101, Signal.KILL)
    it.says(Exited(request.id, Fate.GONE, 300))
    it.turns(4)
    assert it.heard() == []
    it.says(verdict(Reason.GONE, request_id=escalation.id))
    it.turns(12)
    assert it.asks().id > escalation.id


def test_the_next_candidate_is_asked_for_and_named_when_the_first_is_protected(scene):
    it = scene()
    it.greet()
    it.reading = SHORT
    it.turns()
    it.says(verdict(Reason.PROTECTED, request_id=it.asks().id))
    it.turns()
    assert it.asks().pid == 102
    assert any(line.startswith("asking for the next: 102") for line in it.said)


def test_a_kill_that_is_in_flight_at_hello_is_waited_for(scene):
    it = scene()
    it.reading = SHORT
    it.greet(flight=(77, 101, 90125, 15))
    it.turns(3)
    assert it.heard() == []
    it.says(Exited(77, Fate.GONE, 500))
    it.turns(2)
    assert it.asks().pid == 101


@pytest.mark.parametrize(
    ("takes_ms", "left_ms", "is_due"), [(0, 40, False), (15, 25, False), (40, 0, True), (90, 0, True)]
)
def test_the_watch_has_the_time_until_the_next_reading_and_the_sleep_only_what_is_left(
    scene, takes_ms, left_ms, is_due
):
    it = scene(sleep={"shortest_ms": 40, "longest_ms": 40, "watch_longest_ms": 40}, verbose=True)
    it.greet()
    it.reading, it.watch_takes_ms = reading(2 * GIB), takes_ms
    it.said.clear()
    it.turns()
    assert it.due == [(False, is_due)]
    assert it.said[-1] == f"[adaptive-sleep] {left_ms} ms"


def test_a_word_of_the_killer_ends_the_watch(scene):
    it = scene()
    it.greet()
    it.reading = reading(2 * GIB)
    it.turns()
    it.says(Exited(1, Fate.GONE, 5))
    it.turns()
    assert [due for _, due in it.due] == [False, True]


def test_while_a_kill_is_in_flight_no_sleep_is_long_even_if_there_is_plenty_again(scene):
    it = scene(sleep={"watch_longest_ms": 1}, verbose=True)
    it.reading = SHORT
    it.greet(flight=(77, 101, 90125, 15))
    it.reading = PLENTY
    it.said.clear()
    it.turns()
    assert it.said == ["[adaptive-sleep] 50 ms"]


def test_a_dry_run_says_what_it_would_do_and_sends_nothing(scene):
    it = scene(dry_run=True)
    it.greet()
    it.reading = SHORT
    it.turns(3)
    assert it.heard() == []
    assert [line for line in it.said if line.startswith("floor fires")]
    assert it.said.count("dry run: nothing is sent") == 1


def test_the_killer_of_a_pair_has_half_a_minute_for_a_verdict_and_then_it_is_the_end(scene):
    it = scene()
    it.greet()
    it.reading = SHORT
    it.turns()
    it.asks()
    assert it.turns(298) is None
    assert it.turns(3) == EXIT_KILLER_GONE
    assert any("the killer does not answer" in line for line in it.said)


def test_a_killer_that_hangs_is_noticed_by_a_ping_before_the_crisis(scene):
    it = scene(killer={"ping_seconds": 2})
    it.greet()
    it.turns(20)
    (ping,) = it.heard()
    assert isinstance(ping, Ping)
    assert it.turns(270) is None
    assert it.turns(40) == EXIT_KILLER_GONE


def test_while_no_killer_has_said_hello_that_is_logged_with_growing_pauses_in_a_shortage(scene):
    it = scene()
    it.reading = SHORT
    it.turns(8)
    assert [type(message) for message in it.heard()] == [MonitorHello]
    assert it.said.count("MEMORY IS SHORT AND THE KILLER CAN'T BE REACHED") == 1
    assert it.rankings == 0, "that would take the processor from what starts the killer"


def test_a_dry_run_ranks_although_there_is_no_killer(scene):
    it = scene(dry_run=True)
    it.reading = SHORT
    it.turns(8)
    assert it.rankings == 1
    assert "dry run: nothing is sent" in it.said


def test_a_reader_gets_in_between_two_turns_and_the_next_ones_wait(scene, tmp_path):
    listener = Socket(AF_UNIX, SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "events"))
    listener.listen(9)
    it = scene(readers=Readers(listener), sleep={"shortest_ms": 60_000, "longest_ms": 60_000})
    it.readers.tell(STARTED, b"started")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as one:
        one.connect(str(tmp_path / "events"))
        one.settimeout(10)
        it.turns()
        assert one.recv(99) == b"started"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as next_one:
            next_one.connect(str(tmp_path / "events"))
            next_one.setblocking(False)
            slept_ms = []
            it.loop._sleeper.sleep = lambda wait_ms: slept_ms.append(wait_ms)  # in place of poll(2), which has no clock
            it.turns()
            assert it.loop._sleeper._readers == -1, "nobody listens for them"
            assert slept_ms == [PAUSE_MS - 100], "until they may be looked for"
            it.turns(5)
            assert it.loop._sleeper._readers == listener.fileno()
            del it.loop._sleeper.sleep
            it.turns()
            assert next_one.recv(99) == b"started"
    it.readers.close()
    os.waitpid(-1, 0)
