"""Command lines come from a thread, and the monitor does not wait for it."""

import os

import pytest

from bustd_monitor.sensing.command_lines import CommandLines
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
    assert [commands.of(one) for one in (ONE, TWO)] == ["program 101", "program 102"]
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
    assert commands.of(TWO) == "program 102"


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
    assert commands.of(ONE) == "program 101"


def test_a_real_command_line_comes_from_a_real_thread():
    commands = CommandLines()
    with victims.victim(24) as child:
        one = process(child.pid)
        commands.of(one)
        commands.read_wanted()
        commands.wait(10_000)
        assert "kept = bytes([1])" in commands.of(one)


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
    writer = os.open(path, os.O_RDWR)
    os.write(writer, b"late\0")
    commands.wait(10_000)
    os.close(writer)
    assert commands.of(ONE) == "late"
