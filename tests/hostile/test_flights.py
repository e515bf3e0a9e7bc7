"""One kill in flight: other requests meanwhile, requests from another connection, and victims that do not exit."""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer import aim, flight
from bustd_killer.checks import PASSED
from bustd_protocol.messages import Exited, Fate, KillRequest, Outcome, Ping, Pong, Reason, Signal
from tests.support import victims
from tests.support.dialogue import Dialogue, Heard, peer
from tests.support.honest import OVER, all_survive, dies_of, is_served, kill, refused, request_for
from tests.support.in_process import guard, kills
from tests.support.killer import killer

pytestmark = pytest.mark.attack("a captured monitor")

STUCK = """
import ctypes, os, signal, sys
PTRACE_SEIZE, PTRACE_O_TRACEEXIT = 0x4206, 0x40
kept = bytes([1]) * (32 << 20)
ready, said_ready = os.pipe()
child = os.fork()
if child == 0:
    kept = bytes([1]) * (32 << 20)
    os.write(said_ready, b"x")
    while True: signal.pause()
os.read(ready, 1)
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.ptrace(PTRACE_SEIZE, child, None, ctypes.c_void_p(PTRACE_O_TRACEEXIT))
print("failed" if failed else "ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    with victims.victim(name=b"stubborn", ignore_term=True) as process:
        yield process


def first_after_a_start(monitor: Dialogue, request: KillRequest) -> KillRequest:
    """Ask for it, and again when the burst of the killer that has just started is no longer empty. What was granted."""
    refusal = monitor.ask(request)
    assert refused(refusal, Reason.RATE)
    assert monitor.hear(refusal.retry_after_ms / 1000) is Heard.NOTHING
    again = request._replace(id=request.id + 1_000_000)
    assert monitor.ask(again).outcome is Outcome.SIGNALLED
    return again


def test_while_a_kill_is_in_flight_another_is_refused(
    place: Path, stubborn: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, grace="term_ms = 60_000") as daemon, peer(daemon.socket_path) as monitor:
        first = request_for(stubborn.pid, signal=Signal.TERM)
        with all_survive(stubborn, bystander):
            assert monitor.ask(first).outcome is Outcome.SIGNALLED
            assert refused(monitor.ask(request_for(bystander.pid)), Reason.BUSY)
            assert refused(monitor.ask(request_for(bystander.pid, signal=Signal.TERM)), Reason.BUSY)
            assert refused(monitor.ask(request_for(stubborn.pid, signal=Signal.TERM)), Reason.BUSY)
            impostor = request_for(stubborn.pid, start_ticks=first.start_ticks + 1)
            assert refused(monitor.ask(impostor), Reason.BUSY)
            assert daemon.has_said(
                f'to {bystander.pid} (called "bystander" by the monitor) for floor: busy {stubborn.pid} is in flight\n'
            )
        assert monitor.ask(request_for(stubborn.pid)).outcome is Outcome.SIGNALLED
        assert dies_of(stubborn)
        assert isinstance(monitor.hear(), Exited)
        kill(monitor, bystander)


def test_sigkill_for_the_one_in_flight_is_an_escalation_and_free_of_the_rate(
    place: Path, stubborn: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    rate = "burst = 1\ninterval_ms = 3000"
    with (
        killer(place, rate=rate, grace="term_ms = 60_000") as daemon,
        peer(daemon.socket_path) as monitor,
        all_survive(bystander),
    ):
        first = first_after_a_start(monitor, request_for(stubborn.pid, signal=Signal.TERM))
        escalation = monitor.ask(request_for(stubborn.pid))
        assert escalation[1:3] == (Outcome.SIGNALLED, Reason.NONE)
        assert escalation.signalled_count == 1
        assert dies_of(stubborn)
        exited = monitor.hear()
        assert isinstance(exited, Exited)
        assert (exited.id, exited.fate in OVER) == (first.id, True)
        assert daemon.has_said(
            f'SIGKILL to {stubborn.pid} (called "stubborn" by the monitor) for floor: an escalation\n'
        )
        refusal = monitor.ask(request_for(bystander.pid))
        assert refused(refusal, Reason.RATE)
        assert refusal.retry_after_ms <= 3000  # after two kills it would be longer
    with killer(place) as daemon:
        assert is_served(daemon, bystander)


@pytest.mark.parametrize("stays", [True, False], ids=["the monitor stays", "the monitor has gone"])
@pytest.mark.parametrize("stopped", [False, True], ids=["ignores it", "ignores it when it is continued"])
def test_sigterm_that_is_not_obeyed_becomes_sigkill_by_itself(
    place: Path, bystander: subprocess.Popen[bytes], stays: bool, stopped: bool
) -> None:
    with (
        victims.victim(name=b"stubborn", ignore_term=True) as stubborn,
        killer(place, grace="term_ms = 300") as daemon,
    ):
        if stopped:
            stubborn.send_signal(signal.SIGSTOP)
        with peer(daemon.socket_path) as monitor, all_survive(bystander):
            request = request_for(stubborn.pid, signal=Signal.TERM)
            assert monitor.ask(request).outcome is Outcome.SIGNALLED
            if not stays:
                monitor.step("close")
            assert dies_of(stubborn)
            if stays:
                exited = monitor.hear()
                assert isinstance(exited, Exited)
                assert (exited.id, exited.fate in OVER) == (request.id, True)
                assert exited.elapsed_ms >= 300
        assert daemon.has_said(f"{stubborn.pid} has not obeyed SIGTERM for ")
        assert is_served(daemon, bystander)


def test_a_victim_that_obeys_gets_no_sigkill(place: Path, victim: subprocess.Popen[bytes]) -> None:
    with killer(place, grace="term_ms = 300") as daemon, peer(daemon.socket_path) as monitor:
        kill(monitor, victim, signal=Signal.TERM)
        assert monitor.hear(0.4) is Heard.NOTHING
        assert "SIGKILL" not in daemon.log()


@pytest.mark.parametrize("parting", ["a disconnect", "a violation"])
def test_the_slot_outlives_the_connection(
    place: Path, stubborn: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes], parting: str
) -> None:
    """The next KillerHello reports the kill in flight, and its end is reported to the peer that is connected then."""
    with killer(place, grace="term_ms = 60_000") as daemon:
        request = request_for(stubborn.pid, signal=Signal.TERM)
        with all_survive(stubborn, bystander):
            with peer(daemon.socket_path) as first:
                assert first.ask(request).outcome is Outcome.SIGNALLED
                if parting == "a violation":
                    first.send(b"nonsense")
                    assert first.hear() is Heard.END
            with peer(daemon.socket_path, greeted=False) as second:
                hello = second.greet()
                told = (hello.flight_id, hello.flight_pid, hello.flight_start_ticks, hello.flight_signal)
                assert told == (request.id, stubborn.pid, request.start_ticks, Signal.TERM)
                assert refused(second.ask(request_for(bystander.pid)), Reason.BUSY)
        with peer(daemon.socket_path) as third:
            stubborn.kill()  # any exit counts
            exited = third.hear()
            assert isinstance(exited, Exited)
            assert (exited.id, exited.fate in OVER) == (request.id, True)
            kill(third, bystander)


def test_another_connection_may_escalate(
    place: Path, stubborn: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place, rate="burst = 1\ninterval_ms = 0", grace="term_ms = 60_000") as daemon, all_survive(bystander):
        request = request_for(stubborn.pid, signal=Signal.TERM)
        with peer(daemon.socket_path) as first:
            assert first.ask(request).outcome is Outcome.SIGNALLED
        with peer(daemon.socket_path) as second:
            assert second.ask(request_for(stubborn.pid)).outcome is Outcome.SIGNALLED
            assert dies_of(stubborn)
            exited = second.hear()
            assert isinstance(exited, Exited)
            assert (exited.id, exited.fate in OVER) == (request.id, True)


def test_an_exit_without_a_peer_to_report_it_to_frees_the_slot(
    place: Path, victim: subprocess.Popen[bytes], bystander: subprocess.Popen[bytes]
) -> None:
    with killer(place) as daemon:
        with peer(daemon.socket_path) as monitor:
            monitor.say(request_for(victim.pid))
        assert dies_of(victim)
        assert daemon.has_said(f"{victim.pid} is gone after ")
        with peer(daemon.socket_path, greeted=False) as later:
            hello = later.greet()
            assert (hello.flight_id, hello.flight_pid, hello.flight_start_ticks, hello.flight_signal) == (0, 0, 0, 0)
            kill(later, bystander)


def test_a_hello_in_the_middle_of_a_kill_tells_of_it(place: Path, stubborn: subprocess.Popen[bytes]) -> None:
    """Like a monitor that has executed itself again on the same connection."""
    with killer(place, grace="term_ms = 60_000") as daemon, peer(daemon.socket_path) as monitor:
        request = request_for(stubborn.pid, signal=Signal.TERM)
        assert monitor.ask(request).outcome is Outcome.SIGNALLED
        assert monitor.greet().flight_id == request.id
        assert monitor.ask(request_for(stubborn.pid)).outcome is Outcome.SIGNALLED
        exited = monitor.hear()
        assert isinstance(exited, Exited)
        assert exited.id == request.id


@pytest.fixture
def undying() -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that stops for ever while it exits, in spite of SIGKILL, because a tracer holds it there."""
    command = [victims.install.python(), "-I", "-c", STUCK]
    tracer = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert tracer.stdout is not None
        said = tracer.stdout.readline()
        (child,) = Path(f"/proc/{tracer.pid}/task/{tracer.pid}/children").read_text().split()
        if said != b"ready\n":
            signal.pidfd_send_signal(pidfd := victims.os.pidfd_open(int(child)), signal.SIGKILL)
            victims.os.close(pidfd)
            pytest.skip("tracing is not permitted here")
        yield tracer, int(child)
    finally:
        victims.end(tracer)


def test_a_victim_that_will_not_die_is_stuck_and_the_next_may_die(
    place: Path, undying: tuple[subprocess.Popen[bytes], int], bystander: subprocess.Popen[bytes]
) -> None:
    """It stops before it gives its memory back, so that the slot is not free earlier."""
    tracer, stuck = undying
    with killer(place, grace="stuck_ms = 1200") as daemon, peer(daemon.socket_path) as monitor:
        with all_survive(tracer, bystander):
            request = request_for(stuck)
            assert monitor.ask(request).outcome is Outcome.SIGNALLED
            monitor.say(Ping(request.id + 1))
            assert monitor.hear() == Pong(request.id + 1)
            assert refused(monitor.ask(request_for(bystander.pid)), Reason.BUSY)
            again = monitor.ask(request_for(stuck))  # the slot is not held for longer
            assert again.outcome is Outcome.SIGNALLED
            exited = monitor.hear()
            assert isinstance(exited, Exited)
            assert exited[:2] == (request.id, Fate.STUCK)
            assert exited.elapsed_ms >= 1200
        assert daemon.has_said(f"{stuck} is STUCK, ")
        kill(monitor, bystander)


@pytest.mark.parametrize("number", list(Signal))
def test_the_deadlines_of_a_kill_that_never_ends(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, number: Signal
) -> None:
    """SIGTERM, SIGKILL after 2 s, stuck 5 s after that. Escalations in between postpone nothing."""
    sent: list[int] = []
    monkeypatch.setattr(flight, "send_signal", lambda _, signal_number: sent.append(signal_number) or PASSED)
    rules = guard(burst=1)
    with kills(burst=1) as slot, all_survive(victim):
        request = request_for(victim.pid, signal=number)
        assert slot.answer(request, rules, 0).verdict.outcome is Outcome.SIGNALLED
        killed_ms = 0
        if number is Signal.TERM:
            killed_ms = 2000
            assert slot.follow(1999, rules) is None
            assert sent == [Signal.TERM]
            ending = slot.follow(killed_ms, rules)
            assert ending is not None
            assert ending.exited is None
        assert sent[-1] == Signal.KILL
        for after_ms in (1, 4000):
            assert slot.answer(request_for(victim.pid), rules, killed_ms + after_ms).verdict.reason is Reason.NONE
        assert slot.follow(killed_ms + 4999, rules) is None
        ending = slot.follow(killed_ms + 5000, rules)
        assert ending is not None
        assert ending.exited == Exited(request.id, Fate.STUCK, killed_ms + 5000)
        assert slot.flight is None


def test_a_victim_that_dies_before_the_signal_is_gone_and_costs_nothing(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    take_aim = aim.take_aim

    def too_late(*arguments: object) -> object:
        target = take_aim(*arguments)  # type: ignore[arg-type]
        victim.kill()
        victim.wait()
        return target

    monkeypatch.setattr(aim, "take_aim", too_late)
    rules = guard(burst=1)
    with kills(burst=1) as slot:
        assert slot.answer(request_for(victim.pid), rules, 0).verdict.outcome is Outcome.GONE
        assert slot.flight is None
        assert slot.rate.wait_ms(0) == 0
