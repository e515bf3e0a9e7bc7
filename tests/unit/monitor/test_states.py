"""The state machine on readings: when it watches, when it acts, and that it looks twice before it asks."""

import pytest

from bustd_monitor.conditions import filled
from bustd_monitor.conditions.trends import Trends
from bustd_monitor.deciding import stages, states
from bustd_monitor.deciding.actions import (
    Ask,
    Asked,
    Escalate,
    Flight,
    KernelKilled,
    LessCameBack,
    NoVictim,
    Rank,
    Scarce,
    ShortageIsOver,
)
from bustd_monitor.deciding.stages import TRANSITIONS, Event, Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.sensing.reading import Reading, Refaults
from bustd_protocol.messages import Exited, Fate, Reason, Signal
from tests.unit.monitor.making import DEFAULTS, GIB, MIB, candidate, conditions, killer_hello, psi, reading, verdict
from tests.unit.monitor.trends import thrashing

CONDITIONS = DEFAULTS.conditions
QUIET = reading(12 * GIB)
SCARCE = reading(2 * GIB)  # stall and pressure would fire if programs stalled
FIRING = reading(GIB)
URGENT = reading(GIB // 2)
ONE, TWO, THREE = (candidate(pid) for pid in (101, 102, 103))


def after(*readings, state: State = State(), start_ms: int = 0, every_ms: int = 100):  # noqa: B008
    """The state and the actions after the last of these readings."""
    actions = ()
    for at, one in enumerate(readings):
        state, actions = states.on_reading(state, one, start_ms + at * every_ms, CONDITIONS)
    return state, actions


def acting(*candidates, a_reading=FIRING) -> tuple[State, tuple]:
    """The state after a ranking with these candidates, and what it asks for."""
    state, _ = after(QUIET, a_reading)
    return states.on_ranking(state, candidates, a_reading, 200, CONDITIONS)


def settling(signal: Signal = Signal.TERM) -> State:
    """The state while a kill is in flight."""
    state, _ = acting(ONE, a_reading=FIRING if signal is Signal.TERM else URGENT)
    return states.on_verdict(state, Asked(ONE, signal), verdict(), 300)[0]


# Readings


def test_on_a_machine_at_peace_it_stays_calm():
    state, actions = after(QUIET, QUIET, QUIET)
    assert (state.stage, actions) == (Stage.CALM, ())


def test_when_memory_is_scarce_it_watches_and_when_it_is_not_any_more_it_is_calm_again():
    state, actions = after(QUIET, SCARCE)
    assert (state.stage, actions) == (Stage.WATCH, ())
    assert after(SCARCE, state=state)[0].stage is Stage.WATCH
    assert after(QUIET, state=state)[0].stage is Stage.CALM


def test_when_a_condition_fires_it_ranks():
    state, (action,) = after(QUIET, FIRING)
    assert state.stage is Stage.ACT
    assert isinstance(action, Rank)
    assert (action.finding.name, state.finding) == ("floor", action.finding)


def test_of_several_that_fire_the_most_urgent_is_named():
    trends = Trends(thrashing(10))
    state, (action,) = after(QUIET, FIRING._replace(pressure=psi(99)), state=State(trends=trends), start_ms=2000)
    assert [found.name for found in state.found if found.fires] == ["floor", "pressure"]
    assert action.finding.name == "floor"


def test_who_has_just_come_up_kills_nobody_before_the_second_reading():
    state, actions = after(FIRING)
    assert (state.stage, actions) == (Stage.WATCH, ())
    state, (action,) = after(FIRING, state=state, start_ms=100)
    assert isinstance(action, Rank)


def test_while_it_holds_back_it_watches_whatever_fires():
    held = State(readings=2, hold_until_ms=1000)
    assert after(FIRING, state=held, start_ms=999) == (after(FIRING, state=held, start_ms=999)[0], ())
    assert after(FIRING, state=held, start_ms=999)[0].stage is Stage.WATCH
    assert after(FIRING, state=held, start_ms=1000)[0].stage is Stage.ACT


def test_while_it_waits_for_an_answer_it_reads_on_and_asks_nothing():
    state, _ = acting(ONE)
    later, actions = after(FIRING, URGENT, QUIET, state=state, start_ms=300)
    assert (later.stage, actions) == (Stage.ACT, ())
    assert later.found != state.found


def test_what_every_condition_says_is_kept_for_the_pace():
    state, _ = after(QUIET)
    assert [found.name for found in state.found] == ["floor", "forecast", "stall", "pressure", "emergency"]


def test_stalls_are_counted_from_reading_to_reading():
    stalling = [SCARCE._replace(pressure=psi(full_ms=400 * second)) for second in range(11)]
    state, (action,) = after(*stalling, every_ms=1000)
    assert ([second.full_ms for second in state.trends.stalls.seconds], action.finding.name) == ([400] * 10, "stall")


def test_who_was_refused_is_forgotten_when_it_is_quiet():
    watching = State(Stage.WATCH, readings=2, refused=frozenset({(101, 1)}))
    assert after(SCARCE, state=watching)[0].refused == frozenset({(101, 1)})
    assert after(QUIET, state=watching)[0].refused == frozenset()


# The ranking, and the second look


def test_it_asks_for_the_first_and_names_who_would_be_next():
    state, (ask,) = acting(*(candidate(pid) for pid in range(101, 121)))
    assert isinstance(ask, Ask)
    assert ask.candidate.process.pid == 101
    assert [other.process.pid for other in ask.runners_up] == list(range(102, 112))
    assert (ask.finding.name, state.stage) == ("floor", Stage.ACT)


def test_if_the_second_look_says_that_it_is_over_nobody_is_asked_for():
    state, _ = after(QUIET, FIRING)
    for second in (QUIET, SCARCE):
        over, (said,) = states.on_ranking(state, (ONE,), second, 250, CONDITIONS)
        assert isinstance(said, ShortageIsOver)
        assert (over.stage, over.finding, over.queue) == (Stage.WATCH, None, ())
        assert over.hold_until_ms == 250


def test_the_second_look_decides_on_the_condition_and_on_the_signal():
    state, _ = after(QUIET, FIRING)
    _, (ask,) = states.on_ranking(state, (ONE,), URGENT, 250, CONDITIONS)
    assert ask.finding.signal is Signal.KILL
    pressing, state = SCARCE._replace(pressure=psi(50)), state._replace(trends=Trends(thrashing(10)))
    _, (ask,) = states.on_ranking(state, (ONE,), pressing, 250, CONDITIONS)
    assert ask.finding.name == "pressure"


def test_when_there_is_nobody_to_kill_it_says_so_and_tries_again_a_second_later():
    state, (said,) = acting()
    assert said == NoVictim(FIRING, largest=None, unheld=filled.unheld((), FIRING))
    assert (state.stage, state.hold_until_ms) == (Stage.WATCH, 1200)


def test_no_more_are_asked_for_in_a_row_than_the_killer_hears_in_a_second():
    state, _ = acting(*(candidate(pid) for pid in range(100, 200)))
    assert 1 + len(state.queue) <= 16


# The kill in flight


def test_while_a_kill_is_in_flight_nobody_else_is_asked_for():
    state, actions = after(FIRING, FIRING, FIRING, state=settling(), start_ms=400)
    assert (state.stage, actions) == (Stage.SETTLE, ())


def test_one_that_got_sigterm_is_escalated_once_when_it_becomes_urgent():
    state, (action,) = after(FIRING, URGENT, state=settling(), start_ms=400)
    assert isinstance(action, Escalate)
    assert (action.flight.pid, action.flight.start_ticks) == (101, ONE.process.start_ticks)
    assert (action.finding.name, action.finding.signal) == ("floor", Signal.KILL)
    assert after(URGENT, URGENT, state=state, start_ms=600)[1] == ()


def test_one_that_got_sigkill_is_not_escalated():
    assert after(URGENT, state=settling(Signal.KILL), start_ms=400)[1] == ()


def test_after_the_exit_there_is_a_fresh_reading_before_anything_else():
    state = states.on_exited(settling(), Exited(1, Fate.GONE, 40), 400)
    assert (state.stage, state.flight, state.refused) == (Stage.WATCH, None, frozenset())
    assert after(QUIET, state=state, start_ms=500)[0].stage is Stage.CALM
    assert isinstance(after(FIRING._replace(swap_free=GIB), state=state, start_ms=500)[1][0], Rank), "half is back"


def test_a_victim_that_is_stuck_is_not_asked_for_again_as_long_as_it_lives():
    state = states.on_exited(settling(), Exited(1, Fate.STUCK, 7000), 400)
    victim = (101, ONE.process.start_ticks)
    assert (state.refused, state.stuck) == ({victim}, (victim,))
    assert after(FIRING, state=state, start_ms=500)[0].refused == {victim}
    calm = after(QUIET, QUIET, state=state._replace(refused=state.refused | {(102, 1)}), start_ms=500)[0]
    assert (calm.stage, calm.refused) == (Stage.CALM, {victim}), "the others may have changed since"


def test_of_those_that_are_stuck_only_so_many_are_remembered():
    state = settling()
    for pid in range(100):
        killing = state._replace(stage=Stage.SETTLE, flight=Flight(pid, 1, 9))
        state = states.on_exited(killing, Exited(1, Fate.STUCK, 1), 400)
    assert (len(state.stuck), state.stuck[-1]) == (64, (99, 1))


@pytest.mark.parametrize("fate", [Fate.GONE, Fate.RELEASED])
def test_a_victim_that_has_given_its_memory_back_ends_the_kill(fate):
    state = states.on_exited(settling(), Exited(1, fate, 40), 400)
    assert (state.stage, state.flight, state.stuck, state.spared) == (Stage.WATCH, None, (), ())


def spared_at(now_ms: int, state: State) -> State:
    """The state after ONE has lived through a SIGTERM, because memory was no longer short at its deadline."""
    return states.on_exited(state, Exited(1, Fate.SPARED, 2000), now_ms)


def asked_for_again(state: State, now_ms: int, *candidates) -> Ask:
    state, (rank,) = states.on_reading(state, FIRING, now_ms, CONDITIONS)
    assert isinstance(rank, Rank)
    _, (ask,) = states.on_ranking(state, candidates, FIRING, now_ms, CONDITIONS)
    assert isinstance(ask, Ask)
    return ask


@pytest.mark.parametrize(
    ("later_ms", "signal"), [(1, Signal.KILL), (599_999, Signal.KILL), (600_000, Signal.TERM), (10**7, Signal.TERM)]
)
def test_one_that_was_spared_gets_sigkill_at_once_the_next_time_for_ten_minutes(later_ms, signal):
    state = spared_at(2300, settling())
    assert (state.stage, state.flight, state.refused) == (Stage.WATCH, None, frozenset())
    ask = asked_for_again(state, 2300 + later_ms, ONE, TWO)
    assert (ask.candidate, ask.finding.signal) == (ONE, signal)


def test_one_that_was_spared_is_remembered_while_it_is_quiet():
    state = after(QUIET, QUIET, QUIET, state=spared_at(2300, settling()), start_ms=3000)[0]
    assert state.stage is Stage.CALM
    assert asked_for_again(state, 5000, ONE).finding.signal is Signal.KILL


def test_another_process_than_the_spared_one_gets_sigterm_whatever_its_pid():
    state = spared_at(2300, settling())
    successor = candidate(101, start_ticks=ONE.process.start_ticks + 1)
    assert asked_for_again(state, 2400, successor).finding.signal is Signal.TERM
    assert asked_for_again(state, 2400, TWO, ONE).finding.signal is Signal.TERM


def test_of_those_that_were_spared_only_so_many_are_remembered():
    state = settling()
    for pid in range(100):
        state = spared_at(400, state._replace(stage=Stage.SETTLE, flight=Flight(pid, 1, 15)))
    assert (len(state.spared), state.spared[-1]) == (64, (99, 1, 600_400))


def test_a_kill_whose_end_crossed_a_request_is_waited_for_again():
    state = states.on_exited(settling(), Exited(1, Fate.GONE, 40), 400)
    state = states.on_resumed(state, Flight(101, ONE.process.start_ticks, Signal.TERM))
    assert state.stage is Stage.SETTLE
    assert states.on_exited(state, Exited(2, Fate.GONE, 40), 500).stage is Stage.WATCH


def test_an_escalation_that_the_killer_finds_needless_is_made_again_after_a_second():
    state, (action,) = after(URGENT, state=settling(), start_ms=400)
    assert isinstance(action, Escalate)
    state, actions = states.on_verdict(state, Asked(ONE, Signal.TERM), verdict(Reason.NOT_SHORT), 410)
    assert (state.stage, actions) == (Stage.SETTLE, ())
    assert after(URGENT, state=state, start_ms=1409)[1] == ()
    assert isinstance(after(URGENT, state=state, start_ms=1410)[1][0], Escalate)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NOT_SHORT])
def test_an_escalation_that_is_answered_otherwise_is_not_made_again(reason):
    state, _ = after(URGENT, state=settling(), start_ms=400)
    state, actions = states.on_verdict(state, Asked(ONE, Signal.TERM), verdict(reason), 410)
    assert (state.stage, state.flight.signal, actions) == (Stage.SETTLE, Signal.KILL, ())
    assert after(URGENT, URGENT, state=state, start_ms=5000)[1] == ()


def test_the_rate_of_filling_is_followed_from_reading_to_reading():
    filling = [reading(12 * GIB - step * GIB // 10) for step in range(8)]
    state, _ = after(*filling)
    assert state.trends.filling.short.per_second == pytest.approx(GIB, rel=0.01)


def test_a_victim_that_got_sigterm_gets_sigkill_when_memory_fills_too_fast_for_its_grace():
    state = settling()._replace(trends=Trends())
    falling = [reading(1.75 * GIB - step * 0.085 * GIB) for step in range(12)]  # 0.96 s are left, and 1.1 s were seen
    assert after(*falling[:11], state=state, start_ms=400)[1] == ()
    _, (action,) = after(*falling, state=state, start_ms=400)
    assert isinstance(action, Escalate)
    assert (action.finding.name, action.finding.signal) == ("floor", Signal.KILL)


def test_the_exit_of_a_kill_that_nobody_knows_of_changes_nothing():
    for state in (State(), State(Stage.WATCH), acting(ONE)[0]):
        assert states.on_exited(state, Exited(1, Fate.STUCK, 1), 400) == state


# The killer comes and goes


@pytest.mark.parametrize("stage", Stage)
def test_a_hello_without_a_kill_in_flight_changes_nothing(stage):
    assert states.on_hello(State(stage), killer_hello()) == State(stage)


@pytest.mark.parametrize("stage", Stage)
def test_a_hello_with_a_kill_in_flight_makes_it_settle(stage):
    state = states.on_hello(State(stage, readings=2), killer_hello(flight=(5, 101, 90125, 15)))
    assert (state.stage, state.flight) == (Stage.SETTLE, Flight(101, 90125, 15))
    _, (action,) = after(URGENT, state=state)
    assert isinstance(action, Escalate)


def test_a_killer_that_is_in_the_middle_of_a_sigkill_need_not_be_urged():
    state = states.on_hello(State(readings=2), killer_hello(flight=(5, 101, 90125, 9)))
    assert after(URGENT, state=state)[1] == ()


@pytest.mark.parametrize(
    ("before", "stage"),
    [
        (State(), Stage.CALM),
        (State(Stage.WATCH), Stage.WATCH),
        (acting(ONE, TWO)[0], Stage.WATCH),
        (settling(), Stage.WATCH),
    ],
)
def test_when_the_killer_is_lost_whatever_was_asked_for_is_void(before, stage):
    state = states.on_lost(before, 777)
    assert state.stage is stage
    assert (state.flight, state.queue, state.finding, state.hold_until_ms) == (None, (), None, 777)


# The table


class Recorded(dict):
    """A row of the table that notes which cues are looked up."""

    def __init__(self, stage: Stage, used: set) -> None:
        super().__init__(TRANSITIONS[stage])
        self.stage, self.used = stage, used

    def __getitem__(self, cue):
        self.used.add((self.stage, cue))
        return super().__getitem__(cue)


def test_every_step_that_is_made_is_in_the_table_and_every_entry_of_the_table_is_made(monkeypatch):
    used: set[tuple[Stage, Event]] = set()
    monkeypatch.setattr(stages, "TRANSITIONS", {stage: Recorded(stage, used) for stage in Stage})
    flight = Flight(101, 90125, Signal.TERM)
    for stage in Stage:
        state = State(stage, readings=2, flight=flight if stage is Stage.SETTLE else None)
        for a_reading in (QUIET, SCARCE, FIRING, URGENT):
            states.on_reading(state, a_reading, 0, CONDITIONS)
        for fate in Fate:
            states.on_exited(state, Exited(1, fate, 1), 0)
        for hello in (killer_hello(), killer_hello(flight=(5, 101, 90125, 15))):
            states.on_hello(state, hello)
        states.on_lost(state, 0)
        for reason in Reason:
            states.on_verdict(state, Asked(ONE, Signal.TERM), verdict(reason), 0)
    state, _ = acting(ONE, TWO)
    for reason in Reason:
        states.on_verdict(state, Asked(ONE, Signal.TERM), verdict(reason), 0)
    acting()
    acting(ONE)
    assert used == {(stage, cue) for stage, row in TRANSITIONS.items() for cue in row}


def test_every_phase_has_its_row_and_every_cue_its_use():
    assert set(TRANSITIONS) == set(Stage)
    assert {cue for row in TRANSITIONS.values() for cue in row} == set(Event)


def test_a_process_that_sigterm_can_not_end_gets_sigkill_at_once_and_the_next_does_not():
    deaf = candidate(101, ignores_sigterm=True)
    state, (ask,) = acting(deaf, TWO)
    assert ask.finding.signal is Signal.KILL
    _, (then,) = states.on_verdict(state, Asked(deaf, Signal.KILL), verdict(Reason.PROTECTED), 300)
    assert (then.candidate, then.finding.signal) == (TWO, Signal.TERM)


def test_conditions_that_are_switched_off_do_not_ask():
    off = conditions(floor={"enabled": False})
    state = State(readings=2)
    assert states.on_reading(state, URGENT, 0, off)[1] == ()


def pressed_for(now_ms: int) -> Reading:
    """2 GiB of 16 are available, since boot programs have stalled for six tenths of the time; a tenth is refaulted."""
    pressure = psi(60, full_ms=now_ms * 3 // 10)
    return reading(2 * GIB, pressure=pressure)._replace(refaults=Refaults(0, now_ms * MIB // 10, now_ms * MIB))


def test_after_a_kill_the_lag_of_avg10_takes_nobody_before_a_second_of_stalls_was_measured():
    killing = State(Stage.SETTLE, readings=2, flight=Flight(101, 90125, 15))
    state = states.on_exited(killing, Exited(1, Fate.GONE, 40), 500)
    for now_ms in (1000, 1500):
        state, actions = states.on_reading(state, pressed_for(now_ms), now_ms, CONDITIONS)
        assert (state.stage, actions) == (Stage.WATCH, ())
    state, (action,) = states.on_reading(state, pressed_for(2000), 2000, CONDITIONS)
    assert isinstance(action, Rank) and action.finding.name == "pressure"


def test_after_a_kill_a_floor_that_is_still_reached_takes_the_next_at_once():
    killing = State(Stage.SETTLE, readings=2, flight=Flight(101, 90125, 15))
    state = states.on_exited(killing, Exited(1, Fate.GONE, 40), 500)
    _, (action,) = states.on_reading(state, reading(GIB / 2, pressure=psi(60)), 1000, CONDITIONS)
    assert isinstance(action, Rank) and action.finding.name == "floor"


def stalled_for(seconds: int) -> Reading:
    """2 GiB of 16 are available, and each second since boot has had 400 ms of full stall in it, all of it a thrash."""
    back = seconds * 100 * MIB
    return SCARCE._replace(pressure=psi(full_ms=400 * seconds), refaults=Refaults(back, 0, back))


def test_after_a_death_the_stalls_before_it_take_nobody_else_and_two_seconds_of_new_ones_do():
    only_stall = conditions(only="stall")
    state, actions = State(), ()
    for second in range(3):
        state, actions = states.on_reading(state, stalled_for(second), 1000 * second, only_stall)
    assert [type(action) for action in actions] == [Rank]
    state, _ = states.on_ranking(state, (ONE,), stalled_for(2), 2000, only_stall)
    state, _ = states.on_verdict(state, Asked(ONE, Signal.TERM), verdict(), 2010)
    state = states.on_exited(state, Exited(1, Fate.GONE, 50), 2060)
    for now_ms, seconds in ((2300, 2), (3300, 3)):
        state, actions = states.on_reading(state, stalled_for(seconds), now_ms, only_stall)
        others = [action for action in actions if not isinstance(action, LessCameBack)]
        assert (state.stage, others) == (Stage.WATCH, []), f"a second victim {now_ms - 2060} ms after the first"
    _, (action,) = states.on_reading(state, stalled_for(4), 4300, only_stall)
    assert isinstance(action, Rank) and action.finding.name == "stall"


def test_a_hold_is_never_shortened():
    held = states.on_lost(State(Stage.WATCH, readings=2), 60_000)
    for state in (
        states.on_lost(held, 5000),
        states.on_verdict(held._replace(stage=Stage.ACT), Asked(ONE, Signal.TERM), verdict(Reason.GONE), 4900)[0],
        states.on_ranking(held._replace(stage=Stage.ACT), (), QUIET, 5000, CONDITIONS)[0],
    ):
        assert state.hold_until_ms == 60_000
        assert after(FIRING, state=state, start_ms=59_999)[1] == ()
        assert isinstance(after(FIRING, state=state, start_ms=60_000)[1][0], Rank)


# Warnings


NEARLY = reading(1.4 * GIB)


def test_a_warning_comes_after_everything_that_is_to_be_done():
    state, actions = after(QUIET, NEARLY._replace(oom_kills=1), state=State(trends=Trends(oom_kills=0)), every_ms=1000)
    assert [type(one) for one in actions] == [KernelKilled, Scarce]
    assert after(NEARLY, state=state, start_ms=5000)[1] == ()


@pytest.mark.parametrize("stage", [Stage.ACT, Stage.SETTLE])
def test_while_a_kill_is_decided_or_in_flight_no_warning_is_told(stage):
    assert after(NEARLY, state=State(stage, readings=2))[1] == ()


def test_where_a_condition_fires_and_no_process_may_be_asked_for_no_warning_is_told_either():
    state, actions = after(FIRING, state=State(Stage.WATCH, readings=2, hold_until_ms=60_000))
    assert (state.stage, actions) == (Stage.WATCH, ())
    assert after(NEARLY, state=state, start_ms=5000)[1] == (), "it counts as told"


def test_after_a_death_what_memory_came_to_before_counts_no_more():
    state = settling()
    assert state.outlook.low is not None
    assert states.on_exited(state, Exited(1, Fate.GONE, 1), 900).outlook.low is None
