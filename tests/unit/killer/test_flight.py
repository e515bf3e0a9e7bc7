"""The one kill in flight, on real victims of the test's own, with the time passed in."""

import os
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bustd_killer.flight import Kills
from bustd_protocol.members import packed_members
from bustd_protocol.messages import Exited, Fate, Outcome, Reason, Scope, Signal
from bustd_shared.rules.protection import Protection
from tests.support import victims
from tests.unit.killer.making import LONG_AGO_MS, MIB, guard, policy, request

POLICY = policy()
LOCAL = guard()


def request_for(child: subprocess.Popen[bytes], request_id: int = 7, **changed: object):
    ticks = victims.start_ticks(child.pid)
    return request(child.pid, id=request_id, start_ticks=ticks, claimed_bytes=32 * MIB, **changed)


@contextmanager
def watched(kills: Kills) -> Iterator[None]:
    """The pidfds of a kill that is not followed to its end are let go of."""
    try:
        yield
    finally:
        if kills.flight is not None:
            for _, pidfd in kills.flight.held:
                os.close(pidfd)


def test_a_victim_is_signalled_and_its_exit_reported_once():
    kills = Kills(LONG_AGO_MS, POLICY)
    with victims.victim(32) as child:
        answer = kills.answer(request_for(child, uid=5), LOCAL, 1000)
        verdict = answer.verdict
        assert (verdict.id, verdict.outcome, verdict.reason) == (7, Outcome.SIGNALLED, Reason.NONE)
        assert (verdict.signalled_count, verdict.differs, verdict.retry_after_ms, verdict.errno) == (1, 1, 0, 0)
        assert verdict.held_bytes >= 32 * MIB
        assert f"signalled SIGTERM to {child.pid} (leak, unit " in answer.sentence
        assert answer.sentence.endswith(" for floor")
        assert victims.exits_within(child, 5)
        ending = kills.follow(1043, LOCAL)
        assert ending.exited == Exited(7, Fate.GONE, 43)
        assert ending.sentence == f"{child.pid} is gone after 43 ms"
        assert kills.flight is None
        assert kills.follow(1044, LOCAL) is None
    assert child.returncode == -signal.SIGTERM


SAVES = """
import os, signal, time
kept = bytes([1]) * (32 << 20)
signal.signal(signal.SIGTERM, lambda *_: os._exit(3))
print("ready", flush=True)
time.sleep(60)
"""


def test_a_stopped_victim_is_continued_after_its_sigterm_and_can_save_its_work():
    kills = Kills(LONG_AGO_MS, POLICY)
    child = victims.start_program(SAVES)
    try:
        os.kill(child.pid, signal.SIGSTOP)
        os.waitid(os.P_PID, child.pid, os.WSTOPPED | os.WNOWAIT)
        with watched(kills):
            assert kills.answer(request_for(child), LOCAL, 0).verdict.outcome is Outcome.SIGNALLED
            assert victims.exits_within(child, 5)
    finally:
        victims.end(child)
    assert child.returncode == 3


def test_a_victim_that_runs_is_sent_no_sigcont():
    kills = Kills(LONG_AGO_MS, POLICY)
    child = victims.start_program(SAVES.replace("os._exit(3))", "None)\nsignal.signal(18, lambda *_: os._exit(4))"))
    try:
        with watched(kills):
            assert kills.answer(request_for(child), LOCAL, 0).verdict.outcome is Outcome.SIGNALLED
            assert not victims.exits_within(child, 0.3)
    finally:
        victims.end(child)


def test_sigkill_is_sent_where_it_is_asked_for():
    kills = Kills(LONG_AGO_MS, POLICY)
    with victims.victim(32, ignore_term=True) as child:
        answer = kills.answer(request_for(child, signal=Signal.KILL), LOCAL, 0)
        assert "SIGKILL" in answer.sentence
        assert victims.exits_within(child, 5)
        assert kills.follow(1, LOCAL).exited.fate is Fate.GONE
    assert child.returncode == -signal.SIGKILL


def test_sigterm_that_is_not_obeyed_becomes_sigkill_when_its_grace_is_over():
    kills = Kills(LONG_AGO_MS, POLICY)
    with victims.victim(32, ignore_term=True) as child:
        kills.answer(request_for(child), LOCAL, 1000)
        assert kills.flight.deadline_ms == 3000
        assert kills.follow(2999, LOCAL) is None
        assert victims.is_alive(child)
        ending = kills.follow(3000, LOCAL)
        assert ending.exited is None
        assert ending.sentence == f"{child.pid} has not obeyed SIGTERM for 2000 ms: SIGKILL"
        assert victims.exits_within(child, 5)
        assert kills.follow(3001, LOCAL).exited == Exited(7, Fate.GONE, 2001)
    assert child.returncode == -signal.SIGKILL


def test_an_escalation_is_free_and_starts_no_second_kill():
    kills = Kills(LONG_AGO_MS, policy(burst=2))
    with victims.victim(32, ignore_term=True) as child:
        kills.answer(request_for(child), LOCAL, 1000)
        answer = kills.answer(request_for(child, 8, signal=Signal.KILL), LOCAL, 1100)
        assert (answer.verdict.id, answer.verdict.reason, answer.verdict.signalled_count) == (8, Reason.NONE, 1)
        assert "escalation" in answer.sentence
        assert kills.flight.deadline_ms == 1100 + POLICY.stuck_ms
        assert kills.rate.wait_ms(1100) == 0, "only the first signal used up the rate"
        assert victims.exits_within(child, 5)
        assert kills.follow(1200, LOCAL).exited == Exited(7, Fate.GONE, 200)


def test_a_second_sigterm_for_the_one_in_flight_is_busy():
    kills = Kills(LONG_AGO_MS, POLICY)
    with watched(kills), victims.victim(32, ignore_term=True) as child:
        kills.answer(request_for(child), LOCAL, 0)
        again = kills.answer(request_for(child, 8), LOCAL, 5000)
        assert (again.verdict.outcome, again.verdict.reason) == (Outcome.REFUSED, Reason.BUSY)
        assert f"{child.pid} is in flight" in again.sentence
        assert victims.is_alive(child)


def test_while_one_kill_is_in_flight_no_other_begins_be_it_ever_so_urgent():
    kills = Kills(LONG_AGO_MS, POLICY)
    with watched(kills), victims.victim(32, ignore_term=True) as child, victims.victim(32) as other:
        kills.answer(request_for(child), LOCAL, 0)
        for signal_asked in Signal:
            answer = kills.answer(request_for(other, 8, signal=signal_asked), LOCAL, 1)
            assert answer.verdict.reason is Reason.BUSY
        stale = request_for(child, signal=Signal.KILL)._replace(start_ticks=1)
        assert kills.answer(stale, LOCAL, 1).verdict.reason is Reason.BUSY
        assert victims.is_alive(other)
        assert victims.is_alive(child)


def test_what_is_refused_gets_no_signal_and_uses_up_nothing():
    kills = Kills(LONG_AGO_MS, policy(burst=1))
    with victims.victim(32) as child:
        protecting = guard(protection=Protection(names=(b"leak",)))
        for now_ms in range(10):
            answer = kills.answer(request_for(child), protecting, now_ms)
            assert (answer.verdict.outcome, answer.verdict.reason) == (Outcome.REFUSED, Reason.PROTECTED)
        assert answer.sentence.startswith(f"refused SIGTERM to {child.pid} (leak, unit ")
        assert answer.sentence.endswith(f", uid {os.geteuid()}) for floor: protected name leak")
        assert kills.flight is None
        assert kills.rate.wait_ms(10) == 0
        assert victims.is_alive(child)


def test_a_victim_that_went_before_it_was_asked_for_is_gone():
    kills = Kills(LONG_AGO_MS, POLICY)
    with victims.victim(32) as child:
        asked = request_for(child)
        child.kill()
        assert victims.exits_within(child, 5)
        answer = kills.answer(asked, LOCAL, 0)
        assert (answer.verdict.outcome, answer.verdict.reason) == (Outcome.GONE, Reason.GONE)
        assert kills.flight is None


def test_a_group_dies_as_one_and_its_end_is_that_of_its_last_member():
    kills = Kills(LONG_AGO_MS, POLICY)
    program = """
import os, signal, time
kept = bytes([1]) * (32 << 20)
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("ready", flush=True)
time.sleep(120)
"""
    child = victims.start_program(program, own_group=True)
    try:
        (forked,) = map(int, Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split())
        members = packed_members([(forked, victims.start_ticks(forked))])
        answer = kills.answer(request_for(child, scope=Scope.GROUP, members=members), LOCAL, 0)
        assert answer.verdict.signalled_count == 2
        assert victims.exits_within(child, 5)
        assert kills.follow(10, LOCAL) is None, "the child of the child lives on"
        assert len(kills.flight.held) == 1
        assert kills.follow(2000, LOCAL).exited is None
        assert kills.flight.signal is Signal.KILL
        assert select.select([pidfd for _, pidfd in kills.flight.held], [], [], 5)[0]
        assert kills.follow(2010, LOCAL).exited == Exited(7, Fate.GONE, 2010)
    finally:
        victims.end(child)


@pytest.mark.parametrize("name", [b"x\ny", b"\x1b[31m"])
def test_a_name_in_the_log_forges_nothing(name):
    kills = Kills(LONG_AGO_MS, POLICY)
    answer = kills.answer(request(2**22, comm=name, condition=b"\n"), LOCAL, 0)
    assert answer.verdict.reason is Reason.GONE
    assert answer.sentence.isprintable()


def test_the_log_has_what_the_killer_saw_and_in_quotes_what_it_was_told():
    kills = Kills(LONG_AGO_MS, POLICY)
    with watched(kills), victims.victim(32) as child:
        lied = kills.answer(request_for(child, comm=b"sshd\n")._replace(start_ticks=1), LOCAL, 0)
        assert lied.sentence.startswith(f"refused SIGTERM to {child.pid} (leak, unit ")
        assert ', called "sshd\\n" by the monitor) for floor: start_time ' in lied.sentence
        assert "called" not in kills.answer(request_for(child), LOCAL, 1).sentence
        unseen = kills.answer(request(2**22), LOCAL, 2)
        said = f'refused SIGTERM to {2**22} (called "leak" by the monitor) for floor: busy {child.pid} is in flight'
        assert unseen.sentence == said
