"""Connections that are over: told at once, and closed by a child, whatever was sent on them."""

import os
import socket
import time
from collections.abc import Iterator

import pytest

from bustd_monitor.leaving import ENOUGH, PAUSE_MS, Leaving
from bustd_shared.daemon.packets import Socket, pair
from tests.support.lingering import lingering
from tests.unit.shared.forked import in_child

AT_ONCE_S = 5


class Hall:
    def __init__(self) -> None:
        self.leaving = Leaving()
        self.others: list[Socket] = []

    def leave(self, count: int) -> None:
        for _ in range(count):
            link, other = pair()
            self.others.append(other)
            self.leaving.add(link)

    def await_the_child(self) -> None:
        os.waitid(os.P_PID, self.leaving._child, os.WEXITED | os.WNOWAIT)


@pytest.fixture
def hall() -> Iterator[Hall]:
    made = Hall()
    yield made
    made.leaving.let_go()
    if not made.leaving.is_alone():
        os.waitpid(made.leaving._child, 0)
    for other in made.others:
        other.close()


def test_the_reader_is_told_at_once_and_can_send_no_more(hall):
    hall.leave(1)
    assert hall.others[0].recv(9) == b""
    with pytest.raises(BrokenPipeError):
        hall.others[0].send_now(b"x")
    assert len(hall.leaving) == 1


def test_a_few_are_kept_until_they_are_worth_a_child(hall):
    hall.leave(ENOUGH - 1)
    hall.leaving.let_go(0)
    assert (len(hall.leaving), hall.leaving._child) == (ENOUGH - 1, 0)
    hall.leave(1)
    hall.leaving.let_go(0)
    assert len(hall.leaving) == 0


def test_there_is_no_second_child_before_the_first_has_ended_and_a_pause_is_over(hall):
    hall.leave(ENOUGH)
    hall.leaving.let_go(0)
    hall.await_the_child()
    hall.leave(ENOUGH)
    hall.leaving.let_go(PAUSE_MS - 1)
    assert len(hall.leaving) == ENOUGH
    hall.leaving.let_go(PAUSE_MS)
    assert len(hall.leaving) == 0
    hall.leave(ENOUGH)
    hall.leaving._child, child = os.getpid(), hall.leaving._child  # no child of this process: it counts as ended
    assert hall.leaving.is_alone()
    os.waitpid(child, 0)


@pytest.mark.parametrize("call", ["fork", "pipe"])
def test_where_no_child_can_be_had_they_stay(hall, monkeypatch, call):
    def refuse() -> int:
        raise BlockingIOError

    hall.leave(ENOUGH)
    monkeypatch.setattr(os, call, refuse)
    hall.leaving.let_go(0)
    assert len(hall.leaving) == ENOUGH
    monkeypatch.undo()
    hall.leaving.let_go(1)
    assert len(hall.leaving) == 0


def test_a_descriptor_that_lingers_makes_nothing_wait(hall):
    def close() -> float:
        link, other = pair()
        client, _kept = lingering()
        with socket.socket(fileno=other.detach()) as sender:
            socket.send_fds(sender, [b"x"], [client.fileno()])
        client.close()
        hall.leaving.add(link)
        began = time.monotonic()
        hall.leaving.let_go()
        os.waitpid(hall.leaving._child, 0)
        return time.monotonic() - began

    assert in_child(close) < AT_ONCE_S
