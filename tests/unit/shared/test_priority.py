"""The priority of both halves, as the scheduler counts it: of a process, and of its session (autogroups, sched(7))."""

import json
import os
from pathlib import Path

import pytest

from bustd_shared.kernel import priority
from tests.unit.shared.forked import in_child

AUTOGROUP = Path("/proc/self/autogroup")
NOBODY = 65534

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="to raise a priority takes root"),
    pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel has no autogroups"),
]


def raised() -> tuple[int, str]:
    """The priority of this process and of its session, after it was raised."""
    priority.raise_priority()
    return os.getpriority(os.PRIO_PROCESS, 0), AUTOGROUP.read_text().split(" ", 1)[1].strip()


def test_a_session_of_its_own_gets_it_too():
    def with_a_session() -> tuple[int, str]:
        os.setsid()
        return raised()

    assert in_child(with_a_session) == (-20, "nice -20")


def test_a_daemon_whose_leader_is_gone_has_its_session_to_itself():
    go_on, is_gone = os.pipe()
    told, tell = os.pipe()
    leader = os.fork()
    if leader == 0:
        os.setsid()
        if os.fork() == 0:
            os.read(go_on, 1)
            os.write(tell, json.dumps(raised()).encode())
        os._exit(0)
    # It stays a zombie, as under `bustd`, which waits for its daemon to start.
    os.waitid(os.P_PID, leader, os.WEXITED | os.WNOWAIT)
    os.write(is_gone, b"x")
    assert json.loads(os.read(told, 4096)) == [-20, "nice -20"]
    os.waitpid(leader, 0)
    for descriptor in (go_on, is_gone, told, tell):
        os.close(descriptor)


def test_a_session_with_others_in_it_stays_as_it_is():
    def beside_its_leader() -> tuple[int, str]:
        os.setsid()
        return in_child(raised)

    assert in_child(beside_its_leader) == (-20, "nice 0")


def test_an_ordinary_user_waits_its_turn():
    def as_nobody() -> tuple[int, str]:
        os.setsid()
        os.setresuid(NOBODY, NOBODY, NOBODY)
        return raised()

    assert in_child(as_nobody) == (os.getpriority(os.PRIO_PROCESS, 0), "nice 0")


def test_a_unit_whose_filter_forbids_the_call_gives_it_to_its_session_all_the_same(monkeypatch):
    def forbidden(*_: object) -> None:
        raise PermissionError

    def as_a_unit() -> tuple[int, str]:
        os.setsid()
        return raised()

    monkeypatch.setattr(os, "setpriority", forbidden)
    assert in_child(as_a_unit) == (os.getpriority(os.PRIO_PROCESS, 0), "nice -20")
