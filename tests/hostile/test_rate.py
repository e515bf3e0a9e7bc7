"""A monitor that asks for more kills than the rate permits."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from bustd_killer import facts, flight
from bustd_killer.checks import PASSED
from bustd_protocol.messages import Fate, Outcome, Reason
from tests.support import victims
from tests.support.dialogue import Heard, peer
from tests.support.honest import all_survive, is_served, kill, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")


@pytest.fixture
def crowd() -> Iterator[list[subprocess.Popen[bytes]]]:
    with ExitStack() as stack:
        yield [stack.enter_context(victims.victim(20)) for _ in range(5)]


def test_the_fourth_of_a_burst_waits_and_a_reconnect_does_not_help(
    place: Path, crowd: list[subprocess.Popen[bytes]]
) -> None:
    *dead, fourth, last = crowd
    with killer(place, rate="interval_ms = 0\nper_minute = 6") as daemon:
        with peer(daemon.socket_path) as monitor:
            for process in dead:
                kill(monitor, process)
            with all_survive(fourth, last):
                refusal = monitor.ask(request_for(fourth.pid))
                assert refused(refusal, Reason.RATE)
                assert 0 < refusal.retry_after_ms <= 60_000
                assert daemon.has_said(f"by the monitor) for floor: rate for {refusal.retry_after_ms} ms\n")
        with peer(daemon.socket_path, greeted=False) as monitor, all_survive(fourth, last):
            assert 0 < monitor.greet().retry_after_ms <= refusal.retry_after_ms
            later = monitor.ask(request_for(fourth.pid))
            assert refused(later, Reason.RATE)
            assert later.retry_after_ms <= refusal.retry_after_ms  # refusals do not count


def test_after_the_time_that_the_killer_gave_the_next_is_served(
    place: Path, crowd: list[subprocess.Popen[bytes]]
) -> None:
    first, second, third, *_ = crowd
    with (
        killer(place, rate="burst = 1\ninterval_ms = 1500") as daemon,
        peer(daemon.socket_path) as monitor,
    ):
        for process in (first, second):  # of the first too: a killer that has just started has an empty burst
            with all_survive(second, third):
                refusal = monitor.ask(request_for(process.pid))
                assert refused(refusal, Reason.RATE)
                assert monitor.hear(refusal.retry_after_ms / 1000) is Heard.NOTHING
            kill(monitor, process)
        with all_survive(third):
            assert refused(monitor.ask(request_for(third.pid)), Reason.RATE)


@pytest.mark.left("in a real shortage: 60 kills a minute")
def test_no_minute_sees_more_than_its_share_and_the_first_after_a_start_half_of_it(
    place: Path, crowd: list[subprocess.Popen[bytes]]
) -> None:
    first, second, *others = crowd
    with (
        killer(place, rate="burst = 2\ninterval_ms = 0\nper_minute = 4") as daemon,
        peer(daemon.socket_path) as monitor,
        all_survive(*others),
    ):
        kill(monitor, first)
        kill(monitor, second)
        refusal = monitor.ask(request_for(others[0].pid))
        assert refused(refusal, Reason.RATE)
        assert 50_000 < refusal.retry_after_ms <= 60_000


def test_refusals_and_failures_use_nothing_up(place: Path, crowd: list[subprocess.Popen[bytes]]) -> None:
    alive, dead, *others = crowd
    gone = request_for(dead.pid)
    victims.end(dead)
    with killer(place, rate="burst = 1\ninterval_ms = 0\nper_minute = 2") as daemon:
        with all_survive(alive, *others), peer(daemon.socket_path) as monitor:
            assert monitor.ask(gone).outcome is Outcome.GONE
            assert refused(monitor.ask(request_for(1)), Reason.PID1)
            assert refused(monitor.ask(request_for(alive.pid, start_ticks=0)), Reason.START_TIME)
            assert refused(monitor.ask(request_for(alive.pid, claimed_bytes=2**60)), Reason.SHRUNK)
        assert is_served(daemon, alive)


def test_the_rate_over_time(victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """With root's defaults, after a minute of rest: three at once, then one every 500 ms, and 60 in any minute."""
    monkeypatch.setattr(flight, "send_signal", lambda *_: PASSED)
    monkeypatch.setattr(facts, "exited", lambda _: set())
    rules, request, granted = guard(), request_for(victim.pid), []
    with kills() as slot, all_survive(victim):
        for now_ms in range(0, 90_000, 100):
            verdict = slot.answer(request, rules, now_ms).verdict
            if verdict.reason is Reason.RATE:
                assert verdict.retry_after_ms > 0
                continue
            assert verdict.outcome is Outcome.SIGNALLED
            granted.append(now_ms)
            monkeypatch.setattr(facts, "exited", set)
            ending = slot.follow(now_ms, rules)
            assert ending is not None
            assert ending.exited is not None
            assert ending.exited.fate is Fate.GONE
            monkeypatch.setattr(facts, "exited", lambda _: set())
    assert granted[:5] == [0, 100, 200, 500, 1000]
    assert len([now_ms for now_ms in granted if now_ms < 60_000]) == 60
    for start_ms in granted:
        assert len([now_ms for now_ms in granted if start_ms <= now_ms < start_ms + 60_000]) <= 60
