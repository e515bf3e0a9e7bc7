"""The rehearsal: a kill that works is shown on a real child, and what would not work is fatal and named."""

import errno
import os
from pathlib import Path
from signal import SIGKILL

import pytest

from bustd_killer import facts, flight, rehearsal
from bustd_killer.checks import own_pids
from bustd_killer.rehearsal import Unable
from bustd_killer.stage1 import resources
from bustd_protocol.messages import Reason
from bustd_shared.rules.protection import Protection
from tests.support import victims
from tests.unit.killer.making import guard, machine
from tests.unit.shared.forked import exits, in_child


def fails(reading=None, patch=lambda: None, **how) -> str:
    """Rehearse in a child, which ends whatever is left of it by its own end; returns why it is unable, "" if not."""

    def rehearse():
        subject = resources.start_subject()
        patch()
        try:
            rehearsal.rehearse(subject, guard(reading, **how))
        except Unable as error:
            return str(error)
        return ""

    return in_child(rehearse)


def refusing(code: int):
    def refuse(*_args):
        raise OSError(code, os.strerror(code))

    return refuse


def test_the_subject_waits_lives_and_can_be_chosen_by_the_kernel_again():
    pid = resources.start_subject()
    assert Path(f"/proc/{pid}/oom_score_adj").read_text() == "0\n"
    assert Path(f"/proc/{pid}/stat").read_text().split()[3] == str(os.getpid())
    os.kill(pid, SIGKILL)
    assert os.waitpid(pid, 0)[1] == SIGKILL


def test_the_subject_dies_with_the_killer():
    assert exits(in_child(resources.start_subject))


def test_a_rehearsal_that_succeeds_kills_and_reaps_its_subject():
    subject = resources.start_subject()
    rehearsal.rehearse(subject, guard())
    with pytest.raises(ChildProcessError):
        os.waitpid(subject, os.WNOHANG)
    assert facts.open_victim(subject) is Reason.GONE


@pytest.mark.parametrize(
    "how",
    [
        {"reading": machine(100)},
        {"protection": Protection(names=(b"*",))},
        {"minimum_mib": 2**20, "minimum_percent": 100},
        {"only_descendants_of": 2**22},
    ],
)
def test_a_policy_that_would_spare_the_subject_does_not_spoil_the_rehearsal(how):
    assert fails(**how) == ""


def test_a_sandbox_that_forbids_the_signal_is_fatal_and_named():
    def patch():
        flight.pidfd_send_signal = refusing(errno.EPERM)

    assert fails(patch=patch) == "pidfd_send_signal: [Errno 1] Operation not permitted"


def test_a_kernel_without_pidfd_send_signal_is_fatal_and_named():
    def patch():
        flight.pidfd_send_signal = refusing(errno.ENOSYS)

    assert fails(patch=patch) == "pidfd_send_signal: [Errno 38] Function not implemented"


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_sandbox_that_forbids_pidfd_open_is_fatal_and_named(code):
    def patch():
        os.pidfd_open = refusing(code)

    assert fails(patch=patch).endswith(os.strerror(code))


def test_a_proc_that_hides_the_killers_own_child_is_fatal():
    def patch():
        facts._read, os.path.exists = (lambda *_: None), (lambda *_: False)

    said = fails(patch=patch)
    assert said.startswith("/proc does not show the killer its own child")
    assert said.endswith("(hidden): is it hidepid?")


def test_facts_that_make_no_sense_are_fatal():
    def rehearse():
        subject = resources.start_subject()
        try:
            rehearsal.rehearse(subject, guard(own=own_pids(subject, 0, 0)))  # it takes its child for itself
        except Unable as error:
            return str(error)

    assert "make no sense: self" in in_child(rehearse)


def test_a_meminfo_that_makes_no_sense_is_fatal():
    def rehearse():
        subject = resources.start_subject()
        blind = guard()
        blind.machine.reading = None
        try:
            rehearsal.rehearse(subject, blind)
        except Unable as error:
            return str(error)

    assert in_child(rehearse) == "/proc/meminfo makes no sense"


def test_a_subject_that_outlives_sigkill_is_fatal():
    def patch():
        flight.pidfd_send_signal = lambda *_: None
        rehearsal._PATIENCE_MS = 10

    assert "outlived SIGKILL by 10 ms" in fails(patch=patch)


def test_a_child_that_is_shown_and_makes_no_sense_is_fatal():
    def patch():
        facts._read = lambda *_: None

    assert "(kernel)" in fails(patch=patch)


# The proof on the monitor


def test_the_killer_proves_itself_on_a_monitor_without_harm_to_it():
    with victims.victim(1) as monitor:
        assert rehearsal.prove_on(monitor.pid) == ""
        assert victims.is_alive(monitor)


def test_a_monitor_that_has_just_gone_proves_nothing_and_is_no_failure():
    with victims.victim(1) as monitor:
        monitor.kill()
        assert victims.exits_within(monitor, 5)
        assert rehearsal.prove_on(monitor.pid) == ""


@pytest.mark.root
def test_a_killer_that_may_not_signal_other_users_is_found_out():
    def prove():
        os.setresuid(65534, 65534, 0)
        said = rehearsal.prove_on(os.getppid())
        os.setresuid(0, 0, 0)
        return said

    said = in_child(prove)
    assert said == f"signal 0 to the monitor {os.getpid()}: [Errno 1] Operation not permitted"


def test_a_killer_that_does_not_see_its_monitor_is_found_out(monkeypatch):
    monkeypatch.setattr(facts, "_read", lambda *_: None)
    monkeypatch.setattr(os.path, "exists", lambda *_: False)
    assert rehearsal.prove_on(os.getpid()).startswith("/proc hides the monitor from the killer")


def test_a_kernel_that_refuses_a_pidfd_is_found_out(monkeypatch):
    monkeypatch.setattr(os, "pidfd_open", refusing(errno.ENOSYS))
    said = rehearsal.prove_on(2**22)
    assert said == f"pidfd_open on the monitor {2**22}: [Errno 38] Function not implemented"
