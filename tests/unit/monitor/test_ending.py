"""Which signal a process gets where systemd looks at how a service ends, and what the log says of it."""

import pytest

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, Asked
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.ending import NEEDS_GRACE, is_killed_at_once, service_ended_with
from bustd_monitor.ranking.order import Candidate, rank
from bustd_monitor.ranking.terms import Terms
from bustd_monitor.reporting import sentences
from bustd_protocol.messages import Reason, Scope, Signal
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, matchers, process, psi, reading, verdict, victims

CONDITIONS = DEFAULTS.conditions
FIRING = reading(GIB, pressure=psi())
MANAGER = "/user.slice/user-1000.slice/user@1000.service"


def of_service(unit: str = "web.service", *, parent: int = 1, **changed):
    cgroup = f"/system.slice/{unit}"
    return process(**{"unit": unit, "cgroup": cgroup, "parent": parent, "whole": cgroup, **changed})


def placed(one, **rules) -> Candidate:
    (only,) = rank([one], Terms(victims(**rules), Protection(), 16 * MIB, total_bytes=16 * GIB)).candidates
    return only


def asked(candidate: Candidate) -> tuple[State, Ask]:
    state, _ = states.on_reading(State(readings=2), FIRING, 100, CONDITIONS)
    state, (ask,) = states.on_ranking(state, (candidate,), FIRING, 200, CONDITIONS)
    assert isinstance(ask, Ask)
    return state, ask


@pytest.mark.parametrize(
    ("one", "service"),
    [
        (of_service(), "web.service"),
        (of_service(cgroup="/system.slice/system-web.slice/web@1.service", unit="web@1.service"), "web@1.service"),
        (of_service(parent=77), ""),
        (of_service(parent=0), ""),
        (of_service("docker-4cd1.scope"), ""),
        (of_service("user@1000.service", cgroup=f"{MANAGER}/app.slice/web.service"), ""),
        (of_service(cgroup="/production.slice/web.service"), "web.service"),
        (of_service(cgroup=""), ""),
    ],
)
def test_the_main_process_of_a_system_service_is_recognised_without_privilege(one, service):
    assert service_ended_with(one, "") == service


def test_a_service_that_dies_whole_ends_with_any_of_its_processes():
    worker = of_service(parent=77)
    assert placed(worker, scope="cgroup").service == "web.service"
    assert placed(worker).service == ""
    assert service_ended_with(worker, "/system.slice/web.service/below") == "", "a part of it"


@pytest.mark.parametrize(
    ("signal", "service", "expected"),
    [
        ("auto", "web.service", True),
        ("auto", "", False),
        ("auto", "postgresql@16-main.service", False),
        ("auto", "mariadb.service", False),
        ("auto", "mysql.service", False),
        ("auto", "mine@1.service", False),
        ("term", "web.service", False),
        ("term", "", False),
        ("kill", "", True),
        ("kill", "postgresql.service", True),
    ],
)
def test_whether_it_gets_sigkill_at_once(signal, service, expected):
    rules = victims(signal=signal, grace=matchers(units=("mine@*.service",)))
    assert is_killed_at_once(service, rules) is expected


def test_every_unit_that_needs_the_grace_is_a_service():
    assert all(unit.endswith(".service") for unit in NEEDS_GRACE)


@pytest.mark.parametrize(
    ("one", "signal", "words"),
    [
        (of_service(), Signal.KILL, "systemd counts web.service as failed, so Restart=on-failure brings it back"),
        (
            of_service("mysql.service"),
            Signal.TERM,
            "systemd counts mysql.service as ended well, so Restart=on-failure does not bring it back",
        ),
        (process(), Signal.TERM, ""),
        (of_service(parent=77), Signal.TERM, ""),
    ],
)
def test_a_service_gets_the_signal_that_systemd_takes_for_a_failure_and_the_line_says_so(one, signal, words):
    _, ask = asked(placed(one))
    assert ask.finding.signal is signal
    line = sentences.choice(ask, CONDITIONS)
    assert f"SIG{signal.name} for {one.pid}" in line
    assert line.endswith(f"; {words}" if words else "after it none")


def test_with_term_nothing_changes_and_the_line_still_says_what_systemd_will_do():
    _, ask = asked(placed(of_service(), signal="term"))
    assert ask.finding.signal is Signal.TERM
    assert "web.service as ended well" in sentences.choice(ask, CONDITIONS)


def test_one_that_dies_alone_after_a_refusal_of_its_service_is_no_longer_the_end_of_that():
    whole = placed(of_service(parent=77), scope="cgroup")
    state, ask = asked(whole)
    assert (ask.candidate.scope, ask.finding.signal) == (Scope.CGROUP, Signal.KILL)
    _, (alone,) = states.on_verdict(state, Asked(whole, Signal.KILL), verdict(Reason.PROTECTED), 300)
    assert isinstance(alone, Ask)
    assert (alone.candidate.scope, alone.candidate.service) == (Scope.PROCESS, "")
