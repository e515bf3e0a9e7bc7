"""A leak that made memory short with less than the killer demands of a victim is waited for, while there is time."""

import pytest

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, StillSmall
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.what_may_die import Cause, Move, Shield, Spared
from bustd_monitor.reporting import sentences
from tests.unit.monitor.making import GIB, MIB, candidate, conditions, process, psi, reading
from tests.unit.monitor.trends import thrashing

CONDITIONS = conditions()
SHORT = reading(80 * MIB, total=GIB)
"""A machine on which programs can use 1 GiB: 22 MiB are missing to the floor, and a sixteenth of the floor is 6 MiB."""
BROWSER = candidate(102, held_bytes=400 * MIB)


def leak(held_mib: float = 30, gained_mib: float = 30, shield: Shield = Shield.TOO_SMALL) -> Spared:
    return Spared(process(101, held_bytes=int(held_mib * MIB), gained_bytes=int(gained_mib * MIB)), shield)


def decided(*spared: Spared, candidates=(BROWSER,), a_reading=SHORT, state: State | None = None):
    state = state or State(Stage.ACT, readings=2)
    return states.on_ranking(state, candidates, a_reading, 200, CONDITIONS, spared)


def test_a_leak_that_is_still_too_small_is_waited_for_and_no_larger_process_dies():
    after, (said,) = decided(leak())
    assert said == StillSmall(leak().process, 80 * MIB)
    assert (after.stage, after.hold_until_ms) == (Stage.WATCH, 300)
    assert decided(leak(), candidates=())[1] == (said,), "nor is it said that no death would help"
    assert sentences.news(said).startswith("no process is killed yet: 101 (leak) takes the memory")


def test_the_log_says_it_once_in_ten_seconds():
    after, _ = decided(leak())
    assert decided(leak(), state=after._replace(stage=Stage.ACT))[1] == ()


@pytest.mark.parametrize(
    ("spared", "why"),
    [
        (leak(held_mib=27), "its death would not end the shortage"),
        (leak(gained_mib=1), "it does not grow"),
        (leak(shield=Shield.NEVER), "it will not be a candidate however much it holds"),
    ],
)
def test_what_would_not_end_the_shortage_or_does_not_grow_is_not_waited_for(spared, why):
    _, (ask,) = decided(spared)
    assert isinstance(ask, Ask), why
    assert ask.candidate.process.pid == 102


def test_nor_is_one_where_others_have_gained_more_or_what_no_process_holds():
    _, (ask,) = decided(leak(), candidates=(candidate(102, held_bytes=400 * MIB, gained_bytes=31 * MIB),))
    assert ask.candidate.process.pid == 102
    _, (ask,) = decided(*[leak()] * 3)
    assert ask.candidate.process.pid == 102, "the leak is in many hands"


def test_at_half_of_the_floor_or_where_programs_stall_nothing_is_waited_for():
    _, (ask,) = decided(leak(60), a_reading=reading(51 * MIB, total=GIB))
    assert (ask.finding.signal.name, ask.candidate.process.pid) == ("KILL", 102)
    stalls = State(Stage.ACT, readings=2, trends=states.Trends(thrashing(10)))
    after, (ask,) = decided(leak(), a_reading=reading(80 * MIB, total=GIB, pressure=psi(60)), state=stalls)
    assert [one.name for one in states.firing_now(after)] == ["floor", "pressure"]
    assert ask.candidate.process.pid == 102


def test_what_takes_swap_away_dies_first_all_the_same():
    swapoff = BROWSER._replace(moves=(Move(Cause.TAKES_SWAP_AWAY, GIB),))
    _, (ask,) = decided(leak(), candidates=(swapoff,))
    assert ask.candidate.process.pid == 102
