"""How a kill ends (GONE, RELEASED, STUCK, SPARED), and how further members are added to it."""

import pytest

from bustd_killer import facts as facts_module
from bustd_killer import flight as flight_module
from bustd_killer.flight import LOOK_MS, Kills
from bustd_killer.rate import Rate
from bustd_protocol import limits
from bustd_protocol.messages import Exited, Fate, Outcome, Reason, Signal
from tests.unit.killer.making import LONG_AGO_MS, entry, guard, machine, policy, request
from tests.unit.killer.world import World

LAST = 4711 + limits.CONTINUATIONS + 3


class Kernel:
    """What has exited and what has memory, as the test decides; every signal is sent."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.signals: list[int] = []
        self.exited: set[int] = set()
        self.released: set[int] = set()
        self.asked: list[int] = []
        self.pid_of: dict[int, int] = {}
        monkeypatch.setattr(flight_module, "pidfd_send_signal", lambda _, number: self.signals.append(number))
        monkeypatch.setattr(facts_module, "exited", self._exited)
        monkeypatch.setattr(facts_module, "has_memory", self._has_memory)

    def knows(self, kills: Kills) -> None:
        """From now on, `exited` names the processes of this flight by their PIDs."""
        self.pid_of = {pidfd: pid for pid, pidfd in kills.flight.held}

    def _exited(self, pidfds):
        return {pidfd for pidfd in pidfds if self.pid_of.get(pidfd) in self.exited}

    def _has_memory(self, pid: int) -> bool:
        self.asked.append(pid)
        return pid not in self.released


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    made.processes = {pid: entry(start_ticks=90125 + pid - 4711) for pid in range(4711, LAST)}
    return made


@pytest.fixture
def kills(kernel):
    made = Kills(LONG_AGO_MS, policy())
    yield made
    kernel.exited = set(range(4711, LAST))
    if made.flight is not None:
        kernel.knows(made)
        made.follow(10**6, guard())
    assert made.flight is None


def asking(world, *members, **changed):
    return world.group_request(*members, **{"signal": Signal.KILL} | changed)


def killing(kills, kernel, world, *members, number=Signal.KILL, now_ms=0):
    answer = kills.answer(asking(world, *members, signal=number), guard(), now_ms)
    assert answer.verdict.outcome is Outcome.SIGNALLED
    kernel.knows(kills)
    return answer


# RELEASED


def test_after_sigkill_the_slot_is_free_as_soon_as_the_memory_is_back(kernel, kills, world):
    killing(kills, kernel, world)
    kernel.released = {4711}
    assert kills.follow(LOOK_MS - 1, guard()) is None
    assert kills.due_ms() == LOOK_MS
    ending = kills.follow(LOOK_MS, guard())
    assert ending.exited == Exited(7, Fate.RELEASED, LOOK_MS)
    assert ending.sentence == "4711 has no memory any more after 100 ms"
    assert kills.flight is None


def test_while_it_has_memory_it_is_asked_every_tenth_of_a_second(kernel, kills, world):
    killing(kills, kernel, world)
    for now_ms in range(0, 1001, 10):
        assert kills.follow(now_ms, guard()) is None
    assert kernel.asked == [4711] * 10


def test_after_sigterm_alone_the_slot_is_never_free_for_memory(kernel, kills, world):
    """A process may give its memory back and take it again for as long as it lives."""
    killing(kills, kernel, world, number=Signal.TERM)
    kernel.released = {4711}
    assert [kills.follow(now_ms, guard()) for now_ms in range(0, 2000, 50)] == [None] * 40
    assert kernel.asked == []
    assert kills.due_ms() == 2000
    assert kills.follow(2000, guard()).exited is None
    assert kills.follow(2000 + LOOK_MS, guard()).exited == Exited(7, Fate.RELEASED, 2100)


def test_each_of_a_batch_must_be_gone_or_without_memory(kernel, kills, world):
    killing(kills, kernel, world, 4712, 4713)
    kernel.released, kernel.exited = {4712}, {4713}
    assert kills.follow(LOOK_MS, guard()) is None
    assert kernel.asked == [4711], "the others keep their place until it has none"
    kernel.released = {4711, 4712}
    assert kills.follow(2 * LOOK_MS, guard()).exited.fate is Fate.RELEASED


def test_what_has_exited_is_gone_and_not_released(kernel, kills, world):
    killing(kills, kernel, world)
    kernel.released, kernel.exited = {4711}, {4711}
    assert kills.follow(LOOK_MS, guard()).exited.fate is Fate.GONE
    assert kernel.asked == []


# SPARED


def test_at_the_end_of_its_grace_what_is_no_longer_needed_is_spared(kernel, kills, world):
    kills.rate = Rate(LONG_AGO_MS, policy(burst=1))
    killing(kills, kernel, world, number=Signal.TERM)
    ending = kills.follow(2000, guard(machine(60)))
    assert ending.exited == Exited(7, Fate.SPARED, 2000)
    assert ending.sentence == ("4711 has not obeyed SIGTERM for 2000 ms, and is SPARED: 60.0 % available")
    assert (kernel.signals, kills.flight) == ([Signal.TERM], None)
    assert kills.rate.wait_ms(0) == 500, "the rate stays used"


def test_a_machine_that_can_not_be_read_spares(kernel, kills, world):
    killing(kills, kernel, world, number=Signal.TERM)
    blind = guard()
    blind.machine.reading = None
    assert kills.follow(2000, blind).exited.fate is Fate.SPARED


def test_what_was_spared_can_not_be_continued(kernel, kills, world):
    killing(kills, kernel, world, number=Signal.TERM)
    kills.follow(2000, guard(machine(60)))
    asked = asking(world, 4712, signal=Signal.TERM)
    assert kills.answer(asked, guard(machine(60)), 2001).verdict.reason is Reason.NOT_SHORT


# An escalation is checked the same way


def test_an_escalation_is_refused_while_memory_is_not_short(kernel, kills, world):
    killing(kills, kernel, world, number=Signal.TERM)
    answer = kills.answer(request(id=8, signal=Signal.KILL), guard(machine(60)), 10)
    assert (answer.verdict.outcome, answer.verdict.reason) == (Outcome.REFUSED, Reason.NOT_SHORT)
    assert (kernel.signals, kills.flight.signal) == ([Signal.TERM], Signal.TERM)


def test_a_second_escalation_signals_nothing_again(kernel, kills, world):
    killing(kills, kernel, world, 4712, number=Signal.TERM)
    for now_ms in (10, 20, 30):
        assert kills.answer(request(id=8, signal=Signal.KILL), guard(), now_ms).verdict.signalled_count == 2
    assert kernel.signals == [Signal.TERM] * 2 + [Signal.KILL] * 2


# Continuations


def test_a_continuation_in_flight_costs_no_kill_and_is_a_part_of_it(kernel, kills, world):
    kills.rate = Rate(LONG_AGO_MS, policy(burst=1, per_minute=1))
    killing(kills, kernel, world, 4712)
    wait_ms = kills.rate.wait_ms(0)
    assert wait_ms
    answer = kills.answer(asking(world, 4713, id=8), guard(), 50)
    assert (answer.verdict.id, answer.verdict.outcome, answer.verdict.signalled_count) == (8, Outcome.SIGNALLED, 1)
    assert not answer.is_kill
    assert answer.sentence.endswith(": 1 more members")
    assert kills.rate.wait_ms(0) == wait_ms
    assert [pid for pid, _ in kills.flight.held] == [4711, 4712, 4713]
    assert (kills.flight.id, kills.flight.deadline_ms) == (7, 5000)


def test_the_first_may_be_dead_by_then(kernel, kills, world):
    killing(kills, kernel, world, 4712)
    asked = asking(world, 4713, id=8)
    world.processes[4711] = Reason.GONE
    assert kills.answer(asked, guard(), 50).verdict.signalled_count == 1


def test_a_continuation_of_a_kill_that_is_over_flies_again(kernel, kills, world):
    killing(kills, kernel, world)
    kernel.exited = {4711}
    kills.follow(100, guard())
    asked = asking(world, 4713, id=9)
    assert kills.answer(asked, guard(), 100 + limits.CONTINUATION_MS).verdict.outcome is Outcome.SIGNALLED
    kernel.knows(kills)
    assert (kills.flight.id, kills.flight.deadline_ms) == (9, 6100)
    assert kills.follow(1101, guard()) is None
    kernel.exited.add(4713)
    assert kills.follow(1150, guard()).exited == Exited(9, Fate.GONE, 50)


def test_a_continuation_of_a_kill_that_is_over_is_refused_once_memory_is_not_short(kernel, kills, world):
    killing(kills, kernel, world)
    asked = asking(world, 4713, id=9)
    assert kills.answer(asking(world, 4712, id=8), guard(machine(60)), 50).verdict.outcome is Outcome.SIGNALLED
    kernel.exited = {4711, 4712}
    kernel.knows(kills)
    kills.follow(100, guard())
    answer = kills.answer(asked, guard(machine(60)), 150)
    assert (answer.verdict.reason, kills.flight) == (Reason.NOT_SHORT, None)
    assert kills.answer(asked._replace(id=10), guard(), 200).verdict.outcome is Outcome.SIGNALLED


def test_a_second_later_it_is_a_new_kill(kernel, kills, world):
    killing(kills, kernel, world)
    kernel.exited = {4711}
    kills.follow(100, guard())
    asked = asking(world, 4713, id=9)
    world.processes[4711] = Reason.GONE
    assert kills.answer(asked, guard(), 101 + limits.CONTINUATION_MS).verdict.reason is Reason.GONE


def test_a_continuation_after_the_end_of_which_no_member_is_left_is_gone(kernel, kills, world):
    killing(kills, kernel, world)
    kernel.exited = {4711}
    kills.follow(100, guard())
    asked = asking(world, 4713, id=9)
    world.processes[4713] = Reason.GONE
    assert kills.answer(asked, guard(), 200).verdict.outcome is Outcome.GONE
    assert kills.flight is None


def test_no_kill_has_more_continuations_than_eight(kernel, kills, world):
    killing(kills, kernel, world)
    for number in range(limits.CONTINUATIONS):
        answer = kills.answer(asking(world, 4712 + number, id=8 + number), guard(), number)
        assert answer.verdict.outcome is Outcome.SIGNALLED
    last = kills.answer(asking(world, 4712 + limits.CONTINUATIONS, id=99), guard(), 100)
    assert (last.verdict.reason, last.verdict.signalled_count) == (Reason.BUSY, 0)
    assert len(kernel.signals) == 1 + limits.CONTINUATIONS


@pytest.mark.parametrize(
    ("number", "asked", "is_continuation"),
    [
        (Signal.KILL, Signal.KILL, True),
        (Signal.TERM, Signal.TERM, True),
        (Signal.KILL, Signal.TERM, False),
        (Signal.TERM, Signal.KILL, False),
    ],
)
def test_a_continuation_has_the_signal_of_the_kill(kernel, kills, world, number, asked, is_continuation):
    killing(kills, kernel, world, number=number)
    verdict = kills.answer(asking(world, 4712, id=8, signal=asked), guard(), 1).verdict
    assert verdict.reason is (Reason.NONE if is_continuation else Reason.BUSY)


@pytest.mark.parametrize("asked", list(Signal))
def test_after_the_grace_further_members_get_sigkill_at_once(kernel, kills, world, asked):
    killing(kills, kernel, world, number=Signal.TERM)
    kills.follow(2000, guard())
    assert kills.answer(asking(world, 4712, id=8, signal=asked), guard(), 2001).verdict.signalled_count == 1
    assert kernel.signals == [Signal.TERM, Signal.KILL, Signal.KILL]


@pytest.mark.parametrize("changed", [{"pid": 4712, "start_ticks": 90126}, {"start_ticks": 1}])
def test_a_continuation_names_the_same_process(kernel, kills, world, changed):
    killing(kills, kernel, world)
    assert kills.answer(asking(world, 4713, **changed), guard(), 1).verdict.reason is Reason.BUSY


def test_members_of_the_kill_of_one_process_are_refused(kernel, kills, world):
    answer = kills.answer(request(signal=Signal.KILL), guard(), 0)
    assert answer.is_kill
    kernel.knows(kills)
    assert kills.answer(asking(world, 4712), guard(), 1).verdict.reason is Reason.UNSUPPORTED


# How many


def test_each_process_that_is_looked_at_costs_a_token(kernel, kills, world):
    asked = asking(world, *range(4_000_000, 4_000_000 + limits.MEMBERS), start_ticks=1)
    reasons = [kills.answer(asked, guard(), 0).verdict.reason for _ in range(4)]
    assert reasons == [Reason.START_TIME] * 3 + [Reason.RATE]
    verdict = kills.answer(asked, guard(), 0).verdict
    missing = 4 * (1 + limits.MEMBERS) - limits.PROCESSES_AT_ONCE
    assert verdict.retry_after_ms == -(-missing * 1000 // limits.PROCESSES_PER_SECOND)
    world.opened.clear()
    assert kills.answer(asked, guard(), verdict.retry_after_ms - 1).verdict.reason is Reason.RATE
    assert world.opened == []
    assert kills.answer(asked, guard(), verdict.retry_after_ms).verdict.reason is Reason.START_TIME


def test_no_minute_sees_more_processes_signalled_than_1024(kernel, kills, world):
    pids = range(4_000_000, 4_000_000 + limits.MEMBERS)
    world.processes |= {pid: entry(start_ticks=pid) for pid in pids}
    now_ms, reasons = 0, []
    for _ in range(5):
        now_ms += 2000  # the tokens are back
        reasons.append(kills.answer(asking(world, *pids), guard(), now_ms).verdict.reason)
    assert reasons == [Reason.NONE] * 3 + [Reason.RATE] * 2
    assert len(kernel.signals) == 1 + 3 * limits.MEMBERS
    kernel.exited = {*pids, 4711}
    kernel.knows(kills)
    assert kills.follow(now_ms, guard()).exited.fate is Fate.GONE


def test_a_killer_that_has_just_started_has_an_empty_burst_and_half_a_minutes_kills_used(kernel, world):
    fresh = Kills(0, policy())
    asked = request(signal=Signal.KILL)
    verdict = fresh.answer(asked, guard(), 0).verdict
    assert (verdict.reason, verdict.retry_after_ms) == (Reason.RATE, 500)
    granted = []
    for now_ms in range(0, 60_000, 100):
        if fresh.answer(asked, guard(), now_ms).verdict.reason is Reason.NONE:
            granted.append(now_ms)
            kernel.knows(fresh)
            kernel.exited = {4711}
            fresh.follow(now_ms, guard())
    assert granted[:2] == [500, 1000]
    assert len(granted) == 30
