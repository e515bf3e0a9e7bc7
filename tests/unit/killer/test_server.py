"""The killer's loop, without a connection: what it hands to the checks."""

import os

from bustd_killer.checks import own_pids
from bustd_killer.flight import Answer
from bustd_killer.server import Server
from bustd_protocol.messages import Outcome, Reason, Verdict
from tests.unit.killer.making import guard, request
from tests.unit.shared.forked import in_child


class Monitor:
    """A peer that hears everything."""

    pid = 812

    def send(self, message: object) -> None:
        pass


def test_the_parent_that_is_spared_is_the_one_that_it_has_now():
    """The number of one that has exited may be a leak's by now."""

    def judged() -> list[bool]:
        found = []
        server = Server(guard(own=own_pids(os.getpid(), 4711, 812)), lambda *_: None, None, None)  # type: ignore[arg-type]

        def answer(asked, by, _):
            found.append(by.own)
            return Answer(Verdict(asked.id, Outcome.GONE, Reason.GONE), "")

        server._kills.answer = answer  # type: ignore[method-assign]
        server._answer(Monitor(), request(4711), 0)  # type: ignore[arg-type]
        return [own == own_pids(os.getpid(), os.getppid(), 812) for own in found]

    assert in_child(judged) == [True]
