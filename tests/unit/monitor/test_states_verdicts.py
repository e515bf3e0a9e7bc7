"""What the monitor does on each reason: what SPEC.md says for it, and nothing else."""

import pytest

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, Asked, CannotKill, Flight, Rank
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.family import Family
from bustd_monitor.sensing.kin import Kinship
from bustd_protocol.messages import Reason, Scope, Signal
from bustd_protocol.reactions import REACTIONS, Reaction
from tests.unit.monitor.making import DEFAULTS, GIB, candidate, reading, verdict

CONDITIONS = DEFAULTS.conditions
FIRING = reading(GIB)
NOW = 10_000
ONE, TWO, THREE = (candidate(pid) for pid in (101, 102, 103))


def asked_for(*candidates) -> State:
    state, _ = states.on_reading(State(readings=2), FIRING, NOW - 2, CONDITIONS)
    return states.on_ranking(state, candidates, FIRING, NOW - 1, CONDITIONS)[0]


def answered(reason: Reason, *candidates, signal: Signal = Signal.TERM, **fields):
    """The state and the actions after this answer to the question for the first of the candidates."""
    state = asked_for(*candidates)
    return states.on_verdict(state, Asked(candidates[0], signal), verdict(reason, **fields), NOW)


def of(reaction: Reaction) -> list[Reason]:
    return [reason for reason in Reason if REACTIONS[reason] is reaction]


def asks_again_at(state: State) -> int:
    """The first moment at which a reading that fires leads to a ranking."""
    assert states.on_reading(state, FIRING, state.hold_until_ms - 1, CONDITIONS)[1] == ()
    _, (action,) = states.on_reading(state, FIRING, state.hold_until_ms, CONDITIONS)
    assert isinstance(action, Rank)
    return state.hold_until_ms - NOW


@pytest.mark.parametrize("signal", list(Signal))
def test_a_kill_that_has_begun_is_waited_for(signal):
    state, actions = answered(Reason.NONE, ONE, TWO, signal=signal)
    assert (state.stage, actions) == (Stage.SETTLE, ())
    assert state.flight == Flight(101, ONE.process.start_ticks, signal)
    assert state.queue == ()


@pytest.mark.parametrize("reason", of(Reaction.NEXT_CANDIDATE))
def test_one_that_may_not_die_is_remembered_and_the_next_is_asked_for_at_once(reason):
    state, (action,) = answered(reason, ONE, TWO, THREE)
    assert isinstance(action, Ask)
    assert (action.candidate, action.runners_up) == (TWO, (THREE,))
    assert action.finding.name == "floor"
    assert (state.stage, state.refused) == (Stage.ACT, {(101, ONE.process.start_ticks)})
    state, (action,) = states.on_verdict(state, Asked(TWO, Signal.TERM), verdict(reason), NOW)
    assert action.candidate is THREE
    assert {pid for pid, _ in state.refused} == {101, 102}


@pytest.mark.parametrize("reason", of(Reaction.NEXT_CANDIDATE))
def test_when_the_last_of_them_may_not_die_it_ranks_anew_without_them_but_not_at_once(reason):
    state, actions = answered(reason, ONE)
    assert (state.stage, actions) == (Stage.WATCH, ())
    assert state.refused == {(101, ONE.process.start_ticks)}
    assert 0 < asks_again_at(state) <= 1000


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.CGROUP])
@pytest.mark.parametrize("reason", of(Reaction.NEXT_CANDIDATE) + of(Reaction.ALARM))
def test_when_its_company_may_not_die_the_process_alone_is_asked_for_and_only_then_another(reason, scope):
    whole = ONE._replace(scope=scope, held_bytes=3 * GIB)
    state, (action,) = answered(reason, whole, TWO, THREE)
    assert (action.candidate, action.runners_up) == (ONE, (TWO, THREE))
    assert (state.stage, state.refused, state.queue) == (Stage.ACT, frozenset(), (TWO, THREE))
    after, actions = states.on_verdict(state, Asked(action.candidate, Signal.TERM), verdict(reason), NOW)
    if REACTIONS[reason] is Reaction.NEXT_CANDIDATE:
        assert [one.candidate for one in actions] == [TWO]
    else:
        assert (after.stage, [type(one) for one in actions]) == (Stage.WATCH, [CannotKill])


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.CGROUP])
def test_one_that_was_spared_gets_sigkill_also_alone_and_also_as_the_next(scope):
    spared = ((101, ONE.process.start_ticks, NOW + 1), (102, TWO.process.start_ticks, NOW + 1))
    whole = ONE._replace(scope=scope, held_bytes=3 * GIB)
    state = asked_for(whole, TWO, THREE)._replace(spared=spared)
    state, (alone,) = states.on_verdict(state, Asked(whole, Signal.KILL), verdict(Reason.PROTECTED), NOW)
    assert (alone.candidate, alone.finding.signal) == (ONE, Signal.KILL)
    state, (second,) = states.on_verdict(state, Asked(ONE, Signal.KILL), verdict(Reason.PROTECTED), NOW)
    assert (second.candidate, second.finding.signal) == (TWO, Signal.KILL)
    _, (third,) = states.on_verdict(state, Asked(TWO, Signal.KILL), verdict(Reason.PROTECTED), NOW)
    assert (third.candidate, third.finding.signal) == (THREE, Signal.TERM)


@pytest.mark.parametrize("reason", of(Reaction.RANK_AGAIN))
def test_when_the_ranking_is_out_of_date_nobody_else_is_asked_for_before_a_fresh_one(reason):
    state, actions = answered(reason, ONE, TWO)
    assert (state.stage, state.queue, actions) == (Stage.WATCH, (), ())
    assert state.refused == frozenset(), "it was the moment that was wrong, not the choice"
    assert asks_again_at(state) == 100


@pytest.mark.parametrize("retry_after_ms", [1, 400, 60_000])
def test_the_rate_is_waited_for_as_long_as_the_killer_says(retry_after_ms):
    state, actions = answered(Reason.RATE, ONE, TWO, retry_after_ms=retry_after_ms)
    assert (state.stage, state.queue, actions) == (Stage.WATCH, (), ())
    assert asks_again_at(state) == retry_after_ms


@pytest.mark.parametrize("reason", of(Reaction.STAND_DOWN))
def test_when_memory_is_not_short_by_the_killers_reading_nobody_dies(reason):
    state, actions = answered(reason, ONE, TWO)
    assert (state.stage, state.queue, state.refused, actions) == (Stage.WATCH, (), frozenset(), ())
    assert asks_again_at(state) == 1000


@pytest.mark.parametrize("reason", of(Reaction.ALARM))
def test_a_killer_that_can_not_kill_is_loudly_told_of_and_nobody_else_is_asked_for(reason):
    state, (said,) = answered(reason, ONE, TWO)
    assert said == CannotKill(reason)
    assert (state.stage, state.queue, state.refused) == (Stage.WATCH, (), frozenset())
    assert asks_again_at(state) == 1000


def test_a_kill_that_is_in_flight_already_is_waited_for_and_nobody_else_asked_for():
    state, actions = answered(Reason.BUSY, ONE, TWO)
    assert (state.stage, state.queue, actions) == (Stage.WATCH, (), ())
    assert asks_again_at(state) == 200


def test_every_reason_is_one_of_these():
    tested = {Reaction.NEXT_CANDIDATE, Reaction.RANK_AGAIN, Reaction.AWAIT_RATE, Reaction.STAND_DOWN, Reaction.ALARM}
    assert {reason for reason in Reason if REACTIONS[reason] not in tested} == {Reason.NONE, Reason.BUSY}
    assert of(Reaction.AWAIT_RATE) == [Reason.RATE]


NOT_WAITED_FOR = [(stage, reason) for stage in (Stage.CALM, Stage.WATCH, Stage.SETTLE) for reason in Reason]
NOT_WAITED_FOR.remove((Stage.SETTLE, Reason.NOT_SHORT))  # such an escalation is made again: test_states.py


@pytest.mark.parametrize(("stage", "reason"), NOT_WAITED_FOR)
def test_an_answer_that_is_not_waited_for_such_as_an_escalations_changes_nothing(stage, reason):
    state = State(stage, flight=Flight(101, 1, 9))
    assert states.on_verdict(state, Asked(TWO, Signal.KILL), verdict(reason), NOW) == (state, ())


@pytest.mark.parametrize("reason", of(Reaction.NEXT_CANDIDATE))
def test_of_a_family_that_is_refused_the_first_is_asked_for_alone_and_is_in_no_further_family(reason):
    family = Family(Kinship(7, b"leak"), ((102, 6), (103, 7)), GIB)
    first = ONE._replace(scope=Scope.GROUP, held_bytes=4 * GIB, family=family)
    state, (action,) = answered(reason, first, TWO)
    assert action.candidate == ONE
    assert state.refused == {(101, ONE.process.start_ticks)}
