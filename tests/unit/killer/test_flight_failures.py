"""The kill in flight when the kernel refuses, the victim will not die, or others are asked for too fast."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_killer import facts as facts_module
from bustd_killer import flight as flight_module
from bustd_killer.checks import PASSED
from bustd_killer.flight import Kills, send_signal
from bustd_killer.policy import Policy
from bustd_protocol.messages import Exited, Fate, Outcome, Reason, Signal
from tests.unit.killer.making import LONG_AGO_MS, entry, guard, policy, request
from tests.unit.killer.world import World


class Kernel:
    """What pidfd_send_signal does, which processes have exited, and which have memory: as the test decides."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.signals: list[tuple[int, int]] = []
        self.error: OSError | None = None
        self.has_exited = False
        self.released: set[int] = set()
        self.asked: list[int] = []
        monkeypatch.setattr(flight_module, "pidfd_send_signal", self._send)
        monkeypatch.setattr(facts_module, "exited", lambda pidfds: set(pidfds) if self.has_exited else set())
        monkeypatch.setattr(facts_module, "has_memory", self._has_memory)

    def _send(self, pidfd: int, number: int) -> None:
        if self.error is not None:
            raise self.error
        self.signals.append((pidfd, number))

    def _has_memory(self, pid: int) -> bool:
        self.asked.append(pid)
        return pid not in self.released


@pytest.fixture
def kernel(monkeypatch):
    return Kernel(monkeypatch)


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    made.processes[4711] = entry()
    return made


REFUSALS = [
    (ProcessLookupError(errno.ESRCH, "No such process"), Reason.GONE, 0),
    (PermissionError(errno.EPERM, "Operation not permitted"), Reason.EPERM, errno.EPERM),
    (OSError(errno.ENOSYS, "Function not implemented"), Reason.KERNEL, errno.ENOSYS),
    (OSError(errno.EINVAL, "Invalid argument"), Reason.KERNEL, errno.EINVAL),
]


@pytest.mark.parametrize(("error", "reason", "code"), REFUSALS)
def test_a_signal_that_the_kernel_refuses_is_told_with_its_reason_and_uses_up_nothing(
    kernel, world, error, reason, code
):
    kernel.error = error
    kills = Kills(LONG_AGO_MS, policy(burst=1))
    verdict = kills.answer(request(), guard(), 0).verdict
    assert (verdict.reason, verdict.errno, verdict.signalled_count) == (reason, code, 0)
    assert verdict.outcome is (Outcome.GONE if reason is Reason.GONE else Outcome.FAILED)
    assert kills.flight is None
    assert kills.rate.wait_ms(0) == 0


def test_a_signal_that_is_sent_is_no_refusal(kernel):
    assert send_signal(5, Signal.TERM) == PASSED
    assert kernel.signals == [(5, Signal.TERM)]


def test_a_lack_of_descriptors_is_the_kernels_failure_and_is_told(kernel, world):
    world.processes[4711] = OSError(errno.EMFILE, "Too many open files")
    answer = Kills(LONG_AGO_MS, policy()).answer(request(), guard(), 0)
    assert (answer.verdict.outcome, answer.verdict.reason) == (Outcome.FAILED, Reason.KERNEL)
    assert answer.verdict.errno == errno.EMFILE
    assert "Too many open files" in answer.sentence


def test_a_victim_that_outlives_sigkill_is_given_up_as_stuck(kernel, world):
    kills = Kills(LONG_AGO_MS, policy())
    kills.answer(request(signal=Signal.KILL), guard(), 1000)
    assert kills.follow(5999, guard()) is None
    ending = kills.follow(6000, guard())
    assert ending.exited == Exited(7, Fate.STUCK, 5000)
    assert ending.sentence == "4711 is STUCK, 5000 ms after its signal"
    assert kills.flight is None
    assert kills.answer(request(4712), guard(), 6000).verdict.reason is Reason.GONE, "the slot is free again"


def test_grace_and_patience_follow_each_other(kernel, world):
    kills = Kills(LONG_AGO_MS, policy())
    kills.answer(request(), guard(), 0)
    assert kills.follow(2000, guard()).exited is None
    assert kills.follow(6999, guard()) is None
    assert kills.follow(7000, guard()).exited == Exited(7, Fate.STUCK, 7000)
    assert [number for _, number in kernel.signals] == [Signal.TERM, Signal.KILL]


def test_escalating_again_and_again_does_not_hold_the_slot_for_longer(kernel, world):
    kills = Kills(LONG_AGO_MS, policy())
    kills.answer(request(), guard(), 0)
    for now_ms in (100, 1000, 5000):
        assert kills.answer(request(signal=Signal.KILL), guard(), now_ms).verdict.reason is Reason.NONE
    assert kills.follow(5099, guard()) is None
    assert kills.follow(5100, guard()).exited.fate is Fate.STUCK


def test_root_can_move_both_times(kernel, world):
    kills, quick = Kills(LONG_AGO_MS, policy()), {"term_ms": 0, "stuck_ms": 1}
    kills.answer(request(), guard(**quick), 0)
    assert kills.follow(0, guard(**quick)).exited is None
    assert kills.follow(1, guard(**quick)).exited.fate is Fate.STUCK


def test_a_member_that_can_not_be_signalled_does_not_save_the_others(kernel, world, monkeypatch):
    world.processes |= {4712: entry(start_ticks=2), 4713: entry(start_ticks=3)}
    sent = []

    def send(pidfd, number):
        sent.append(pidfd)
        if len(sent) == 2:
            raise ProcessLookupError(errno.ESRCH, "No such process")

    monkeypatch.setattr(flight_module, "pidfd_send_signal", send)
    kills = Kills(LONG_AGO_MS, policy())
    verdict = kills.answer(world.group_request(4712, 4713), guard(), 0).verdict
    assert (verdict.reason, verdict.signalled_count) == (Reason.NONE, 2), "one that can't be signalled is not counted"
    assert len(sent) == 3
    assert len(kills.flight.held) == 2, "nor waited for"
    kernel.has_exited = True
    kills.follow(1, guard())


# The rate, as it comes out of what is really signalled


def asked(kills: Kills, moments_ms: list[int], limits: Policy) -> list[int]:
    """When a monitor that asks at these moments gets a kill, each of which ends at once."""
    done = []
    for now_ms in moments_ms:
        verdict = kills.answer(request(), guard()._replace(policy=limits), now_ms).verdict
        if verdict.reason is Reason.NONE:
            done.append(now_ms)
            assert kills.follow(now_ms, guard()).exited.fate is Fate.GONE
        else:
            assert verdict.reason is Reason.RATE
            assert verdict.retry_after_ms > 0
    return done


def test_who_asks_too_fast_is_told_how_long_to_wait(kernel, world):
    kernel.has_exited = True
    kills = Kills(LONG_AGO_MS, policy())
    assert asked(kills, [0, 0, 0], policy()) == [0, 0, 0]
    answer = kills.answer(request(), guard(), 100)
    assert (answer.verdict.reason, answer.verdict.retry_after_ms) == (Reason.RATE, 400)
    assert answer.sentence.endswith(": rate for 400 ms")
    assert asked(kills, [499, 500, 999, 1000], policy()) == [500, 1000]


@given(
    st.lists(st.sampled_from([0, 1, 100, 499, 500, 501, 2000, 30_000]), min_size=20, max_size=100), st.integers(1, 4)
)
@settings(deadline=None, max_examples=50)
def test_no_burst_and_no_minute_is_exceeded_however_long_it_goes_on(gaps_ms, burst):
    with pytest.MonkeyPatch.context() as patch:
        Kernel(patch).has_exited = True
        World(patch).processes[4711] = entry()
        limits = policy(burst=burst, per_minute=10)
        done = asked(Kills(-(10**7), limits), [sum(gaps_ms[: at + 1]) for at in range(len(gaps_ms))], limits)
    for at, first in enumerate(done):
        assert len([moment for moment in done[at:] if moment < first + 60_000]) <= 10
        for count, last in enumerate(done[at:], 1):
            assert count <= burst + (last - first) // limits.interval_ms


def test_a_long_interval_holds_however_long_it_goes_on(kernel, world):
    kernel.has_exited = True
    limits = policy(burst=2, interval_ms=600_000, per_minute=2)
    moments_ms = [0, 0, *(minutes * 60_000 for minutes in range(10, 100, 10) for _ in range(2))]
    done = asked(Kills(-(10**7), limits), moments_ms, limits)
    assert done == [0, 0, *(minutes * 60_000 for minutes in range(10, 100, 10))]
