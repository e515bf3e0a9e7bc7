"""Command lines come from a thread, and the monitor does not wait for it."""

import os

import pytest

from bustd_monitor.sensing.command_lines import HANGS, MOST_LONG_BYTES, TOO_MANY, CommandLines, long_bytes
from bustd_monitor.sensing.processes import CommandLine
from tests.fakes.procfs import FakeProc
from tests.support import victims
from tests.unit.monitor.making import process


class Threads:
    """Whatever was begun, and goes on only when the test says so."""

    def __init__(self) -> None:
        self.begun = []

    def start(self, function, arguments) -> None:
        self.begun.append(lambda: function(*arguments))

    def finish(self) -> None:
        self.begun.pop(0)()


@pytest.fixture
def proc(tmp_path):
    made = FakeProc(tmp_path)
    for pid in (101, 102, 103):
        made.process(pid, command=b"program\0%d\0" % pid)
    return made


@pytest.fixture
def threads():
    return Threads()


ONE, TWO, THREE = (process(pid) for pid in (101, 102, 103))


def test_what_is_asked_for_is_read_in_one_thread_and_known_afterwards(proc, threads):
    commands = CommandLines(proc.path, threads.start)
    assert [commands.of(one) for one in (ONE, TWO, ONE)] == [None, None, None]
    commands.read_wanted()
    assert commands.of(ONE) is None, "it is not there yet"
    threads.finish()
    assert [commands.of(one) for one in (ONE, TWO)] == [CommandLine("program 101"), CommandLine("program 102")]
    assert threads.begun == []


def test_while_a_thread_hangs_there_is_no_second_one_and_nothing_is_waited_for(proc, threads):
    commands = CommandLines(proc.path, threads.start)
    commands.of(ONE)
    for _ in range(5):
        commands.read_wanted()
        assert commands.of(TWO) is None
    assert len(threads.begun) == 1
    threads.finish()
    commands.read_wanted()
    threads.finish()
    assert commands.of(TWO) == CommandLine("program 102")


def answer(pipe) -> None:
    """What hangs goes on. To open the pipe takes until the thread has opened it too."""
    with pipe.open("wb") as writer:
        writer.write(b"late\0")


class Clock:
    now_ms = 0

    def __call__(self) -> int:
        return self.now_ms


def test_a_process_whose_command_line_hangs_keeps_those_of_the_others_unknown_for_a_second_only(proc):
    """A pipe in place of the file: to open it takes until somebody writes, as for a lock."""
    path = proc.directory / "101/cmdline"
    path.unlink()
    os.mkfifo(path)
    clock = Clock()
    commands = CommandLines(proc.path, clock_ms=clock)
    assert [commands.of(one) for one in (ONE, TWO)] == [None, None]
    commands.read_wanted()
    clock.now_ms = 999
    commands.read_wanted()
    assert commands.of(ONE) is None
    assert commands.of(TWO) is None
    clock.now_ms = 1000
    commands.read_wanted()
    assert commands.of(ONE) == CommandLine("", HANGS)
    commands.wait(10_000)
    assert commands.of(TWO) == CommandLine("program 102")
    hanging, *_ = commands._given_up
    answer(path)
    assert hanging.at_work.acquire(timeout=10)
    hanging.at_work.release()
    assert commands.of(ONE) is None, "it is asked for again"


def test_not_more_than_one_thread_is_given_up(proc):
    for pid in (101, 102):
        path = proc.directory / f"{pid}/cmdline"
        path.unlink()
        os.mkfifo(path)
    clock = Clock()
    commands = CommandLines(proc.path, clock_ms=clock)
    readers = []
    for one in (ONE, TWO, THREE):
        commands.of(one)
        commands.read_wanted()
        clock.now_ms += 1000
        readers.append(commands._reader)
    assert commands.of(ONE) == CommandLine("", HANGS)
    assert [commands.of(one) for one in (TWO, THREE)] == [None, None]
    assert readers[1] is readers[2]
    for pid, reader in ((101, readers[0]), (102, readers[1])):
        answer(proc.directory / f"{pid}/cmdline")
        assert reader.at_work.acquire(timeout=10)
        reader.at_work.release()


def test_a_thread_that_was_given_up_reads_nothing_further(proc, threads, monkeypatch):
    commands = CommandLines(proc.path, threads.start)
    for one in (ONE, TWO):
        commands.of(one)
    commands.read_wanted()
    commands._reader.is_given_up = True
    threads.finish()
    assert commands._known == {}


def test_long_command_lines_take_no_more_than_so_much_together_and_short_ones_are_always_whole(proc, threads):
    pids = range(200, 220)
    for pid in pids:
        proc.process(pid, command=b"x" * 120_000)
    proc.process(220, command=b"short")
    commands = CommandLines(proc.path, threads.start)
    for pid in (*pids, 220):
        commands.of(process(pid))
    commands.read_wanted()
    threads.finish()
    lines = [commands.of(process(pid)) for pid in pids]
    whole = [line for line in lines if not line.trouble]
    assert len(whole) == MOST_LONG_BYTES // 120_000
    assert {line for line in lines if line not in whole} == {CommandLine("x" * 4096, TOO_MANY)}
    assert commands.of(process(220)) == CommandLine("short")


def test_a_long_command_line_counts_for_the_memory_that_it_takes():
    assert long_bytes(CommandLine("x" * 4096)) == 0
    assert long_bytes(CommandLine("x" * 5000)) == 5000
    assert long_bytes(CommandLine("é" * 5000)) == 20_000


def test_where_nothing_is_wanted_no_thread_is_begun(proc, threads):
    CommandLines(proc.path, threads.start).read_wanted()
    assert threads.begun == []


def test_an_answer_is_only_for_the_process_that_was_asked_about(proc, threads):
    commands = CommandLines(proc.path, threads.start)
    commands.of(ONE)
    commands.read_wanted()
    threads.finish()
    assert commands.of(ONE._replace(start_ticks=7)) is None


def test_answers_that_are_not_fetched_are_forgotten(proc, threads):
    commands = CommandLines(proc.path, threads.start)
    for one in (ONE, TWO, THREE):
        commands.of(one)
        commands.read_wanted()
        threads.finish()
    assert len(commands._known) == 1


def test_where_no_thread_can_be_begun_it_is_tried_again(proc):
    def refuse(*_):
        raise RuntimeError("can't start new thread")

    threads = Threads()
    commands = CommandLines(proc.path, refuse)
    commands.of(ONE)
    commands.read_wanted()
    commands._start = threads.start
    assert commands.of(ONE) is None
    commands.read_wanted()
    threads.finish()
    assert commands.of(ONE) == CommandLine("program 101")


def test_a_real_command_line_comes_from_a_real_thread():
    commands = CommandLines()
    with victims.victim(24) as child:
        one = process(child.pid)
        commands.of(one)
        commands.read_wanted()
        commands.wait(10_000)
        assert "kept = bytes([1])" in commands.of(one).text


def test_a_real_process_that_keeps_its_own_from_being_read_is_not_waited_for(proc):
    """A pipe in the place of the file: to open it waits until it is written to, as for a lock."""
    path = proc.directory / "101/cmdline"
    path.unlink()
    os.mkfifo(path)
    commands = CommandLines(proc.path)
    commands.of(ONE)
    commands.read_wanted()
    commands.wait(1)
    assert commands.of(ONE) is None
    answer(path)
    commands.wait(10_000)
    assert commands.of(ONE) == CommandLine("late")
