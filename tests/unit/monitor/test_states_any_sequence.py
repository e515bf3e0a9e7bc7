"""Whatever comes in whatever order: no kill before two readings, none beside another, and never an exception."""

from hypothesis import given, settings
from hypothesis import strategies as st

from bustd_monitor.deciding import states
from bustd_monitor.deciding.states import Ask, Asked, Escalate, Phase, Rank, State
from bustd_protocol.messages import Exited, Fate, Reason, Signal
from bustd_protocol.reactions import REACTIONS, Reaction
from tests.unit.monitor.making import DEFAULTS, GIB, candidate, killer_hello, psi, reading, verdict

CONDITIONS = DEFAULTS.conditions
READINGS = st.builds(
    lambda available, free_swap, some, full_ms, has_psi: reading(
        available * GIB, swap=(4 * GIB, free_swap * GIB), pressure=psi(some, full_ms=full_ms) if has_psi else None
    ),
    st.sampled_from([0.1, 0.4, 0.9, 1, 1.5, 2.5, 6, 12]),
    st.sampled_from([0, 0, 0, 0.1, 3]),
    st.sampled_from([0, 20, 30, 90]),
    st.integers(0, 5000),
    st.booleans(),
)
CANDIDATES = st.lists(st.integers(100, 130), unique=True, max_size=20).map(
    lambda pids: tuple(candidate(pid) for pid in pids)
)
EVENTS = st.one_of(
    st.tuples(st.just("reading"), READINGS, READINGS, CANDIDATES),
    st.tuples(st.just("reading"), READINGS, READINGS, CANDIDATES),
    st.tuples(st.just("verdict"), st.sampled_from(Reason), st.integers(0, 3000)),
    st.tuples(st.just("verdict"), st.just(Reason.NONE), st.just(0)),
    st.tuples(st.just("exited"), st.sampled_from(Fate)),
    st.tuples(st.just("lost"), st.sampled_from([0, 200, 1000])),
    st.tuples(st.just("hello"), st.sampled_from([0, 5]), st.sampled_from(Signal)),
)
STEPS = st.lists(st.tuples(st.sampled_from([0, 1, 20, 100, 200, 1000, 1100, 10_000]), EVENTS), max_size=80)


class World:
    """The loop and the killer around the state machine, which hold it to what it promised."""

    def __init__(self) -> None:
        self.state = State()
        self.now_ms = 0
        self.readings = 0
        self.is_connected = True
        self.pending: Asked | None = None
        self.flight: tuple[int, int] | None = None
        self.flight_signal = 0
        self.not_before_ms = 0
        self.forbidden: set[tuple[int, int]] = set()

    def reading(self, first, second, candidates) -> None:
        self.readings += 1
        self.state, actions = states.on_reading(self.state, first, self.now_ms, CONDITIONS)
        for action in actions:
            if isinstance(action, Rank):
                self._may_begin()
                wanted = tuple(
                    one for one in candidates if (one.process.pid, one.process.start_ticks) not in self.state.refused
                )
                self.state, then = states.on_ranking(self.state, wanted, second, self.now_ms, CONDITIONS)
                self._perform(then)
            else:
                self._perform((action,))
        if self.state.phase is Phase.CALM:
            self.forbidden.clear()

    def _may_begin(self) -> None:
        assert self.readings >= 2, "a kill before the second reading"
        assert self.flight is None, "a kill beside another"
        assert self.pending is None, "a question before the answer to the last one"
        assert self.now_ms >= self.not_before_ms, "a question before its time"

    def _perform(self, actions) -> None:
        for action in actions:
            if isinstance(action, Ask):
                self._may_begin()
                process = action.candidate.process
                assert (process.pid, process.start_ticks) not in self.forbidden, "one that was refused or is stuck"
                assert action.candidate not in action.runners_up
                if self.is_connected:
                    self.pending = Asked(action.candidate, action.finding.signal)
                else:
                    self.state = states.on_lost(self.state, self.now_ms + 200)
            elif isinstance(action, Escalate):
                assert self.flight == (action.flight.pid, action.flight.start_ticks), "an escalation of another"
                assert self.flight_signal == Signal.TERM, "a second escalation"
                assert action.finding.signal is Signal.KILL
                self.flight_signal = Signal.KILL

    def verdict(self, reason, retry_after_ms) -> None:
        asked, self.pending = self.pending, None
        if asked is None:
            return
        key = (asked.candidate.process.pid, asked.candidate.process.start_ticks)
        if reason is Reason.NONE:
            self.flight, self.flight_signal = key, asked.signal
        if REACTIONS[reason] is Reaction.NEXT_CANDIDATE:
            self.forbidden.add(key)
        if reason is Reason.RATE:
            self.not_before_ms = self.now_ms + retry_after_ms
        answer = verdict(reason, retry_after_ms=retry_after_ms)
        self.state, actions = states.on_verdict(self.state, asked, answer, self.now_ms)
        self._perform(actions)

    def exited(self, fate) -> None:
        if self.flight is not None:
            if fate is Fate.STUCK:
                self.forbidden.add(self.flight)
            self.flight = None
            self.state = states.on_exited(self.state, Exited(1, fate, 1), self.now_ms)

    def lost(self, hold_ms) -> None:
        self.is_connected, self.pending, self.flight = False, None, None
        self.not_before_ms = self.now_ms + hold_ms
        self.state = states.on_lost(self.state, self.not_before_ms)

    def hello(self, flight_id, signal) -> None:
        if self.is_connected:
            return
        self.is_connected = True
        if flight_id:
            self.flight, self.flight_signal = (101, 90125), signal
        hello = killer_hello(flight=(flight_id, 101, 90125, signal) if flight_id else (0, 0, 0, 0))
        self.state = states.on_hello(self.state, hello)


@given(STEPS)
@settings(deadline=None, max_examples=200)
def test_with_an_honest_killer_nobody_is_asked_for_who_must_not_be(steps):
    world = World()
    for elapsed_ms, (what, *details) in steps:
        world.now_ms += elapsed_ms
        getattr(world, what)(*details)
        assert (world.state.phase is Phase.SETTLE) == (world.flight is not None)
        assert (world.state.phase is Phase.ACT) == (world.pending is not None)


@given(STEPS)
@settings(deadline=None, max_examples=200)
def test_whatever_comes_in_whatever_order_there_is_a_next_state_and_no_kill_before_two_readings(steps):
    """Not even a killer that speaks out of turn, which the session would have hung up on, ends the monitor."""
    state, readings, now_ms = State(), 0, 0
    asked = Asked(candidate(), Signal.TERM)
    for elapsed_ms, (what, *details) in steps:
        now_ms += elapsed_ms
        actions: tuple = ()
        if what == "reading":
            first, second, candidates = details
            readings += 1
            state, actions = states.on_reading(state, first, now_ms, CONDITIONS)
            if any(isinstance(action, Rank) for action in actions):
                state, actions = states.on_ranking(state, candidates, second, now_ms, CONDITIONS)
                assert readings >= 2
        elif what == "verdict":
            state, actions = states.on_verdict(state, asked, verdict(details[0], retry_after_ms=details[1]), now_ms)
        elif what == "exited":
            state = states.on_exited(state, Exited(1, details[0], 1), now_ms)
        elif what == "lost":
            state = states.on_lost(state, now_ms + details[0])
        else:
            flight = (details[0], 101, 90125, details[1]) if details[0] else (0, 0, 0, 0)
            state = states.on_hello(state, killer_hello(flight=flight))
        for action in actions:
            if isinstance(action, Ask):
                asked = Asked(action.candidate, action.finding.signal)
        assert state.phase in Phase
