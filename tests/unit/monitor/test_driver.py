"""The driver between a search and a performer that the test makes up: what it does with each action, and when."""

from types import SimpleNamespace

import pytest

from bustd_monitor.deciding import stages
from bustd_monitor.deciding.actions import Scarce
from bustd_monitor.deciding.events import Chosen
from bustd_monitor.driver import Driver
from bustd_monitor.ranking.order import Ranking
from bustd_monitor.ranking.terms import Rules
from bustd_monitor.ranking.what_may_die import Cause, Move
from bustd_monitor.reporting.events import told
from bustd_monitor.sensing.unread import ALL_READ
from bustd_protocol.messages import Exited, Fate, Reason
from bustd_shared.rules.protection import Protection
from tests.unit.monitor.making import (
    DEFAULTS,
    GIB,
    MIB,
    candidate,
    conditions,
    killer_hello,
    matchers,
    process,
    reading,
    verdict,
    victims,
)

PLENTY, SHORT, VERY_SHORT = reading(12 * GIB), reading(0.8 * GIB), reading(0.3 * GIB)


class Stage:
    """A driver, its search and its performer: everything that was wanted of them is in `done`, in its order."""

    def __init__(self, config=DEFAULTS) -> None:
        self.now_ms, self.done, self.terms = 1000, [], []
        self.candidates = (candidate(101), candidate(102))
        self.second, self.hold_instead_ms, self.hold_ms = SHORT, 0, 0
        self.known: tuple = ()
        self.bound: tuple | None = ()
        self.unread = ALL_READ
        watch = lambda *_: self.done.append("watch")  # noqa: E731
        search = SimpleNamespace(rank=self.rank, watch=watch, known=self.known_now, bound_to=self.bound_to)
        self.driver = Driver(config, Rules(config.victims, Protection(), 0), search, self)

    def reads(self, *readings) -> list:
        """A reading every 100 ms: what was done after the last."""
        for one in readings:
            self.now_ms += 100
            self.done.clear()
            self.driver.read(one, self.now_ms)
        return self.done

    def rank(self, terms, _refused, _now_ms) -> Ranking:
        self.terms.append(terms)
        self.done.append("rank")
        return Ranking(self.candidates, (), self.unread)

    def known_now(self, terms, _refused, _now_ms) -> tuple:
        self.terms.append(terms)
        return self.known

    def bound_to(self, node) -> tuple | None:
        self.done.append(f"who is bound to {node}")
        return self.bound

    # --- the performer

    def now_ns(self) -> int:
        return self.now_ms * 1_000_000

    def instead_of_ranking_ms(self, finding, _reading) -> int:
        if self.hold_instead_ms:
            self.done.append(f"no ranking for {finding.name}")
        return self.hold_instead_ms

    def second_look(self):
        return self.second

    def ask(self, ask) -> int:
        self.done.append(f"ask for {ask.candidate.process.pid}")
        return self.hold_ms

    def escalate(self, action) -> None:
        self.done.append(f"SIGKILL for {action.flight.pid}")

    def tell(self, event) -> None:
        if isinstance(event, Chosen):
            self.done.append(f"chosen: {event.ask.candidate.process.pid} in {event.took_us} us")
        else:
            self.done.append(told(event).sentence)


@pytest.fixture
def stage():
    return Stage()


def test_a_shortage_is_ranked_asked_for_and_only_then_told(stage):
    assert stage.reads(PLENTY, SHORT) == ["rank", "ask for 101", "chosen: 101 in 0 us"]


def test_where_a_ranking_makes_no_sense_it_holds_back_as_long_as_the_performer_says(stage):
    stage.hold_instead_ms = 250
    assert stage.reads(PLENTY, SHORT) == ["no ranking for floor"]
    assert (stage.driver.state.stage, stage.driver.state.hold_until_ms) == (stages.Stage.WATCH, stage.now_ms + 250)
    stage.hold_instead_ms = 0
    assert stage.reads(SHORT, SHORT) == []
    assert stage.reads(SHORT)[:2] == ["rank", "ask for 101"]


def test_a_second_look_that_makes_no_sense_asks_for_nothing_and_is_tried_again_a_second_later(stage):
    stage.second = None
    assert stage.reads(PLENTY, SHORT) == ["rank"]
    assert (stage.driver.state.stage, stage.driver.state.hold_until_ms) == (stages.Stage.WATCH, stage.now_ms + 1000)


def test_a_second_look_that_finds_plenty_is_told_of(stage):
    stage.second = PLENTY
    ranked, said = stage.reads(PLENTY, SHORT)
    assert (ranked, stage.driver.state.stage) == ("rank", stages.Stage.WATCH)
    assert "no shortage" in said


def test_what_could_not_be_asked_is_void_and_tried_again_after_the_hold(stage):
    stage.hold_ms = 20
    assert stage.reads(PLENTY, SHORT) == ["rank", "ask for 101", "chosen: 101 in 0 us"]
    assert (stage.driver.state.stage, stage.driver.state.hold_until_ms) == (stages.Stage.WATCH, stage.now_ms + 20)
    stage.driver.answered(verdict(Reason.PROTECTED), stage.now_ms)
    assert stage.driver.state.refused == frozenset(), "an answer to nothing"


def test_after_a_refusal_the_next_is_asked_for_and_named(stage):
    stage.reads(PLENTY, SHORT)
    stage.done.clear()
    stage.driver.answered(verdict(Reason.PROTECTED), stage.now_ms)
    asked, said = stage.done
    assert (asked, said.partition(" (")[0]) == ("ask for 102", "asking for the next: 102")
    stage.driver.answered(verdict(Reason.PROTECTED), stage.now_ms)
    assert {pid for pid, _ in stage.driver.state.refused} == {101, 102}


def test_a_victim_in_flight_is_escalated_and_that_is_told(stage):
    stage.reads(PLENTY, SHORT)
    stage.driver.answered(verdict(), stage.now_ms)
    assert stage.reads(SHORT) == []
    assert stage.reads(VERY_SHORT)[0] == "SIGKILL for 101"
    stage.driver.exited(Exited(1, Fate.GONE, 40))
    assert (stage.driver.state.stage, stage.driver.state.flight) == (stages.Stage.WATCH, None)


def test_candidates_are_followed_unless_it_is_calm(stage):
    stage.driver.watch(stage.now_ms, lambda: False)
    stage.reads(PLENTY)
    stage.driver.watch(stage.now_ms, lambda: False)
    assert stage.done == []
    stage.reads(reading(2 * GIB))
    stage.driver.watch(stage.now_ms, lambda: False)
    assert stage.done == ["watch"]


def test_what_a_killer_says_at_hello_and_a_new_configuration_count_in_the_next_ranking(stage):
    stage.driver.met(killer_hello())
    rules = victims(never=matchers(names=(b"db",)))
    stage.driver.configure(DEFAULTS._replace(victims=rules))
    stage.reads(PLENTY, SHORT)
    (terms,) = stage.terms
    assert (terms.minimum_bytes, terms.victims) == (16 * MIB, rules)


def test_with_verbose_a_change_of_phase_is_told_before_what_it_leads_to():
    verbose = Stage(DEFAULTS._replace(verbose=True))
    first, then, *_ = verbose.reads(PLENTY, SHORT)
    assert (first.partition(":")[0], then) == ("calm -> act", "rank")
    assert verbose.reads(SHORT) == []


SCARCE = reading(1.4 * GIB)


def test_a_warning_names_the_first_ten_in_the_order_in_which_they_would_be_asked_for(stage):
    moved = (Move(Cause.OOM_SCORE_ADJ, 4 * GIB),)
    small_but_first = candidate(100, held_bytes=MIB, oom_score_adj=300)._replace(badness=5 * GIB, moves=moved)
    stage.known = (small_but_first, *(candidate(pid, held_bytes=2 * GIB) for pid in range(101, 121)))
    events = []
    stage.tell = events.append
    stage.reads(PLENTY)
    stage.now_ms += 1000
    stage.reads(SCARCE)
    (event,) = events
    assert (type(event), event.reading) == (Scarce, SCARCE)
    assert [one.process.pid for one in event.candidates] == list(range(101, 111))
    (terms,) = stage.terms
    assert (terms.room_bytes, terms.needed_bytes > 0) == (SCARCE.room_bytes, True)


def test_a_warning_makes_no_ranking_and_no_second_look(stage):
    stage.second_look = None
    stage.reads(PLENTY)
    stage.now_ms += 1000
    (said,) = stage.reads(SCARCE)
    assert said.startswith("memory is scarce: ")


def test_where_a_condition_fires_it_is_asked_at_once_and_no_warning_told(stage):
    stage.reads(PLENTY)
    stage.now_ms += 1000
    assert stage.reads(SHORT) == ["rank", "ask for 101", "chosen: 101 in 0 us"]


def test_a_full_node_is_told_of_with_what_is_bound_to_it_and_nothing_is_looked_at_before(stage):
    assert stage.reads(PLENTY, PLENTY) == []
    stage.bound = (process(77, comm=b"database", held_bytes=3 * GIB), process(78, comm=b"cache", held_bytes=GIB))
    asked, said = stage.reads(PLENTY._replace(full_node=1))
    assert asked == "who is bound to 1"
    assert "NUMA node 1 is full, and 12.0 GiB are available" in said
    assert "; the largest bound by cpuset.mems: 77 (database, 3072 MiB), 78 (cache, 1024 MiB). " in said
    assert stage.reads(PLENTY._replace(full_node=1)) == [], "it is read and said once"


@pytest.mark.parametrize(
    ("bound", "told"),
    [((), "; none of the largest processes is bound by cpuset.mems. "), (None, "(cpuset.mems, numactl). ")],
)
def test_of_a_full_node_it_is_said_whether_any_is_bound_to_it_as_far_as_that_is_known(stage, bound, told):
    stage.bound = bound
    assert told in stage.reads(PLENTY._replace(full_node=1))[-1]


def test_of_nodes_that_fill_and_empty_all_the_time_it_is_said_with_growing_pauses(stage):
    told = []
    for _ in range(30):
        told += stage.reads(PLENTY._replace(full_node=1))
        stage.reads(PLENTY)
        stage.now_ms += 800
    assert told.count("who is bound to 1") == len(told) // 2 == 5, "after 1, 2, 4 and 8 seconds"


def test_no_kill_waits_for_the_look_at_what_is_bound():
    """A node can be full where `floor` is raised: then the machine is short as well."""
    stage = Stage(DEFAULTS._replace(conditions=conditions(floor={"available_percent": 50, "available_mib": 10_000})))
    stage.second = reading(5 * GIB)
    assert [done.split()[0] for done in stage.reads(PLENTY, reading(5 * GIB)._replace(full_node=1))] == [
        *("rank", "ask", "chosen:", "who", "NUMA")
    ]
