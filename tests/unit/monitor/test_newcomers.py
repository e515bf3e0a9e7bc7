"""What a newcomer has gained: a fork copies no page, so nothing is gained by it, and never more than was lost."""

import os
import subprocess

import pytest

from bustd_monitor.ranking.growth import lost_since
from bustd_monitor.ranking.order import Cause
from bustd_monitor.ranking.search import CandidateSearch
from bustd_monitor.sensing.process_table import ProcessTable
from tests.fakes.procfs import FakeProc
from tests.support import victims as real
from tests.unit.monitor.making import MIB, ticks_ago
from tests.unit.monitor.test_search import NONE_REFUSED, PLAIN

MIB_KIB = 1024


class Machine:
    """A tree of processes and a search in it; `room` is what is left of memory, in MiB."""

    def __init__(self, proc: FakeProc) -> None:
        self.proc, self.now_ms, self.room = proc, 1_000_000, 4096
        proc.last_pid(100)
        self.table = ProcessTable(proc.path)
        self.search = CandidateSearch(self.table)

    def process(self, pid: int, mib: int, age_s: float = 900, program_kib: int = 2800, **more) -> None:
        memory = {"program_kib": program_kib, "anonymous_kib": mib * MIB_KIB}
        pages = mib * MIB_KIB // 4
        self.proc.process(
            pid, oom_score=667 + mib // 16, resident_pages=pages, start_ticks=ticks_ago(age_s), memory=memory, **more
        )
        self.proc.last_pid(max(pid, 100))

    @property
    def terms(self):
        return PLAIN._replace(room_bytes=self.room * MIB)

    def watch(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now_ms += 1000
            self.search.watch(self.terms, self.now_ms)

    def gained(self) -> dict[int, int]:
        """What each candidate has gained, in MiB."""
        ranking = self.search.rank(self.terms, NONE_REFUSED, self.now_ms + 100)
        return {one.process.pid: one.process.gained_bytes // MIB for one in ranking.candidates}


@pytest.fixture
def machine(tmp_path):
    it = Machine(FakeProc(tmp_path))
    yield it
    it.table.close()


def test_a_forked_child_has_gained_nothing_where_its_parent_holds_as_much(machine):
    machine.process(50, 400)
    machine.watch(3)
    machine.room -= 500  # by others
    machine.process(101, 399, age_s=0.1, parent=50)
    machine.process(102, 350, age_s=0.1, parent=50)
    assert machine.gained() == {50: 0, 102: 0}, "the first of them is no candidate at all: it holds but copies"


def test_of_a_forked_child_that_holds_more_than_its_parent_the_rest_is_its_own(machine):
    machine.process(50, 400)
    machine.watch(3)
    machine.room -= 500
    machine.process(101, 550, age_s=0.1, parent=50)
    assert machine.gained() == {101: 150, 50: 0}


def test_a_parent_that_may_not_die_is_compared_too(machine):
    machine.process(50, 400, oom_score_adj=-1000)
    machine.watch(3)
    machine.room -= 500
    machine.process(101, 400, age_s=0.1, parent=50)
    assert machine.gained() == {101: 0}


def test_another_program_that_its_parent_has_started_has_gained_all_that_it_holds(machine):
    machine.process(50, 400)
    machine.watch(3)
    machine.room -= 500
    machine.process(101, 400, age_s=0.1, parent=50, program_kib=16)
    assert machine.gained()[101] == 400


def test_no_newcomer_has_gained_more_than_memory_was_lost_since_it_came(machine):
    machine.process(50, 300)
    machine.watch(8)
    machine.room -= 30
    machine.process(101, 400, age_s=0.5, parent=60)
    assert machine.gained()[101] == 30


def test_what_a_death_gave_back_since_then_was_lost_before(machine):
    machine.process(50, 300)
    machine.watch(4)
    machine.room -= 350
    machine.watch(1)
    machine.room += 700
    machine.watch(1)
    machine.process(101, 340, age_s=2.5, parent=60)
    assert machine.gained()[101] == 340


def test_where_nothing_is_known_of_the_time_before_it_came_it_has_gained_all(machine):
    machine.process(101, 400, age_s=5, parent=60)
    assert machine.gained()[101] == 400


def test_a_copy_does_not_explain_where_memory_went(machine):
    """Otherwise nothing would look for the process that has really taken it."""
    machine.process(50, 400)
    machine.watch(12)
    before = machine.search._tracked.gained_bytes
    machine.process(101, 400, age_s=0.1, parent=50)
    machine.watch(1)
    assert machine.search._tracked.gained_bytes == before


def test_every_fall_counts_as_lost_and_no_rise_makes_up_for_it():
    samples = ((0, 900), (1000, 800), (2000, 950), (3000, 700))
    assert lost_since(samples, 1500, 650) == 250 + 50
    assert lost_since(samples, 500, 650) == 100 + 250 + 50
    assert lost_since(samples, 3500, 800) == 0
    assert lost_since(samples, -1, 650) is lost_since((), 5000, 1) is None


FORKS = """
import os, sys, time
kept = bytes([1]) * (96 << 20)
print("ready", flush=True)
sys.stdin.readline()
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


def test_a_real_copy_of_a_real_process_has_gained_nothing():
    table = ProcessTable(only_descendants_of=os.getpid())
    search = CandidateSearch(table)
    with real.victim(32):
        server = subprocess.Popen(["python3", "-I", "-c", FORKS], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        copy = 0
        try:
            assert server.stdout.readline()
            search.watch(PLAIN, 1000)
            search.watch(PLAIN, 2000)
            server.stdin.write(b"\n")
            server.stdin.flush()
            copy = int(server.stdout.readline())
            prints = {table.read(pid, 700).memory_print for pid in (server.pid, copy)}
            candidates = search.rank(PLAIN, NONE_REFUSED, 2100).candidates
        finally:
            if copy:
                os.kill(copy, 9)
            real.end(server)
            table.close()
    gained = {one.process.pid: one.process.gained_bytes // MIB for one in candidates}
    assert len(prints) == 2, "a copy is another memory"
    assert server.pid in gained
    assert copy not in gained, "it holds copies, and its death frees nothing"
    causes = {one.process.pid: [move.cause for move in one.moves] for one in candidates}
    assert causes[server.pid] == [Cause.COPIED]
