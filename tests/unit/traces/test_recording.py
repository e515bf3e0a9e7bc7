"""What is recorded: which processes, how often, and how much of a disk that takes."""

import random

import pytest

from bustd_monitor.sensing.command_lines import CommandLines
from bustd_monitor.sensing.process_table import ProcessTable
from bustd_monitor.sensing.processes import NOT_ASKED, TOO_LONG, CommandLine
from bustd_monitor.traces.format import Listed, Sensed
from bustd_monitor.traces.recording import MOST_RANKED, Census, CensusTaker, Recorder, pace_ms
from bustd_monitor.traces.records import RecordedProcess
from bustd_monitor.traces.replaying import Replay
from bustd_shared.kernel.pressure import MemoryPressure
from tests.fakes.procfs import FakeProc
from tests.support.traces import GIB, HEADER, MIB, decoded, process, reading


@pytest.fixture
def proc(tmp_path):
    return FakeProc(tmp_path)


@pytest.fixture
def table(proc):
    at_once = CommandLines(proc.path, start=lambda function, arguments: function(*arguments))
    made = ProcessTable(proc.path, commands=at_once)
    yield made
    made.close()


def pids(census):
    return [entry.process.pid for entry in census.entries]


class Crowd:
    """A process table of so many, without a file for each; `looked_at` are those that were read closely."""

    def __init__(self, count):
        self.scores = dict.fromkeys(range(1, count + 1), 666)
        self.left = None
        self.looked_at = []

    def walk(self, count):
        self.left = sorted(self.scores) if self.left is None else self.left
        found, self.left = self.left[:count], self.left[count:]
        if not found:
            self.left = None
        return found

    def score(self, pid):
        return self.scores.get(pid, 0)

    def resident_bytes(self, pid):
        return pid * 4096

    def read(self, pid, score):
        self.looked_at.append(pid)
        return process(pid, MIB, oom_score=score) if pid in self.scores else None

    def command(self, process):
        return CommandLine(f"program {process.pid}")

    def read_commands(self):
        pass


# --- which processes


def test_a_table_that_could_not_be_listed_to_its_end_is_no_census(proc, table, monkeypatch):
    proc.process(1001)
    taker = CensusTaker(table)
    with monkeypatch.context() as patched:
        patched.setattr(table, "walk", lambda _count: None)
        assert taker.advance() is None
    assert pids(taker.advance()) == [1001]


def test_the_highest_scores_are_recorded_and_of_equals_the_larger(proc, table):
    for pid in range(1001, 1001 + MOST_RANKED + 2):
        proc.process(pid, oom_score=700, resident_pages=pid)
    proc.process(2000, oom_score=800, resident_pages=1)
    proc.process(2001, oom_score=0, anonymous_kib=None)
    found = pids(CensusTaker(table).advance())
    assert found == [2000, *range(1050, 1003, -1)]


def test_a_recorded_process_stays_while_it_lives_so_that_a_missing_one_is_gone(proc, table):
    proc.process(1000, oom_score=900)
    taker = CensusTaker(table)
    assert pids(taker.advance()) == [1000]
    for pid in range(1001, 1001 + MOST_RANKED):
        proc.process(pid, oom_score=950)
    proc.process(1000, oom_score=600)
    assert 1000 in pids(taker.advance())
    proc.remove("1000")
    census = taker.advance()
    assert 1000 not in pids(census)
    assert census.left_out == frozenset()


def test_not_every_process_can_stay_for_ever_and_one_that_can_not_does_not_count_as_gone():
    crowd, left_out = Crowd(500), set()
    taker = CensusTaker(crowd)
    for round_ in range(4):  # each time others are at the top
        crowd.scores = {pid: 900 if pid % 10 == round_ else 666 for pid in crowd.scores}
        census = taker.advance()
        left_out |= census.left_out
    assert len(census.entries) == 96
    assert left_out
    assert not left_out & set(pids(census))


def test_a_long_table_is_gone_through_a_slice_at_a_time():
    crowd = Crowd(5000)
    taker = CensusTaker(crowd)
    assert [type(taker.advance(2048)) for _ in range(3)] == [type(None), type(None), Census]
    assert sorted(crowd.looked_at) == list(range(4953, 5001))


def test_of_a_great_crowd_of_equals_only_some_are_sized():
    crowd = Crowd(20_000)
    sized = []
    crowd.resident_bytes = lambda pid: sized.append(pid) or pid
    assert CensusTaker(crowd).advance(30_000)
    assert len(sized) < 2200


def test_command_lines_are_recorded_only_when_asked_for_and_read_only_once(proc, table):
    proc.process(1000, command=b"leak\0--password=x\0")
    assert CensusTaker(table).advance().entries[0].process.command == ""
    taker = CensusTaker(table, with_commands=True)
    commands = [taker.advance().entries[0].process.command for _ in range(2)]
    assert commands == ["", "leak --password=x"], "it comes with the table after it"
    proc.write("1000/cmdline", b"other")
    assert taker.advance().entries[0].process.command == "leak --password=x"
    proc.process(1000, command=b"successor", start_ticks=5000)
    commands = [taker.advance().entries[0].process.command for _ in range(2)]
    assert commands == ["", "successor"]


def test_what_kept_a_command_line_from_being_known_is_recorded_with_the_beginning_of_it(proc, table):
    proc.process(1000, command=b"x" * 200_000)
    assert CensusTaker(table).advance().entries[0].process.command_trouble == NOT_ASKED
    taker = CensusTaker(table, with_commands=True)
    taker.advance()
    recorded = taker.advance().entries[0].process
    assert (recorded.command, recorded.command_trouble) == ("x" * 4096, TOO_LONG)


# --- how often


@pytest.mark.parametrize(
    ("sensed", "wait_ms"),
    [
        (None, 1000),
        (reading(1.01 * GIB), 1000),
        (reading(GIB), 100),
        (reading(1.5 * GIB, some=1), 100),
        (reading(1.5 * GIB, some=0.99), 1000),
        (reading(1.5 * GIB)._replace(pressure=None), 1000),
    ],
)
def test_readings_come_ten_times_a_second_while_memory_may_soon_be_short(sensed, wait_ms):
    assert pace_ms(sensed) == wait_ms


class Machine:
    """A recorder's world: a clock that only its sleep moves, and what it sees."""

    def __init__(self, read, crowd):
        self.now_ms = 50_000
        self.written = []
        self.recorder = Recorder(
            HEADER,
            read=lambda: read(self.now_ms - 50_000),
            census_taker=CensusTaker(crowd),
            clock_ms=lambda: self.now_ms,
            write=self.written.append,
        )

    def run(self, seconds):
        while self.now_ms < 50_000 + seconds * 1000:
            self.now_ms += self.recorder.turn()
        return b"".join(self.written)


def test_a_recording_has_the_header_then_readings_and_a_table_each_second():
    machine = Machine(lambda at_ms: reading(1.5 * GIB if at_ms < 3000 else GIB), Crowd(3))
    header, frames = decoded(machine.run(5))
    assert header == HEADER
    assert [one.at_ms for one in frames if isinstance(one, Sensed)] == [0, 1000, 2000, *range(3000, 5000, 100)]
    assert [one.at_ms for one in frames if isinstance(one, Listed)] == [0, 1000, 2000, 3000, 4000]
    assert machine.recorder.tally == (23, 5)


def test_a_reading_that_makes_no_sense_is_left_out():
    machine = Machine(lambda at_ms: None if at_ms < 2000 else reading(GIB), Crowd(1))
    _, frames = decoded(machine.run(2.1))
    assert [type(one) for one in frames] == [Listed, Listed, Sensed, Listed]


def test_a_minute_of_a_busy_machine_takes_well_under_100_kib():
    chance = random.Random(4)

    def busy(at_ms):
        available, out = chance.randrange(100 * MIB), chance.randrange(GIB) & ~4095
        stall_us = at_ms * 300 + chance.randrange(1000)
        average = at_ms // 2000 / 7  # the kernel updates it every two seconds
        return reading(available & ~4095, swap=(GIB, out))._replace(
            pressure=MemoryPressure(average, stall_us, average, stall_us)
        )

    class Busy(Crowd):
        def read(self, pid, score):
            is_busy = pid > 990  # ten of them
            held = chance.randrange(GIB) & ~4095 if is_busy else 50 * MIB
            scope = f"/user.slice/user-1000.slice/user@1000.service/app.slice/app-of-the-user-{pid}.scope"
            return process(pid, held, oom_score=score, cgroup=scope, whole=scope)

    data = Machine(busy, Busy(1000)).run(60)
    assert len(decoded(data)[1]) == 660
    assert len(data) < 75 * 1024
    quiet = Machine(lambda _: reading(1.5 * GIB), Crowd(1000)).run(60)
    assert len(quiet) < 8 * 1024


def test_what_was_recorded_can_be_replayed():
    from bustd_monitor.config import config_of
    from tests.unit.traces.test_replaying import RULES

    crowd = Crowd(3)
    machine = Machine(lambda at_ms: reading(GIB if at_ms < 2000 else 50 * MIB), crowd)
    crowd.read = lambda pid, score: process(pid, pid * 50 * MIB, oom_score=score)
    header, frames = decoded(machine.run(4))
    said = []
    run = Replay(header, config_of({}), RULES, lambda at_ms, sentence: said.append(sentence))
    for frame in frames:
        run.feed(frame)
    assert [(kill.at_ms, kill.pid) for kill in run.kills] == [(2000, 3)]


def test_an_entry_tells_the_resident_memory_too(proc, table):
    proc.process(1000, resident_pages=10)
    (entry,) = CensusTaker(table).advance().entries
    assert entry == RecordedProcess(entry.process, 40_960)
