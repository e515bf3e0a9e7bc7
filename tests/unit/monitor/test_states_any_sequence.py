"""Whatever comes in whatever order: no kill before two readings, none beside another, and never an exception."""

from typing import NamedTuple

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bustd_monitor.deciding import states
from bustd_monitor.deciding.actions import Ask, Asked, Escalate, Rank
from bustd_monitor.deciding.stages import Stage
from bustd_monitor.deciding.states import State
from bustd_monitor.ranking.order import Candidate
from bustd_monitor.sensing.reading import Reading
from bustd_protocol.messages import Exited, Fate, Reason, Signal
from bustd_protocol.reactions import REACTIONS, Reaction
from tests.unit.monitor.making import DEFAULTS, GIB, candidate, killer_hello, psi, reading, verdict

CONDITIONS = DEFAULTS.conditions
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without shrinking: what fails is a story of forty steps, and to make it shorter takes minutes."""
READINGS = st.builds(
    lambda available, free_swap, some, full_ms, has_psi: reading(
        available * GIB, swap=(4 * GIB, free_swap * GIB), pressure=psi(some, full_ms=full_ms) if has_psi else None
    ),
    st.sampled_from([0.1, 0.4, 0.4, 0.9, 0.9, 1, 1, 1.5, 2.5, 6, 12]),
    st.sampled_from([0, 0, 0, 0, 0.1, 3]),
    st.sampled_from([0, 20, 30, 90]),
    st.integers(0, 5000),
    st.booleans(),
)
CANDIDATES = st.lists(st.integers(101, 103), unique=True, max_size=3).map(
    lambda pids: tuple(candidate(pid) for pid in pids)
)
REASONS = st.sampled_from([Reason.NONE, Reason.RATE, Reason.PROTECTED] * 3 + list(Reason))


class Step(NamedTuple):
    """What happens next. Of its details, only those count that go with what it is."""

    elapsed_ms: int
    what: str
    first: Reading
    second: Reading
    is_steady: bool
    candidates: tuple[Candidate, ...]
    reason: Reason
    wait_ms: int
    fate: Fate
    flight_id: int
    signal: Signal


def steps(*kinds: str) -> st.SearchStrategy[list[Step]]:
    """Mostly readings and answers: it takes many of them to get anywhere."""
    step = st.builds(
        Step,
        st.sampled_from([0, 1, 20, 100, 200, 500, 1000, 1000, 1100, 3000]),
        st.sampled_from(kinds),
        READINGS,
        READINGS,
        st.sampled_from([True, True, False]),
        CANDIDATES,
        REASONS,
        st.integers(0, 3000),
        st.sampled_from(list(Fate)),
        st.sampled_from([0, 5]),
        st.sampled_from(list(Signal)),
    )
    return st.lists(step, min_size=15, max_size=40)


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

    def reading(self, step: Step) -> None:
        self.readings += 1
        self.state, actions = states.on_reading(self.state, step.first, self.now_ms, CONDITIONS)
        for action in actions:
            if isinstance(action, Rank):
                self._may_begin()
                wanted = tuple(
                    one
                    for one in step.candidates
                    if (one.process.pid, one.process.start_ticks) not in self.state.refused
                )
                second = step.first if step.is_steady else step.second
                self.state, then = states.on_ranking(self.state, wanted, second, self.now_ms, CONDITIONS)
                self._perform(then)
            else:
                self._perform((action,))
        if self.state.stage is Stage.CALM:
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

    def answer(self, step: Step) -> None:
        """The killer's next word: on what was asked, on the kill in flight, or hello."""
        if self.pending is not None:
            self._verdict(self.pending, step)
        elif self.flight is not None:
            if step.fate is Fate.STUCK:
                self.forbidden.add(self.flight)
            self.flight = None
            self.state = states.on_exited(self.state, Exited(1, step.fate, 1), self.now_ms)
        elif not self.is_connected:
            self.is_connected = True
            if step.flight_id:
                self.flight, self.flight_signal = (101, 90125), step.signal
            self.state = states.on_hello(self.state, hello_of(step))

    def _verdict(self, asked: Asked, step: Step) -> None:
        self.pending = None
        key = (asked.candidate.process.pid, asked.candidate.process.start_ticks)
        if step.reason is Reason.NONE:
            self.flight, self.flight_signal = key, asked.signal
        if REACTIONS[step.reason] is Reaction.NEXT_CANDIDATE:
            self.forbidden.add(key)
        if step.reason is Reason.RATE:
            self.not_before_ms = max(self.not_before_ms, self.now_ms + step.wait_ms)
        answer = verdict(step.reason, retry_after_ms=step.wait_ms)
        self.state, actions = states.on_verdict(self.state, asked, answer, self.now_ms)
        self._perform(actions)

    def lost(self, step: Step) -> None:
        self.is_connected, self.pending, self.flight = False, None, None
        self.not_before_ms = max(self.not_before_ms, self.now_ms + step.wait_ms)
        self.state = states.on_lost(self.state, self.now_ms + step.wait_ms)


def hello_of(step: Step):
    flight = (step.flight_id, 101, 90125, step.signal) if step.flight_id else (0, 0, 0, 0)
    return killer_hello(flight=flight)


@given(steps("reading", "reading", "reading", "answer", "answer", "answer", "answer", "lost"))
@settings(deadline=None, max_examples=200, phases=PHASES)
def test_with_an_honest_killer_nobody_is_asked_for_who_must_not_be(taken):
    world = World()
    for step in taken:
        world.now_ms += step.elapsed_ms
        getattr(world, step.what)(step)
        assert (world.state.stage is Stage.SETTLE) == (world.flight is not None)
        assert (world.state.stage is Stage.ACT) == (world.pending is not None)


@given(steps("reading", "reading", "verdict", "exited", "lost", "hello"))
@settings(deadline=None, phases=PHASES)
def test_whatever_comes_in_whatever_order_there_is_a_next_state_and_no_kill_before_two_readings(taken):
    """Not even a killer that speaks out of turn, which the session would have hung up on, ends the monitor."""
    state, readings, now_ms = State(), 0, 0
    asked = Asked(candidate(), Signal.TERM)
    for step in taken:
        now_ms += step.elapsed_ms
        actions: tuple = ()
        if step.what == "reading":
            readings += 1
            state, actions = states.on_reading(state, step.first, now_ms, CONDITIONS)
            if any(isinstance(action, Rank) for action in actions):
                assert readings >= 2
                state, actions = states.on_ranking(state, step.candidates, step.second, now_ms, CONDITIONS)
        elif step.what == "verdict":
            answer = verdict(step.reason, retry_after_ms=step.wait_ms)
            state, actions = states.on_verdict(state, asked, answer, now_ms)
        elif step.what == "exited":
            state = states.on_exited(state, Exited(1, step.fate, 1), now_ms)
        elif step.what == "lost":
            state = states.on_lost(state, now_ms + step.wait_ms)
        else:
            state = states.on_hello(state, hello_of(step))
        for action in actions:
            if isinstance(action, Ask):
                asked = Asked(action.candidate, action.finding.signal)
        assert state.stage in Stage
