"""A turn in which the kernel makes the killer wait: a signal ends that."""

import os

from bustd_killer import server
from bustd_killer.server import Server
from tests.support.lingering import seconds_to_close
from tests.unit.killer.making import guard
from tests.unit.shared.forked import in_child

TURN_S = 0.05


def woken() -> Server:
    """One whose wait was ended by a signal."""
    made = Server(guard(), lambda *_: None, None, None)  # type: ignore[arg-type]
    os.write(made._wakeup[1], b"\0")
    assert made._wait() == {made._wakeup[0]}
    return made


def test_what_takes_an_hour_to_close_takes_no_longer_than_a_turn(monkeypatch):
    monkeypatch.setattr(server, "LONGEST_TURN_S", TURN_S)
    assert TURN_S / 2 < in_child(lambda: seconds_to_close(woken)) < TURN_S + 5


def test_neither_a_wait_is_interrupted_nor_is_one_ended_by_what_woke_another(monkeypatch):
    monkeypatch.setattr(server, "LONGEST_TURN_S", TURN_S)

    def wait() -> tuple[set[int], bool]:
        made = woken()
        until_ms = server._now_ms() + int(3 * TURN_S * 1000)
        made._kills.due_ms = lambda: until_ms  # type: ignore[method-assign]
        return made._wait(), server._now_ms() >= until_ms

    assert in_child(wait) == (set(), True)
