"""What the monitor tells the killer about one kill, and what it makes of the answers: the killer is the test's."""

import socket
from itertools import pairwise
from pathlib import Path

import pytest

from bustd_monitor.deciding.stages import Stage
from bustd_monitor.ranking.order import Candidate
from bustd_protocol import codec, limits
from bustd_protocol.messages import (
    Bye,
    Exited,
    Farewell,
    Fate,
    KillRequest,
    MonitorHello,
    Reason,
    Scope,
    Signal,
    unpacked_members,
)
from tests.unit.monitor import test_loop
from tests.unit.monitor.making import candidate, killer_hello, process, verdict
from tests.unit.monitor.test_loop import PLENTY, SHORT, VERY_SHORT, Scene

scene = test_loop.scene


def crowd(count: int, first: int = 2000) -> list[tuple[int, int]]:
    return [(first + place, 7) for place in range(count)]


def grouped(pid: int = 101, scope: Scope = Scope.GROUP) -> Candidate:
    return candidate(pid)._replace(scope=scope)


def asking(scene, count: int = 0, *, scope: Scope = Scope.GROUP, urgently: bool = False) -> tuple[Scene, KillRequest]:
    """A monitor that has just asked for a process and so many members."""
    it = scene()
    it.greet()
    it.candidates, it.members = (grouped(scope=scope), candidate(102)), crowd(count)
    it.reading = VERY_SHORT if urgently else SHORT
    it.turns()
    return it, it.asks()


def named(request: KillRequest) -> list[tuple[int, int]]:
    return unpacked_members(request.members)


def answers(it: Scene, request: KillRequest, reason: Reason = Reason.NONE, **fields: int) -> None:
    it.says(verdict(reason, request_id=request.id, **fields))
    it.turns()


def is_of_the_same_kill(further: KillRequest, first: KillRequest) -> bool:
    return further[1:7] == first[1:7] and further.scope is first.scope and further.condition == first.condition


# Members and continuations


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.CGROUP])
def test_a_group_of_seven_hundred_is_named_by_one_request_and_two_continuations(scene, scope):
    it, first = asking(scene, 700, scope=scope)
    assert (first.pid, first.scope, named(first)) == (101, scope, crowd(700)[:330])
    answers(it, first)
    second = it.asks()
    assert is_of_the_same_kill(second, first) and named(second) == crowd(700)[330:660]
    answers(it, second)
    third = it.asks()
    assert is_of_the_same_kill(third, first) and named(third) == crowd(700)[660:]
    answers(it, third)
    assert it.heard() == []
    it.says(Exited(first.id, Fate.GONE, 60))
    it.reading = PLENTY
    it.turns(3)
    assert it.heard() == []


def test_a_process_that_dies_alone_is_listed_with_nothing_and_never_continued(scene):
    it, first = asking(scene, 5, scope=Scope.PROCESS)
    assert first.members == b""
    answers(it, first)
    it.turns(3)
    assert it.heard() == []
    assert it.listings == [(101, Scope.PROCESS)]


def test_what_the_group_starts_meanwhile_is_named_once_and_it_is_looked_at_five_times(scene):
    it, request = asking(scene, 2)
    for turn in range(5):
        newcomer = (3000 + turn, 9)
        it.members.append(newcomer)
        answers(it, request)
        request = it.asks()
        assert named(request) == [newcomer]
    it.members.append((4000, 9))
    answers(it, request)
    assert it.heard() == []
    assert len(it.listings) == 6


def test_a_group_that_starts_nothing_is_looked_at_once_more(scene):
    it, first = asking(scene, 2)
    answers(it, first)
    assert (it.heard(), len(it.listings)) == ([], 2)


def test_of_a_group_that_is_larger_than_what_can_die_in_a_minute_the_first_and_the_largest_are_named(scene):
    it, first = asking(scene, 1003)
    assert first.scope is Scope.GROUP
    requests = [first]
    for _ in range(3):
        answers(it, requests[-1])
        requests.append(it.asks())
    assert [member for request in requests for member in named(request)] == crowd(1003)[:1000]


def test_a_continuation_that_is_refused_is_the_last_and_the_kill_goes_on(scene):
    it, first = asking(scene, 700)
    answers(it, first)
    answers(it, it.asks(), Reason.PROTECTED)
    it.turns(3)
    assert it.heard() == [], "nothing else is asked for: the kill is in flight"
    it.says(Exited(first.id, Fate.GONE, 60))
    it.turns(12)
    assert it.asks().pid == 101, "and a second later memory is still short"


def test_a_continuation_that_comes_too_fast_is_sent_again_when_the_killer_says(scene):
    it, first = asking(scene, 400)
    answers(it, first)
    answers(it, it.asks(), Reason.RATE, retry_after_ms=250)
    it.turns(2)
    assert it.heard() == []
    it.turns(1)
    again = it.asks()
    assert is_of_the_same_kill(again, first) and named(again) == crowd(400)[330:]


@pytest.mark.parametrize(("wait_ms", "is_sent"), [(500, True), (1500, False)])
def test_it_is_sent_after_the_death_of_the_victim_too_but_not_when_the_killer_has_forgotten_it(scene, wait_ms, is_sent):
    it, first = asking(scene, 400)
    answers(it, first)
    answers(it, it.asks(), Reason.RATE, retry_after_ms=wait_ms)
    it.says(Exited(first.id, Fate.GONE, 60))
    it.reading = PLENTY
    it.turns(20)
    assert [named(request) for request in it.heard()] == ([crowd(400)[330:]] if is_sent else [])


def test_no_sleep_is_longer_than_until_it_is_due_although_there_is_plenty_again(scene):
    it, first = asking(scene, 400)
    answers(it, first)
    answers(it, it.asks(), Reason.RATE, retry_after_ms=500)
    due_ms = it.now_ms + 500
    it.reading = PLENTY
    it.says(Exited(first.id, Fate.GONE, 60))
    it.turns(2)
    assert it.loop._dialogue.driver.state.stage is Stage.CALM
    assert it.loop._dialogue.due_ms() == due_ms
    assert it.loop._sleep_ms(due_ms - 70, due_ms + 1000) == 70


@pytest.mark.parametrize("fate", [Fate.SPARED, Fate.STUCK])
def test_it_is_not_sent_when_the_victim_lives(scene, fate):
    it, first = asking(scene, 400)
    answers(it, first)
    answers(it, it.asks(), Reason.RATE, retry_after_ms=300)
    it.says(Exited(first.id, fate, 2000))
    it.reading = PLENTY
    it.turns(20)
    assert it.heard() == []


def test_after_a_lost_connection_nothing_is_continued(scene):
    it, first = asking(scene, 700)
    answers(it, first)
    it.asks()
    assert it.reclaimer.held
    it.killer.close()
    it.turns()
    assert it.reclaimer.held == []
    assert it.loop._dialogue._begun is None


def test_a_refused_group_is_forgotten_and_the_process_alone_is_asked_for(scene):
    it, first = asking(scene, 400)
    it.says(verdict(Reason.PROTECTED, request_id=first.id))
    it.turns()
    alone = it.asks()
    assert (alone.pid, alone.scope, alone.members) == (101, Scope.PROCESS, b"")
    answers(it, alone)
    it.turns(2)
    assert it.heard() == []


# The end of a kill crosses a request


def test_an_exit_that_crosses_a_continuation_leaves_the_kill_in_flight_until_its_members_are_gone(scene):
    it, first = asking(scene, 400)
    answers(it, first)
    further = it.asks()
    it.says(Exited(first.id, Fate.GONE, 9))
    it.turns(2)
    assert it.heard() == [], "an answer is due"
    answers(it, further)
    it.turns(5)
    assert it.heard() == [], "a kill is in flight"
    it.says(Exited(further.id, Fate.GONE, 30))
    it.turns(12)
    assert (it.asks().pid, it.loop._dialogue.driver.state.flight) == (101, None)


def test_an_exit_that_crosses_a_continuation_which_is_refused_is_the_end(scene):
    it, first = asking(scene, 400)
    answers(it, first)
    further = it.asks()
    it.says(Exited(first.id, Fate.GONE, 9), verdict(Reason.GONE, request_id=further.id))
    it.turns(12)
    assert it.asks().pid == 101


def test_what_is_resumed_by_a_continuation_can_be_escalated(scene):
    it, first = asking(scene, 400)
    answers(it, first)
    further = it.asks()
    it.says(Exited(first.id, Fate.GONE, 9), verdict(request_id=further.id))
    it.reading = VERY_SHORT
    it.turns(2)
    escalation = it.asks()
    assert (escalation.pid, escalation.signal, escalation.members) == (101, Signal.KILL, b"")


# Escalations


def test_an_escalation_that_is_due_during_a_continuation_is_sent_after_it_and_before_the_next(scene):
    it, first = asking(scene, 700)
    answers(it, first)
    further = it.asks()
    it.reading = VERY_SHORT
    it.turns(3)
    assert it.heard() == [], "one request at a time"
    answers(it, further)
    escalation = it.asks()
    assert (escalation.pid, escalation.signal, escalation.scope) == (101, Signal.KILL, Scope.PROCESS)
    assert escalation.members == b""
    answers(it, escalation)
    last = it.asks()
    assert (named(last), last.signal) == (crowd(700)[660:], Signal.KILL)


def test_it_is_sent_also_when_the_continuation_is_refused(scene):
    it, first = asking(scene, 700)
    answers(it, first)
    further = it.asks()
    it.reading = VERY_SHORT
    it.turns()
    answers(it, further, Reason.PROTECTED)
    assert it.asks().signal is Signal.KILL


def test_it_is_not_sent_when_the_kill_is_over_before_that(scene):
    it, first = asking(scene, 700)
    answers(it, first)
    further = it.asks()
    it.reading = VERY_SHORT
    it.turns()
    it.reading = PLENTY
    it.says(Exited(first.id, Fate.GONE, 9), verdict(Reason.GONE, request_id=further.id))
    it.turns(3)
    assert it.heard() == []


def test_in_a_dry_run_nothing_is_listed_held_named_or_escalated(scene):
    it = scene(dry_run=True)
    it.greet(flight=(77, 101, 90125, 15))
    it.reading = VERY_SHORT
    it.turns(2)
    it.says(Exited(77, Fate.GONE, 9))
    it.candidates, it.members = (grouped(),), crowd(3)
    it.turns(4)
    assert (it.heard(), it.listings, it.reclaimer.held) == ([], [], [])


def test_a_dry_run_that_begins_amid_a_kill_names_nobody_else(scene):
    it, first = asking(scene, 700)
    driver = it.loop._dialogue.driver
    driver.configure(driver.config._replace(dry_run=True))
    answers(it, first)
    it.turns(2)
    assert it.heard() == []


# How a kill ends


def test_one_that_was_spared_is_asked_for_with_sigkill_the_next_time_and_ten_minutes_later_no_more(scene):
    it, first = asking(scene, 0, scope=Scope.PROCESS)
    assert first.signal is Signal.TERM
    answers(it, first)
    it.reading = PLENTY
    it.says(Exited(first.id, Fate.SPARED, 2000))
    it.turns(3)
    assert any("has not obeyed SIGTERM" in line and "SIGKILL at once" in line for line in it.said)
    it.reading = SHORT
    it.turns(2)
    second = it.asks()
    assert (second.pid, second.signal) == (101, Signal.KILL)
    answers(it, second, Reason.NOT_SHORT)
    it.now_ms += 600_000
    it.turns()
    (third,) = (message for message in it.heard() if isinstance(message, KillRequest))
    assert (third.pid, third.signal) == (101, Signal.TERM)


def test_a_victim_that_has_given_its_memory_back_ends_the_kill(scene):
    it, first = asking(scene, 0, scope=Scope.PROCESS)
    answers(it, first)
    it.says(Exited(first.id, Fate.RELEASED, 109))
    it.turns(52)
    assert it.asks().id > first.id
    assert any("has no memory any more after 109 ms" in line for line in it.said)


# Memory that is taken back


def test_the_victim_and_the_largest_of_its_members_are_held_once_the_request_is_on_its_way(scene):
    it, _ = asking(scene, 20)
    assert it.reclaimer.held == [101, *(pid for pid, _ in crowd(7))]
    assert it.reclaimer.released == []


def test_their_memory_is_taken_as_soon_as_sigkill_is_signalled(scene):
    it, first = asking(scene, 2, urgently=True)
    assert first.signal is Signal.KILL
    answers(it, first)
    assert it.reclaimer.released == [[101, 2000, 2001]]


def test_after_sigterm_it_is_taken_when_the_grace_is_over_because_the_killer_sends_sigkill_then(scene):
    it, first = asking(scene, 2)
    answers(it, first)
    it.turns(19)
    assert it.reclaimer.released == []
    it.turns(2)
    assert it.reclaimer.released == [[101, 2000, 2001]]


def test_an_escalation_that_is_signalled_takes_it_at_once_and_one_that_is_refused_does_not(scene):
    for reason, is_taken in ((Reason.NONE, True), (Reason.NOT_SHORT, False)):
        it, first = asking(scene, 0)
        answers(it, first)
        it.reading = VERY_SHORT
        it.turns()
        answers(it, it.asks(), reason)
        assert it.reclaimer.released == ([[101]] if is_taken else [])
        assert it.reclaimer.held == ([] if is_taken else [101])


@pytest.mark.parametrize("reason", [Reason.GONE, Reason.RATE, Reason.NOT_SHORT, Reason.EPERM, Reason.BUSY])
def test_a_request_that_is_refused_lets_go_of_them(scene, reason):
    it, first = asking(scene, 0, scope=Scope.PROCESS)
    it.reading = PLENTY
    answers(it, first, reason)
    assert (it.reclaimer.held, it.reclaimer.released) == ([], [])


@pytest.mark.parametrize("fate", list(Fate))
def test_the_end_of_the_kill_lets_go_of_them_whatever_it_is(scene, fate):
    it, first = asking(scene, 0)
    answers(it, first)
    it.reading = PLENTY
    it.says(Exited(first.id, fate, 5))
    it.turns(40)
    assert (it.reclaimer.held, it.reclaimer.released) == ([], [])


def test_when_the_request_can_not_be_sent_nothing_is_held_and_the_loop_goes_on(scene):
    it = scene()
    it.greet()
    it.candidates, it.members, it.reading = (grouped(),), crowd(3), SHORT
    it.killer.shutdown(2)  # both ways
    it.loop._dialogue.driver.read(it.reading, it.now_ms)
    assert it.reclaimer.held == []
    assert any("lost the killer" in line for line in it.said)


# A killer of another version


class Listener:
    """A killer that listens on a path, and says one thing to each monitor that calls."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(1)
        self._listener.setblocking(False)
        self._link: socket.socket | None = None

    def is_called_and_says(self, answer) -> bool:
        try:
            link = self._listener.accept()[0]
        except BlockingIOError:
            return False
        self.hang_up()
        self._link = link
        hello = codec.decode(link.recv(limits.PACKET_BYTES))
        link.send(codec.encode(answer(hello.id) if callable(answer) else answer))
        return True

    def hang_up(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


def test_a_killer_of_another_version_is_told_of_once_and_called_once_a_minute_however_short_memory_is(scene, tmp_path):
    killer = Listener(tmp_path / "killer.sock")
    it = scene(path=str(killer.path))
    it.reading = SHORT
    calls_ms = []
    for _ in range(150):
        it.now_ms += 900
        it.turns()
        if killer.is_called_and_says(Bye(0, Farewell.VERSION)):
            calls_ms.append(it.now_ms)
    assert len(calls_ms) == 3
    assert all(60_000 <= later - earlier <= 61_000 for earlier, later in pairwise(calls_ms))
    assert sum("another version of the protocol" in line for line in it.said) == 1
    assert sum("no connection to the killer" in line for line in it.said) == 0
    killer.close()


def test_once_it_has_met_a_killer_of_its_own_version_the_next_of_another_is_told_of_again(scene, tmp_path):
    killer = Listener(tmp_path / "killer.sock")
    it = scene(path=str(killer.path))
    for answer in (Bye(0, Farewell.VERSION), killer_hello, Bye(0, Farewell.VERSION)):
        while not killer.is_called_and_says(answer):
            it.now_ms += 10_000
            it.turns()
        it.turns(2)
        killer.hang_up()
        it.turns(2)
    assert sum("another version of the protocol" in line for line in it.said) == 2
    killer.close()


@pytest.mark.parametrize("packet", [codec.farewell_to(7), bytes([0x94, 3, 7, 1, 0])])
def test_whatever_a_killer_of_another_version_says_it_is_known_by_its_header(scene, packet):
    it = scene()
    it.turns()
    assert isinstance(it.heard()[0], MonitorHello)
    it.killer.send(packet)
    it.turns()
    assert [line for line in it.said if line.startswith("lost the killer: it speaks ")]
    assert limits.VERSION != 7


# A killer that does not stay


class Restless:
    """A monitor whose memory is short, and a killer that hangs up as soon as it has said something, or nothing."""

    def __init__(self, it: Scene, killer: Listener) -> None:
        self.it, self.killer = it, killer
        self.calls = 0
        it.reading = SHORT
        it.candidates = ()

    def passes(self, seconds: int, answer=killer_hello) -> list[str]:
        """This time goes by, a turn each half of a second. What was said of the connection in it."""
        self.it.said.clear()
        for _ in range(2 * seconds):
            self.it.now_ms += 400
            self.it.turns()
            if self.killer.is_called_and_says(answer):
                self.calls += 1
                self.killer.hang_up()
        return [line.partition(" the killer")[0] for line in self.it.said if " the killer" in line]

    def comes_to_stay(self) -> None:
        while not self.killer.is_called_and_says(killer_hello):
            self.it.turns()


@pytest.fixture
def restless(scene, tmp_path):
    killer = Listener(tmp_path / "killer.sock")
    yield Restless(scene(path=str(killer.path)), killer)
    killer.close()


def test_a_killer_that_says_hello_and_hangs_up_is_told_of_with_growing_pauses(restless):
    said = restless.passes(300)
    assert restless.calls > 150
    assert 12 <= len(said) < 40
    assert {*said} == {"connected to", "lost"} and said[-1] == "lost", "and as it is: nothing can be killed"
    assert len(restless.passes(300)) <= 4
    assert restless.calls > 300


def test_its_warnings_are_not_said_more_often_than_that_it_is_there(restless):
    restless.passes(300, lambda request_id: killer_hello(request_id)._replace(available_percent=1))
    warnings = [line for line in restless.it.said if "still refuses" in line]
    assert len({*warnings}) >= 1
    meetings = sum(line.startswith("connected to") for line in restless.it.said)
    assert len(warnings) == meetings * len({*warnings}) and meetings < 20


def test_a_killer_that_hangs_up_before_it_has_said_hello_is_told_of_with_growing_pauses(restless):
    said = restless.passes(300, Bye(0, Farewell.SHUTDOWN))
    assert restless.calls > 150
    assert {*said} == {"lost"} and 6 <= len(said) < 20


def test_the_one_that_stays_after_many_that_did_not_is_told_of_within_ten_seconds(restless):
    restless.passes(300)
    restless.comes_to_stay()
    restless.it.said.clear()
    restless.it.turns(50)
    assert not any("connected" in line for line in restless.it.said)
    restless.it.turns(60)
    assert sum("connected to the killer" in line for line in restless.it.said) == 1
    restless.it.turns(300)
    assert sum("connected to the killer" in line for line in restless.it.said) == 1


def test_after_a_connection_that_has_lasted_its_end_and_the_next_are_news(restless):
    restless.passes(300)
    restless.comes_to_stay()
    restless.it.turns(120)
    restless.it.said.clear()
    restless.killer.hang_up()
    restless.it.turns()
    assert any(line.startswith("lost the killer") for line in restless.it.said)
    restless.it.said.clear()
    restless.comes_to_stay()
    restless.it.turns(2)
    assert any(line.startswith("connected to the killer") for line in restless.it.said)


def test_no_sleep_is_longer_than_until_the_one_that_stays_is_told_of(restless):
    restless.passes(300)
    restless.comes_to_stay()
    restless.it.reading = PLENTY
    restless.it.turns(2)
    due_ms = restless.it.loop._dialogue.due_ms()
    assert due_ms is not None and restless.it.now_ms < due_ms <= restless.it.now_ms + 10_000


# What does not die with the victim


@pytest.mark.parametrize("name", [b"niri", b"kept"])
def test_a_process_group_with_a_compositor_or_what_is_never_to_die_in_it_is_left_alone_and_the_victim_dies(scene, name):
    it = scene(victims={"never": {"names": [b"kept"]}})
    it.greet()
    it.candidates, it.members = (grouped(), candidate(102)), crowd(3)
    it.others = {2001: process(2001, comm=name)}
    it.reading = SHORT
    it.turns()
    request = it.asks()
    assert (request.pid, request.scope, request.members) == (101, Scope.PROCESS, b"")
