"""swapoff(8) dies first while swap becomes smaller, though it holds nothing."""

import pytest

from bustd_monitor.conditions import trends
from bustd_monitor.conditions.filled import Filled
from bustd_monitor.conditions.trends import SwapFall, Trends
from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import SwapWent
from bustd_monitor.deciding.states import State
from bustd_monitor.deciding.still_deaths import Again
from bustd_monitor.deciding.worth_killing import Relief, worth_a_second, worth_asking_for, worth_it_ahead
from bustd_monitor.ranking.order import Ranking, Terms
from bustd_monitor.ranking.swapoff import put_first
from bustd_monitor.ranking.what_may_die import Cause
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_protocol.messages import Scope
from bustd_shared.rules.protection import Protection
from tests.fakes.procfs import FakeProc
from tests.unit.monitor.making import GIB, MIB, candidate, conditions, reading, victims

GOES = Terms(victims(), Protection(), 16 * MIB, total_bytes=16 * GIB, swap_goes_bytes=3 * GIB)
DATABASE = candidate(101, comm=b"postgres", held_bytes=8 * GIB)
RANKING = Ranking((DATABASE,), ())


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    made.process(101, b"postgres", anonymous_kib=8 * 2**20, uid=26)
    return made


def first(proc, terms=GOES, refused=frozenset()):
    table = ProcessTable(proc.path)
    ranking = put_first(RANKING, table, terms, refused)
    table.close()
    assert ranking.candidates[-1] == DATABASE, "the others stay"
    return ranking.candidates[0]


def test_roots_swapoff_comes_first_with_what_it_is_still_to_read_back(proc):
    proc.process(500, b"swapoff", anonymous_kib=80, uid=0)
    found = first(proc)
    assert (found.process.pid, found.held_bytes, found.scope) == (500, 80 * 1024, Scope.PROCESS)
    assert [(move.cause, move.moved_bytes) for move in found.moves] == [(Cause.TAKES_SWAP_AWAY, 3 * GIB)]
    assert found.is_killed_at_once


SET_UID = (1000, 0, 0, 0)
"""Real, effective, saved and of files: a set-uid program that an ordinary user has started."""


@pytest.mark.parametrize("of", [{"uid": 1000}, {"uid": 0, "comm": b"swapof"}, {"uid": SET_UID}])
def test_no_other_process_is_taken_for_it(proc, of):
    proc.process(500, of.pop("comm", b"swapoff"), anonymous_kib=80, **of)
    assert first(proc) == DATABASE


def test_its_own_oom_score_adj_does_not_spare_it_and_a_rule_of_roots_does(proc):
    proc.process(500, b"swapoff", anonymous_kib=80, uid=0, oom_score_adj=-1000)
    assert first(proc).process.pid == 500
    assert first(proc, GOES._replace(advice=Protection(names=(b"swapoff",)))) == DATABASE


def test_it_is_looked_for_only_while_swap_goes_away_and_not_where_the_killer_refused_it(proc):
    proc.process(500, b"swapoff", anonymous_kib=80, uid=0, start_ticks=77)
    assert first(proc, GOES._replace(swap_goes_bytes=0)) == DATABASE
    assert first(proc, refused=frozenset({(500, 77)})) == DATABASE
    assert first(proc, refused=frozenset({(500, 78)})).process.pid == 500


def test_it_is_asked_for_whatever_else_is_worth_a_death(proc):
    proc.process(500, b"swapoff", anonymous_kib=80, uid=0)
    candidates = (first(proc), DATABASE)
    choice = worth_asking_for(candidates, reading(GIB), conditions().floor)
    assert (choice.candidates, choice.relief) == (candidates, Relief.WHOLE)
    again = Again(1, 1000, Filled(shared=100 * GIB), 100 * GIB, is_filled=True, must_last_ms=30_000)
    assert worth_a_second(choice, again, 16 * GIB, is_urgent=False) == choice
    assert worth_it_ahead(candidates, 2**60) == candidates[:1]


# When swap goes away


def after(*swap_gib: float, every_ms: int = 1000) -> tuple[State, tuple]:
    state, said = State(), ()
    for number, size in enumerate(swap_gib):
        one = reading(swap=(size * GIB, 0))
        state, actions = states.on_reading(state, one, number * every_ms, conditions())
        said += tuple(action for action in actions if isinstance(action, SwapWent))
    return state, said


def test_that_swap_goes_away_is_said_when_it_begins_and_when_nothing_is_left():
    assert after(8, 8, 5, 4, 2, 1, 0, 0)[1] == (SwapWent(8 * GIB, 5 * GIB), SwapWent(8 * GIB, 0))
    assert after(8, 5, 5, 5, every_ms=5001)[1] == (SwapWent(8 * GIB, 5 * GIB),)
    assert after(8, 5, 5, 5, 3, every_ms=5001)[1] == (SwapWent(8 * GIB, 5 * GIB), SwapWent(5 * GIB, 3 * GIB))


@pytest.mark.parametrize(
    ("swap_gib", "fall"),
    [
        ((8, 8), None),
        ((8, 5), SwapFall(1000, 8 * GIB)),
        ((8, 5, 4), SwapFall(2000, 8 * GIB)),
        ((8, 5, 8), None),
        ((8, 5, 6), SwapFall(1000, 8 * GIB)),
        ((8, 5, 8, 6), SwapFall(3000, 8 * GIB)),
        ((8, *[5] * 11), SwapFall(1000, 8 * GIB)),
        ((8, *[5] * 12), None),
    ],
)
def test_swap_goes_away_until_it_has_not_become_smaller_for_ten_seconds(swap_gib, fall):
    assert after(*swap_gib)[0].trends.swap_fall == fall


def test_swap_that_is_not_known_has_not_become_smaller():
    quick = reading()._replace(is_whole=False)
    before = trends.advanced(Trends(), reading(swap=(8 * GIB, 0)), 0)
    assert trends.advanced(before, quick, 1000).swap_fall is None
