"""Whose death would help, and what is said when nobody's would."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.conditions import filled
from bustd_monitor.conditions.filled import NOTHING
from bustd_monitor.conditions.filling import Filling, Rate
from bustd_monitor.conditions.finding import Seen
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, Basis, NothingGrows, NoVictim
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.deciding.still_deaths import Again
from bustd_monitor.deciding.worth_killing import (
    Choice,
    Relief,
    needed_bytes,
    worth_a_second,
    worth_asking_for,
    worth_it_ahead,
)
from bustd_monitor.ranking.what_may_die import Cause, Move
from bustd_monitor.sensing.preferences import OWN_AVOID
from tests.unit.monitor.making import GIB, MIB, candidate, conditions, psi, reading, with_copies
from tests.unit.monitor.trends import thrashing

CONDITIONS = conditions(forecast={"available_percent": 20})
"""`forecast` begins to fire with 3 GiB of 16, so that something can happen before memory is short."""
FLOOR = CONDITIONS.floor
FIRING = reading(GIB)
"""At the floor of a machine of 16 GiB: half a gibibyte must come back."""
FILLED_TMPFS = reading(GIB, total=1.5 * GIB)._replace(ram=16 * GIB, available=100 * MIB, shared=13 * GIB, hugetlb=GIB)


def holding(*mib: float) -> tuple:
    return tuple(candidate(101 + at, held_bytes=int(size * MIB)) for at, size in enumerate(mib))


def pids(candidates) -> list[int]:
    return [one.process.pid for one in candidates]


def ranked(state: State, candidates: tuple, a_reading=FIRING, now_ms: int = 200):
    state, _ = states.on_reading(state, a_reading, now_ms - 100, CONDITIONS)
    return states.on_ranking(state, candidates, a_reading, now_ms, CONDITIONS)


@pytest.mark.parametrize(("available", "needed"), [(GIB, GIB / 2), (GIB / 2, GIB), (0, 1.5 * GIB), (4 * GIB, GIB / 2)])
def test_what_is_needed_leads_to_the_floor_and_half_of_it_beyond(available, needed):
    assert needed_bytes(reading(available), FLOOR) == needed


def test_one_that_ends_the_shortage_is_taken_and_known_to_end_it():
    choice = worth_asking_for(holding(512, 900), FIRING, FLOOR)
    assert (pids(choice.candidates), choice.relief) == ([101, 102], Relief.WHOLE)


def test_what_a_forked_child_keeps_is_no_help():
    """It holds all that is needed, and its death would bring next to nothing: it is not moved up, nor worth asking."""
    copied, small = with_copies(101, 900, 899), candidate(202, held_bytes=400 * MIB)
    choice = worth_asking_for((small, copied), FIRING, FLOOR)
    assert (pids(choice.candidates), choice.relief) == ([202], Relief.PART)
    assert worth_asking_for((copied,), FIRING, FLOOR).relief is Relief.NONE
    assert worth_asking_for((with_copies(101, 900, 600),), FIRING, FLOOR).relief is Relief.PART
    choice = Choice((with_copies(101, 900, 851), with_copies(102, 900, 850)), Relief.PART, 100 * MIB)
    second = worth_a_second(choice, Again(1, 5000, NOTHING, 0, is_filled=False, must_last_ms=0), GIB, is_urgent=False)
    assert pids(second.candidates) == [102]


def test_one_that_helps_but_does_not_end_it_is_taken_and_known_not_to():
    choice = worth_asking_for(holding(511, 900), FIRING, FLOOR)
    assert pids(choice.candidates) == [101, 102]
    assert (choice.relief, choice.needed_bytes) == (Relief.PART, 512 * MIB)


def test_those_below_a_quarter_are_skipped_and_the_others_keep_their_order():
    assert pids(worth_asking_for(holding(127, 200, 90, 4000, 128), FIRING, FLOOR).candidates) == [102, 104, 105]


def test_how_much_is_noticeable_can_be_moved_and_with_nothing_anybody_is_taken():
    assert pids(worth_asking_for(holding(127, 255, 256), FIRING, FLOOR._replace(relief_percent=50)).candidates) == [103]
    assert pids(worth_asking_for(holding(1, 2), FIRING, FLOOR._replace(relief_percent=0)).candidates) == [101, 102]


def test_a_quarter_of_a_gibibyte_is_noticeable_however_high_the_floor_is():
    high = FLOOR._replace(available_percent=60, available_mib=2**20)
    assert pids(worth_asking_for(holding(255, 256), reading(9 * GIB), high).candidates) == [102]


def test_where_nobody_would_help_nobody_is_taken():
    for candidates in (holding(127, 100, 100, 100), ()):
        choice = worth_asking_for(candidates, FIRING, FLOOR)
        assert (choice.candidates, choice.relief) == ((), Relief.NONE)


def test_memory_in_many_hands_is_taken_from_the_first_of_them():
    choice = worth_asking_for(holding(127, 100, 100, 100, 100), FIRING, FLOOR)
    assert pids(choice.candidates) == [101, 102, 103, 104, 105]
    assert (choice.relief, choice.needed_bytes) == (Relief.MANY_HANDS, 512 * MIB)


def test_a_long_ranking_stands_for_many_more():
    """Thousands of processes with 20 MiB each: those in the list do not hold what is needed, those behind them do."""
    assert pids(worth_asking_for(holding(*[20] * 16), FIRING, FLOOR).candidates)[0] == 101
    assert worth_asking_for(holding(*[20] * 15), FIRING, FLOOR).candidates == ()


@given(st.lists(st.integers(1, 4 * 2**30), max_size=20), st.integers(0, 2**34), st.integers(2**20, 2**36).map(float))
def test_whoever_is_left_out_holds_less_than_whoever_is_taken_and_the_order_stays(sizes, available, total):
    candidates = tuple(candidate(101 + at, held_bytes=size) for at, size in enumerate(sizes))
    a_reading = reading(min(available, total), total=total)
    taken = worth_asking_for(candidates, a_reading, FLOOR).candidates
    assert [one for one in candidates if one in taken] == list(taken)
    left = [one.process.held_bytes for one in candidates if one not in taken]
    assert not taken or max(left, default=0) <= min(one.process.held_bytes for one in taken)
    if any(one.process.held_bytes * 4 >= needed_bytes(a_reading, FLOOR) for one in candidates):
        assert taken
    if sum(sizes) >= needed_bytes(a_reading, FLOOR) and sizes:
        assert taken, "all of them together would help"


# In the state machine


def test_where_nobody_would_help_nobody_is_asked_for_and_it_is_said_once_in_ten_seconds():
    state, (said,) = ranked(State(readings=2), holding(20), FILLED_TMPFS)
    assert said == NoVictim(FILLED_TMPFS, *holding(20), filled.unheld((), FILLED_TMPFS))
    assert (state.stage, state.hold_until_ms) == (Stage.WATCH, 1200)
    for now_ms in (1300, 5000, 10_199):
        state, actions = ranked(state, holding(20), FILLED_TMPFS, now_ms)
        assert (state.stage, actions) == (Stage.WATCH, ())
        assert state.hold_until_ms == now_ms + 1000
    _, (said,) = ranked(state, holding(20), FILLED_TMPFS, 11_300)
    assert isinstance(said, NoVictim)


def test_as_soon_as_somebody_would_help_he_is_asked_for_and_the_next_time_it_is_said_again():
    state, _ = ranked(State(readings=2), holding(20), FILLED_TMPFS)
    state, (ask,) = ranked(state, holding(20, 3000), FILLED_TMPFS, 1300)
    assert isinstance(ask, Ask)
    assert (ask.candidate.process.pid, ask.runners_up) == (102, ())
    assert state.no_victim_said_ms is None


def test_what_the_choice_rests_on_comes_with_the_question():
    state, (ask,) = ranked(State(readings=2), holding(2000))
    assert ask.basis == Basis(Seen(FIRING, state.trends), Relief.WHOLE, 512 * MIB)
    _, (ask,) = ranked(State(readings=2), holding(200))
    assert ask.basis.relief is Relief.PART


def test_a_kill_that_the_rate_of_filling_hastens_has_that_rate_in_its_basis():
    rate = filling_fast(GIB)
    state = State(Stage.ACT, readings=2, trends=Trends(filling=rate))
    _, (ask,) = states.on_ranking(state, holding(200), FIRING, 200, CONDITIONS)
    assert (ask.finding.name, ask.finding.signal.name) == ("floor", "KILL")
    assert ask.basis == Basis(Seen(FIRING, Trends(filling=rate)), Relief.PART, 512 * MIB)
    _, (ask,) = states.on_ranking(state, (growing(101, 4096, 400),), reading(3 * GIB), 200, CONDITIONS)
    assert (ask.finding.name, ask.basis.seen.trends.filling) == ("forecast", rate)


# Ahead of time


def growing(pid: int, mib: float, gained_mib: float):
    return candidate(pid, held_bytes=int(mib * MIB), gained_bytes=int(gained_mib * MIB))


def filling_fast(left: float, at_ms: int = 0) -> Filling:
    """By 2 GiB a second for 2 s, with so much left."""
    return Filling((at_ms, int(left)), ((at_ms, int(left)),), Rate(2 * GIB, 600), Rate(2 * GIB, 2000))


def test_before_memory_is_short_only_a_process_that_takes_it_may_die_however_much_others_hold():
    leak, still, large = growing(101, 160, 10), growing(102, 159, 9), growing(103, 20_000, 0)
    assert worth_it_ahead((leak, still, large), 200 * MIB) == (leak,)
    huge = growing(104, 1_000_000, 200)
    assert worth_it_ahead((huge, large), 200 * MIB) == (huge,), "a sixteenth of its size would take a minute"
    assert worth_it_ahead((huge, large), 200 * MIB + 1) == ()


def test_a_forecast_takes_nobody_for_a_tmpfs_that_fills_up_and_a_floor_may():
    rate = filling_fast(3 * GIB)
    soon = reading(3 * GIB)
    state = State(Stage.ACT, readings=2, trends=Trends(filling=rate))
    after, (said,) = states.on_ranking(state, (growing(101, 900, 0),), soon, 200, CONDITIONS)
    assert isinstance(said, NothingGrows)
    assert after.stage is Stage.WATCH
    _, (ask,) = states.on_ranking(state, (growing(101, 900, 100),), soon, 200, CONDITIONS)
    assert (ask.finding.name, ask.candidate.process.pid) == ("forecast", 101)
    _, (ask,) = states.on_ranking(state, (growing(101, 900, 0),), reading(GIB), 200, CONDITIONS)
    assert ask.finding.name == "floor"


def test_where_nobody_grows_the_forecast_alone_is_held_back_for_a_moment():
    """The floor may be crossed at the very next reading."""
    rate = filling_fast(3 * GIB)
    state = State(Stage.ACT, readings=2, trends=Trends(filling=rate), found=())
    after, _ = states.on_ranking(state, (growing(101, 900, 0),), reading(3 * GIB), 200, CONDITIONS)
    # A sample less than 100 ms after the last leaves the rate as it is.
    after = after._replace(trends=Trends(filling=filling_fast(3 * GIB, 350)))
    _, (floor,) = states.on_reading(after, reading(GIB), 201, CONDITIONS)
    assert floor.finding.name == "floor"
    held, actions = states.on_reading(after, reading(3 * GIB), 399, CONDITIONS)
    assert (actions, held.stage, states.firing_now(held)) == ((), Stage.WATCH, [])
    _, (forecast,) = states.on_reading(after, reading(3 * GIB), 400, CONDITIONS)
    assert forecast.finding.name == "forecast"


@pytest.mark.parametrize("candidates", [(growing(101, 40, 3),), ()])
def test_a_small_one_that_grows_a_little_or_nobody_at_all_holds_back_the_forecast_alone(candidates):
    rate = filling_fast(3 * GIB)
    after, (said,) = states.on_ranking(
        State(Stage.ACT, trends=Trends(filling=rate)), candidates, reading(3 * GIB), 200, CONDITIONS
    )
    assert said == (
        NothingGrows() if candidates else NoVictim(reading(3 * GIB), None, filled.unheld((), reading(3 * GIB)))
    )
    assert (after.ahead_hold_until_ms, after.hold_until_ms) == (400, 200)


def test_a_small_one_that_grows_does_not_keep_another_condition_from_the_large_one():
    rate = filling_fast(2 * GIB)
    pressed = reading(2 * GIB, pressure=psi(60))
    large_and_small = (growing(101, 900, 0), growing(102, 40, 3))
    _, (ask,) = states.on_ranking(
        State(Stage.ACT, trends=Trends(thrashing(10), rate)), large_and_small, pressed, 200, CONDITIONS
    )
    assert (ask.finding.name, ask.candidate.process.pid) == ("pressure", 101)


def test_where_nobody_helps_and_more_than_a_forecast_fires_everything_waits_for_a_second():
    rate = filling_fast(GIB)
    after, _ = states.on_ranking(
        State(Stage.ACT, trends=Trends(filling=rate)), (growing(101, 20, 3),), FILLED_TMPFS, 200, CONDITIONS
    )
    assert (after.ahead_hold_until_ms, after.hold_until_ms) == (0, 1200)


def test_a_forecast_that_is_held_back_still_hastens_a_kill_that_is_in_flight():
    rate = filling_fast(3 * GIB, 150)
    flight = states.Flight(101, 5, states.Signal.TERM)
    state = State(Stage.SETTLE, readings=2, trends=Trends(filling=rate), flight=flight, ahead_hold_until_ms=400)
    _, (escalated,) = states.on_reading(state, reading(3 * GIB), 200, CONDITIONS)
    assert escalated.flight.pid == 101


def test_where_another_condition_fires_too_that_one_takes_whom_a_forecast_would_not():
    rate = filling_fast(2 * GIB)
    state = State(Stage.ACT, readings=2, trends=Trends(thrashing(10), rate))
    pressed = reading(2 * GIB, pressure=psi(60))
    _, (ask,) = states.on_ranking(state, (growing(101, 900, 0),), pressed, 200, CONDITIONS)
    assert ask.finding.name == "pressure"


# What a user asks for among their own processes


def of_user(uid: int, *mib: int, first_pid: int, **changed) -> tuple:
    return tuple(candidate(first_pid + at, held_bytes=size * MIB, uid=uid, **changed) for at, size in enumerate(mib))


def asked_for(*groups: tuple) -> list[int]:
    return pids(worth_asking_for(sum(groups, ()), FIRING, FLOOR).candidates)


SPARED = of_user(1000, 3000, first_pid=1, preference=OWN_AVOID)
OTHERS = of_user(1001, 2000, first_pid=11)


def test_another_of_that_user_dies_first_and_it_comes_next():
    assert asked_for(SPARED, OTHERS, of_user(1000, 600, 512, first_pid=2)) == [2, 1, 11, 3]


def test_what_a_user_asks_for_never_brings_forward_a_process_of_another_user():
    assert asked_for(SPARED, OTHERS) == [1, 11]
    assert asked_for(OTHERS, SPARED, of_user(1000, 600, first_pid=2)) == [11, 1, 2]


def test_a_leak_does_not_hide_behind_its_users_small_programs():
    """Half a gibibyte must come back; of 300 MiB that die for it, as much as of the leak's 400, three are needed."""
    assert asked_for(SPARED, OTHERS, of_user(1000, *[511] * 9, first_pid=2))[:2] == [1, 11]
    leak = of_user(1000, 400, first_pid=1, preference=OWN_AVOID)
    assert asked_for(leak, of_user(1000, 399, first_pid=2)) == [1, 2]
    assert asked_for(leak, of_user(1000, 400, first_pid=2)) == [2, 1]


def test_for_one_whose_child_keeps_most_another_need_not_bring_much():
    spared = with_copies(1, 900, 600, preference=OWN_AVOID)
    assert asked_for((spared,), of_user(1000, 300, first_pid=2)) == [2, 1]


def test_the_one_that_dies_instead_is_neither_spared_nor_avoided_nor_many():
    (spared_too,) = of_user(1000, 900, first_pid=2, preference=OWN_AVOID)
    (compositor,) = of_user(1000, 900, first_pid=3)
    compositor = compositor._replace(moves=(Move(Cause.AVOIDED, -MIB),))
    (whole,) = of_user(1000, 900, first_pid=4)
    (plain,) = of_user(1000, 900, first_pid=5)
    crowd = (spared_too, compositor, whole._replace(known=2))
    assert asked_for(SPARED, crowd) == [1, 2, 3, 4]
    assert asked_for(SPARED, crowd, (plain,)) == [5, 1, 2, 3, 4]


# Who comes before whom, whatever the ranking says


def adjusted(pid: int, mib: int, adj_mib: int):
    one = candidate(pid, held_bytes=mib * MIB)
    move = Move(Cause.OOM_SCORE_ADJ, adj_mib * MIB)
    return one._replace(badness=one.badness + move.moved_bytes, moves=(move,) if adj_mib else ())


def by_badness(*candidates) -> list[int]:
    in_order = sorted(candidates, key=lambda one: one.badness, reverse=True)
    return pids(worth_asking_for(tuple(in_order), FIRING, FLOOR).candidates)


def test_oom_score_adj_puts_none_that_can_not_end_the_shortage_before_one_that_can():
    small = [adjusted(pid, 300, 3000) for pid in range(1, 5)]
    assert by_badness(*small, adjusted(9, 900, 0))[0] == 9
    assert by_badness(adjusted(1, 600, 3000), adjusted(9, 900, 0)) == [1, 9], "it ends the shortage too"


def test_one_whose_child_keeps_most_is_none_that_can():
    assert asked_for((adjusted(1, 200, 500), with_copies(2, 900, 600))) == [1, 2]


def test_a_large_one_whose_oom_score_adj_was_lowered_does_not_see_the_small_die_before_it():
    assert by_badness(adjusted(1, 300, 0), adjusted(2, 300, 0), adjusted(9, 2000, -8000))[0] == 9
    assert by_badness(adjusted(1, 600, 0), adjusted(9, 2000, -8000)) == [1, 9]


def running_away(pid: int, mib: int, *others: Move):
    one = candidate(pid, held_bytes=mib * MIB)
    return one._replace(badness=3 * mib * MIB, moves=(Move(Cause.RUNS_AWAY, 2 * mib * MIB), *others))


@pytest.mark.parametrize(
    "idle",
    [adjusted(1, 4000, 0), adjusted(1, 600, 9000), adjusted(1, 300, 9000)],
    ids=["it holds more", "by its oom_score_adj", "by its oom_score_adj, and it holds too little"],
)
def test_what_runs_away_and_ends_the_shortage_dies_before_what_does_not(idle):
    assert by_badness(idle, running_away(9, 900)) == [9, 1]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (adjusted(1, 4000, 0), running_away(9, 900, Move(Cause.AVOIDED, -MIB, "victims.avoid"))),
        (adjusted(1, 4000, 0), running_away(9, 900, Move(Cause.OOM_SCORE_ADJ, -MIB))),
        (running_away(1, 4000), running_away(9, 900)),
    ],
    ids=["it is avoided", "its oom_score_adj was lowered", "the other runs away too"],
)
def test_it_keeps_its_place_where(first, second):
    assert by_badness(first, second) == [1, 9]


@pytest.mark.parametrize(("mib", "order"), [(64, [9, 1]), (63, [1])])
def test_the_cause_need_not_bring_much_air_nor_be_a_noticeable_part_of_what_is_missing(mib, order):
    """Memory is just short, of a floor of a gibibyte: a 16th of that is enough, where nothing else grows."""
    assert by_badness(adjusted(1, 4000, 0), running_away(9, mib)) == order


@pytest.mark.parametrize(("adj", "order"), [(499, [9, 1]), (500, [1, 9])])
def test_an_oom_score_adj_of_500_is_no_default(adj, order):
    idle = adjusted(1, 600, 9000)
    idle = idle._replace(process=idle.process._replace(oom_score_adj=adj))
    assert by_badness(idle, running_away(9, 900)) == order


def test_what_a_rule_prefers_dies_before_what_runs_away():
    idle = candidate(1, held_bytes=600 * MIB)._replace(badness=9000 * MIB, moves=(Move(Cause.PREFERRED, 8400 * MIB),))
    assert by_badness(idle, running_away(9, 900)) == [1, 9]


def test_what_comes_first_for_another_reason_than_oom_score_adj_stays_first():
    preferred = adjusted(1, 300, 100)._replace(badness=3000 * MIB)
    assert by_badness(preferred, adjusted(9, 900, 0)) == [1, 9]
    assert by_badness(adjusted(1, 300, 3000), adjusted(8, 600, 4000), preferred._replace(badness=9999 * MIB))[0] == 1


ADJUSTED = st.lists(st.tuples(st.integers(128, 2000), st.integers(-4000, 4000)), min_size=1, max_size=12)


@given(ADJUSTED)
def test_whatever_the_adjs_are_none_is_lost_and_those_that_end_it_keep_their_order(sizes):
    found = [adjusted(place, *one) for place, one in enumerate(sizes)]
    found.sort(key=lambda one: one.badness, reverse=True)
    order = worth_asking_for(tuple(found), FIRING, FLOOR).candidates
    assert sorted(pids(order)) == sorted(pids(found))
    ends_it = [one for one in order if one.held_bytes >= 512 * MIB]
    assert ends_it == [one for one in found if one in ends_it]
    if ends_it:
        assert order[0] in ends_it, "by size alone each of them comes before any that holds less"
