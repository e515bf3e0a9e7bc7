"""Both halves in every order of events, breadth first: messages, crashes of either, deadlines, deaths, more memory.

The states are those of the real code on a fake kernel (tests/support/two_halves.py), which raises at a signal that may
not be sent. From each state that is found, an orderly course must lead to another kill.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable

import pytest

from bustd_killer import checks
from bustd_killer.flight import Kills
from bustd_killer.peer import Peer
from bustd_killer.rate import Rate
from bustd_monitor.client import Client
from bustd_monitor.deciding import states
from bustd_protocol.messages import KillerHello, Scope
from tests.support.two_halves import Broken, Halves, halves

Deed = Callable[[Halves], None]

EVENTS: tuple[Deed, ...] = (
    Halves.hear_as_killer,
    Halves.hear_as_monitor,
    Halves.pass_time,
    Halves.exit,
    Halves.crash_killer,
    Halves.crash_monitor,
    Halves.change_weather,
)
EVENTS_OF_A_GROUP = (*EVENTS, Halves.fork)
MOST_STATES = int(os.environ.get("BUSTD_STATES", "1500"))
"""Of each beginning. 1,500 of them are five or six events deep, and take ten seconds on a quiet machine."""
_MOST_TURNS = 120
_READY: tuple[Deed, ...] = (Halves.hear_as_killer, Halves.hear_as_monitor)
_ASKED = (*_READY, Halves.pass_time)
_FLYING = (*_ASKED, Halves.hear_as_killer)
BEGINNINGS = {"a start": (), "ready": _READY, "asked": _ASKED, "in flight": _FLYING}


def orderly(it: Halves, sound: set[str]) -> bool:
    """Everything arrives, what was signalled exits, memory stays short: whether another kill comes, and its end.

    `sound`: the states from which it does, as far as they are known.
    """
    while it.weather:
        it.change_weather()
    passed: list[str] = []
    kills = it.begun
    for _ in range(_MOST_TURNS):
        for _ in range(3):
            it.hear_as_killer()
            it.hear_as_monitor()
        if it.begun > kills and it.flight is None:
            sound.update(passed)
            return True
        if it.begun == kills:
            passed.append(it.state())
            if passed[-1] in sound:
                sound.update(passed)
                return True
        it.exit()
        it.pass_time()
    return False


def explored(begin: tuple[Deed, ...], events: tuple[Deed, ...], scope: Scope, most_states: int) -> tuple[int, int]:
    """How many states were found, and how many events deep. Raises Broken, with the events that led to it."""
    seen: set[str] = set()
    sound: set[str] = set()
    waiting = deque([begin])
    depth = 0
    while waiting and len(seen) < most_states:
        deeds = waiting.popleft()
        try:
            with halves(scope, deeds) as it:
                state = it.state()
                if state in seen:
                    continue
                seen.add(state)
                depth = len(deeds) - len(begin)
                if not orderly(it, sound):
                    raise Broken("no further kill is possible")
        except AssertionError as error:
            raise Broken(f"{error}, after {', '.join(deed.__name__ for deed in deeds) or 'the start'}") from error
        waiting.extend((*deeds, event) for event in events)
    return len(seen), depth


@pytest.mark.parametrize("beginning", BEGINNINGS)
def test_no_order_of_events_breaks_a_rule_or_leaves_both_waiting(beginning: str) -> None:
    assert explored(BEGINNINGS[beginning], EVENTS, Scope.PROCESS, MOST_STATES)[0] == MOST_STATES


def test_nor_where_a_group_dies_and_grows_meanwhile() -> None:
    assert explored(_FLYING, EVENTS_OF_A_GROUP, Scope.GROUP, MOST_STATES)[0] == MOST_STATES


# --- the search finds what it is there to find


def forgets_to_free_the_slot(broken: pytest.MonkeyPatch) -> None:
    end = Kills._end

    def ended(self: Kills, *arguments: object) -> object:
        flight, ending = self.flight, end(self, *arguments)  # type: ignore[arg-type]
        self.flight = flight._replace(held=()) if flight is not None else None
        return ending._replace(exited=None)

    broken.setattr(Kills, "_end", ended)


def begins_with_a_whole_rate(broken: pytest.MonkeyPatch) -> None:
    begin = Rate.__init__
    broken.setattr(Rate, "__init__", lambda rate, now_ms, policy: begin(rate, now_ms - 10**7, policy))


def keeps_what_is_void(broken: pytest.MonkeyPatch) -> None:
    """The monitor does not clear the kill that it has asked for when the connection is gone."""
    broken.setattr(states, "on_lost", lambda state, _hold_until_ms: state)


def begins_a_second_kill(broken: pytest.MonkeyPatch) -> None:
    """The killer does not tell a new peer of the kill in flight, and does not refuse the next."""
    send = Peer.send

    def told(self: Peer, message: object) -> None:
        if isinstance(message, KillerHello):
            message = message._replace(flight_id=0, flight_pid=0, flight_start_ticks=0, flight_signal=0)
        send(self, message)  # type: ignore[arg-type]

    refusal = Kills.refusal

    def not_busy(self: Kills, *arguments: object, **named: object) -> checks.Ruling:
        flight, self.flight = self.flight, None
        ruling = refusal(self, *arguments, **named)  # type: ignore[arg-type]
        self.flight = flight
        return ruling

    broken.setattr(Peer, "send", told)
    broken.setattr(Kills, "refusal", not_busy)


def never_calls_again(broken: pytest.MonkeyPatch) -> None:
    lose = Client.lose

    def lost(self: Client, *arguments: object) -> str:
        said = lose(self, *arguments)  # type: ignore[arg-type]
        self._next_try_ms = 2**62
        return said

    broken.setattr(Client, "lose", lost)
    broken.setattr(Client, "hurry", lambda *_: None)


FAULTS = {
    forgets_to_free_the_slot: "no further kill is possible|the loop does not sleep",
    begins_with_a_whole_rate: "the burst is not empty after a start",
    keeps_what_is_void: "no further kill is possible",
    begins_a_second_kill: "second SIGTERM|two kills in flight",
    never_calls_again: "no further kill is possible",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_half_that_breaks_a_rule_is_found(fault: Callable[[pytest.MonkeyPatch], None]) -> None:
    with pytest.MonkeyPatch.context() as broken:
        fault(broken)
        with pytest.raises(Broken, match=FAULTS[fault]):
            explored(_ASKED, EVENTS, Scope.PROCESS, MOST_STATES)
