"""When a kill is over: its memory is back, or a second has passed, or the machine would not live so long."""

import pytest

from bustd_monitor.conditions.filling import Filling, Rate
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding import returning, states
from bustd_monitor.deciding.actions import Asked, LessCameBack, Rank
from bustd_monitor.deciding.returning import Claim
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.books import Shortfall, corrected
from bustd_monitor.ranking.what_may_die import Cause, Move
from bustd_monitor.sensing.reading import lower_bound
from bustd_protocol.messages import Exited, Fate, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, process, reading, verdict

CONDITIONS = DEFAULTS.conditions
SMALL = CONDITIONS._replace(floor=CONDITIONS.floor._replace(available_mib=2**20, available_percent=50))
"""Memory is short at half of it."""
VICTIM = candidate(101, held_bytes=800 * MIB, parent=7)
SHORT = reading(GIB)
GONE_MS = 1000


def dead(fate: Fate = Fate.GONE, *, children: int = 0, room: int = GIB) -> State:
    """The state when the victim has exited, a second after the request."""
    state = State(Stage.ACT, chosen=(0, room), readings=2)
    asked = Asked(VICTIM._replace(children_bytes=children), Signal.TERM)
    state, _ = states.on_verdict(state, asked, verdict(), 0)
    return states.on_exited(state, Exited(1, fate, 40), GONE_MS)


def next_kill_ms(state: State, *, available_at=lambda _: GIB) -> int:
    """When the next process would be asked for, with a reading every 50 ms that always fires."""
    for now_ms in range(GONE_MS + 10, GONE_MS + 6000, 50):
        state, actions = states.on_reading(state, reading(available_at(now_ms)), now_ms, CONDITIONS)
        if any(isinstance(action, Rank) for action in actions):
            return now_ms - GONE_MS
    raise AssertionError("never")


def test_what_is_left_counts_from_when_the_victim_had_been_read():
    """A newborn may have taken all of it since the reading before."""
    trends = Trends(filling=Filling((0, 2 * GIB), ((0, 2 * GIB),)))
    state = State(Stage.ACT, trends=trends, readings=2)
    state, (ask, *_) = states.on_ranking(state, (VICTIM,), SHORT, 100, SMALL)
    state, _ = states.on_verdict(state, Asked(ask.candidate, Signal.TERM), verdict(), 110)
    assert (state.claim.chosen_ms, state.claim.unheld_bytes) == (100, SHORT.unheld_bytes)


def test_a_claim_that_is_too_small_to_be_seen_to_come_back_is_not_waited_for():
    small = VICTIM._replace(held_bytes=SHORT.ram // 256 - 1)
    state, _ = states.on_verdict(State(Stage.ACT, chosen=(0, GIB)), Asked(small, Signal.TERM), verdict(), 0)
    assert next_kill_ms(states.on_exited(state, Exited(1, Fate.GONE, 40), GONE_MS)) <= 60
    assert returning.shortfall_of(state.claim._replace(until_ms=0), Trends(), SHORT, GONE_MS) is None


def test_while_nothing_came_back_no_other_is_asked_for_before_a_second_is_over():
    assert 1000 <= next_kill_ms(dead()) <= 1060
    assert 5000 <= next_kill_ms(dead(Fate.RELEASED)) <= 5060, "the kernel has only begun to free it"


def test_it_is_over_when_half_of_what_was_claimed_is_back():
    state = dead()
    for now_ms, back_mib, is_over in ((1100, 0, False), (1200, 399, False), (1300, 400, True)):
        state, actions = states.on_reading(state, reading(GIB + back_mib * MIB), now_ms, SMALL)
        assert any(isinstance(action, Rank) for action in actions) is is_over


def test_swap_that_it_gives_back_counts():
    claim = dead().claim
    assert not returning.is_back(claim, reading(GIB + 200 * MIB))
    assert returning.is_back(claim, reading(GIB + 200 * MIB, swap=(GIB, 200 * MIB)))


def test_what_was_compressed_in_swap_comes_back_once_and_not_in_memory_too():
    """All of the victim is in zram, at 2 to 1. Of each 2 MiB that come back of swap, 1 MiB comes back of memory."""
    before = reading(GIB, swap=(GIB, 0))._replace(compressed=400 * MIB)
    claim = returning.claim_of(VICTIM, (0, before.unheld_bytes), Trends())
    for back_mib, is_back in ((398, False), (400, True)):
        after = reading(GIB + back_mib // 2 * MIB, swap=(GIB, back_mib * MIB))
        after = after._replace(compressed=(400 - back_mib // 2) * MIB)
        assert returning.is_back(claim, after) is is_back


def test_what_its_children_hold_is_waited_for_too_as_they_may_be_going():
    claim = dead(children=400 * MIB).claim
    assert not returning.is_back(claim, reading(GIB + 900 * MIB))
    assert returning.is_back(claim, reading(GIB + 1100 * MIB))
    assert 1000 <= next_kill_ms(dead(children=400 * MIB)) <= 1060, "children that stay are waited for no longer"


@pytest.mark.parametrize("fate", [Fate.STUCK, Fate.SPARED])
def test_a_victim_that_lives_is_not_waited_for(fate):
    assert next_kill_ms(dead(fate)) <= 60


def test_without_a_reading_from_before_the_kill_there_is_no_wait():
    state, _ = states.on_verdict(State(Stage.ACT, readings=2), Asked(VICTIM, Signal.TERM), verdict(), 0)
    assert state.claim is None
    assert next_kill_ms(states.on_exited(state, Exited(1, Fate.GONE, 40), GONE_MS)) <= 60


@pytest.mark.parametrize(("per_second", "is_awaited"), [(0, True), (500 * MIB, True), (520 * MIB, False)])
def test_where_memory_would_be_gone_within_two_seconds_there_is_no_wait(per_second, is_awaited):
    claim = dead().claim
    trends = Trends(filling=Filling((1000, GIB), (), Rate(per_second, 600)))
    assert returning.is_awaited(claim, trends, reading(GIB), 1100) is is_awaited


@pytest.mark.parametrize(("left_mib", "is_awaited"), [(101, True), (100, False), (99, False)])
def test_but_while_more_is_left_from_reading_to_reading_there_is(left_mib, is_awaited):
    """The victim took 1 GiB a second, and now its memory comes back: that speed is no longer so."""
    before, now = (1000, 100 * MIB), (1050, left_mib * MIB)
    trends = Trends(filling=Filling(now, (before,), Rate(GIB, 600)))
    assert returning.is_awaited(dead(room=0).claim, trends, reading(left_mib * MIB), 1050) is is_awaited


def test_copies_that_a_child_keeps_are_not_waited_for():
    copied = VICTIM._replace(moves=(Move(Cause.COPIED, -700 * MIB),))
    claim = returning.claim_of(copied, (0, GIB), Trends())
    assert not returning.is_back(claim, reading(GIB + 49 * MIB))
    assert returning.is_back(claim, reading(GIB + 50 * MIB))


def test_a_reading_of_sysinfo_alone_ends_the_wait_and_is_not_booked():
    claim = dead().claim
    quick = lower_bound(16 * GIB, 12 * GIB, 12 * GIB)
    assert not returning.is_awaited(claim, Trends(), quick, 1100)
    assert returning.shortfall_of(claim, Trends(), quick, 9000) is None


def test_a_lost_killer_ends_the_wait():
    assert states.on_lost(dead(), 1100).claim is None


def test_a_kill_that_is_in_flight_again_is_waited_for_from_its_own_end():
    state = states.on_resumed(dead(), states.Flight(101, 90125, 15))
    assert state.claim.until_ms is None
    assert states.on_exited(state, Exited(2, Fate.GONE, 90), 5000).claim.until_ms == 6000


# The books


def booked(back: int, *, lost_per_second: int = 0, now_per_second: int = 0) -> Shortfall | None:
    claim = Claim(VICTIM.process, 800 * MIB, 0, GIB, lost_per_second, chosen_ms=0, until_ms=2000)
    trends = Trends(filling=Filling((2000, GIB), (), Rate(now_per_second, 600)))
    return returning.shortfall_of(claim, trends, reading(GIB + back), 2000)


def test_a_death_that_brought_less_than_half_is_remembered_for_ten_minutes():
    assert booked(100 * MIB) == Shortfall(1000, 7, b"leak", 800 * MIB, 100 * MIB, 0, 602_000)
    assert booked(-50 * MIB).came_back_bytes == 0
    assert booked(400 * MIB) is None


def test_what_others_took_meanwhile_came_back_too():
    assert booked(100 * MIB, lost_per_second=100 * MIB).came_back_bytes == 350 * MIB
    assert booked(100 * MIB, now_per_second=100 * MIB).came_back_bytes == 350 * MIB
    assert booked(100 * MIB, lost_per_second=100 * MIB, now_per_second=110 * MIB).came_back_bytes == 375 * MIB
    assert booked(100 * MIB, lost_per_second=120 * MIB) is None, "300 MiB, if the rate is a quarter more than it seemed"


def test_it_is_said_once_and_those_of_its_kind_count_by_it():
    state, said = dead(), []
    for now_ms in range(1100, 3000, 100):
        state, actions = states.on_reading(state, SHORT, now_ms, CONDITIONS)
        said += [action for action in actions if isinstance(action, LessCameBack)]
    assert said == [LessCameBack(VICTIM.process, 800 * MIB, 0)]
    assert [one.comm for one in state.books] == [b"leak"]


def test_no_more_than_a_few_are_remembered_and_none_for_longer_than_ten_minutes():
    old = tuple(Shortfall(1000, number, b"old", 1, 0, 0, 2001 + number) for number in range(40))
    state = dead()._replace(books=old)
    state, _ = states.on_reading(state, SHORT, 2010, CONDITIONS)
    assert len(state.books) == 16
    assert all(one.until_ms > 2010 for one in state.books)


BOOK = Shortfall(1000, 7, b"leak", 800 * MIB, 100 * MIB, 2000, 5000)


def by_the_book(one, now_ms: int, age_ms: int, machine_bytes: int = 0):
    (counted,) = corrected([one], (BOOK,), machine_bytes, now_ms, lambda _: age_ms)
    return counted


@pytest.mark.parametrize(
    ("changed", "counts"),
    [
        ({}, 100),
        ({"held_bytes": 1600 * MIB}, 100),
        ({"held_bytes": 400 * MIB}, 100),
        ({"held_bytes": 1601 * MIB}, 1601),
        ({"held_bytes": 399 * MIB}, 399),
        ({"comm": b"other"}, 800),
        ({"parent": 8}, 800),
        ({"uid": 1001}, 800),
        ({"gained_bytes": 300 * MIB}, 300),
        ({"gained_bytes": 800 * MIB}, 100),
    ],
)
def test_the_same_kind_is_the_same_user_parent_and_name_and_about_the_same_size(changed, counts):
    """What it was seen to gain is its own; of a newcomer all that it holds counts as gained, and is not."""
    one = process(300, **{"held_bytes": 800 * MIB, "parent": 7, "gained_bytes": 50 * MIB, **changed})
    counted = by_the_book(one, 4999, 3000)
    assert (counted.held_bytes, counted.gained_bytes) == (counts * MIB, min(one.gained_bytes, counts * MIB))
    assert by_the_book(one, 5000, 3001) == one


def test_a_kind_has_no_more_in_common_than_processes_hold_beyond_what_the_machine_has():
    """One death that brought nothing hides no dozen of others that hold memory of their own."""
    those = [process(300 + number, held_bytes=800 * MIB, parent=7) for number in range(12)]
    hidden = {0: 12 * 700, 12 * 800: 12 * 800 // 16, 6 * 800: 6 * 800 + 6 * 800 // 16}
    for machine_mib, hidden_mib in hidden.items():
        counted = corrected(those, (BOOK,), machine_mib * MIB, 4500, lambda _: 2500)
        assert sum(one.held_bytes for one in counted) == (12 * 800 - hidden_mib) * MIB


def test_what_was_started_since_is_of_no_kind_that_has_disappointed():
    """A service that comes back has taken what came back of it: it must not live on as one that holds nothing."""
    one = process(300, held_bytes=800 * MIB, parent=7)
    assert by_the_book(one, 4500, 2499) == one
    assert by_the_book(one, 4500, 2500) != one
