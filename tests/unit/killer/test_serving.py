"""What stage 2 makes sure of before it serves: by its very beginning, on policies that a start has handed on."""

import os
import signal
import socket

import pytest

from bustd_killer import serving
from bustd_killer.stage1.handing_on import handed_on
from bustd_shared.daemon import libc
from tests.unit.killer.making import policy
from tests.unit.shared.forked import in_child

UNLOCKED = {"lock_denied": "memory is not locked: it is a test"}


def begun(prepare=lambda: None) -> tuple[int, str]:
    """Its exit code and what it said, in a child that has prepared itself so."""
    reader, writer = os.pipe()

    def run() -> int:
        os.dup2(writer, 2)
        prepare()
        return serving.main(handed_on(policy(**UNLOCKED)))

    code = in_child(run)
    os.close(writer)
    with os.fdopen(reader, "rb") as said:
        return code, said.read().decode()


@pytest.mark.root
def test_a_power_beyond_cap_kill_that_came_through_the_exec_is_fatal():
    code, said = begun()
    assert code == serving.EX_OSERR
    assert "CANNOT PROTECT THIS MACHINE: capabilities beyond CAP_KILL came through the exec: Cap" in said


def test_a_killer_that_could_be_traced_does_not_serve():
    code, said = begun(lambda: setattr(libc, "make_undumpable", lambda: False))
    assert code == serving.EX_OSERR
    assert "CANNOT PROTECT THIS MACHINE: the kernel refuses PR_SET_DUMPABLE" in said


def test_no_alarm_is_left_for_the_interpreters_end(monkeypatch):
    """By then the signal has its default action again, which would end the killer with another code."""

    class Served:
        def __init__(self, *_: object) -> None:
            signal.setitimer(signal.ITIMER_REAL, 60)

        def serve(self) -> int:
            return 0

    monkeypatch.setattr(serving, "Server", Served)
    monkeypatch.setattr(serving.rehearsal, "rehearse", lambda *_: None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def left() -> tuple[int, float]:
        code = serving._serve(policy(listener=listener.detach(), link=-1), lambda *_: None)  # type: ignore[arg-type]
        return code, signal.getitimer(signal.ITIMER_REAL)[0]

    assert in_child(left) == (0, 0.0)
    listener.close()
