"""What a container keeps from the killer: CAP_KILL, and signals to the processes outside."""

import os

import prctl
import pytest

from bustd_killer import start
from bustd_killer.stage1 import identity, reach
from bustd_shared.daemon.log import Log
from tests.unit.killer.making import policy
from tests.unit.shared.forked import in_child

FREE = 61184


def without_cap_kill() -> None:
    prctl.cap_effective.kill = False
    prctl.cap_permitted.kill = False


@pytest.mark.root
def test_root_without_cap_kill_does_not_become_a_user_that_can_kill_nothing():
    """In a container that was given CAP_SETUID and CAP_SETGID alone."""

    def confined() -> str:
        without_cap_kill()
        with pytest.raises(PermissionError) as refused:
            start._confine(policy(peer_uid=65_533), os.getppid(), Log("test"))
        return f"{os.geteuid()}: {refused.value.strerror}"

    said = in_child(confined)
    assert said.startswith("0: CAP_KILL is missing")
    assert said.endswith("give it to the container")


def test_a_user_that_stays_what_it_is_needs_none():
    own = identity.Identity(os.geteuid(), os.getegid(), (), "a test")
    reach.require_cap_kill(own)


@pytest.mark.root
def test_with_cap_kill_the_first_process_is_in_reach():
    def as_the_killer() -> str:
        identity.become(identity.Identity(FREE, FREE, (), "a test"))
        return reach.trouble()

    assert in_child(as_the_killer) == ""


@pytest.mark.root
def test_a_kernel_that_refuses_signals_to_the_first_process_is_said_with_what_to_do():
    def refused() -> str:
        without_cap_kill()
        identity.become(identity.Identity(FREE, FREE, (), "a test"))
        return reach.trouble()

    said = in_child(refused)
    assert "it may not signal process 1 (Operation not permitted)" in said
    assert "apparmor=unconfined" in said


def test_a_first_process_that_is_gone_is_no_trouble():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert reach.trouble(pid) == ""
