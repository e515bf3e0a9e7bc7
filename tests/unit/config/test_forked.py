import contextlib
import io
import os
import signal
import sys

import pytest

from bustd_shared.daemon import forked
from bustd_shared.daemon.forked import ChildFailed, in_child
from bustd_shared.rules.config_files import Loaded
from bustd_shared.rules.loading import read_in_child
from bustd_shared.rules.schema import ConfigError, Problem


@pytest.fixture
def sigalrm():
    """A signal every half millisecond, whose handler does nothing but interrupt."""
    handled = []
    previous = signal.signal(signal.SIGALRM, lambda *_: handled.append(1))
    yield handled
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, previous)


def descriptors() -> list[int]:
    """The open ones. Not from a listing of /proc/self/fd, which needs one itself."""
    return [number for number in range(256) if is_open(number)]


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def no_children() -> bool:
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return True
    return False


@pytest.mark.parametrize("value", [None, True, 0, 2**63, -5, 1.5, "é", b"\xff", [], [1, ["x"]], {"a": {"b": [b"c"]}}])
def test_a_plain_value_comes_back_from_the_child(value):
    assert in_child(lambda: value) == value


def test_a_tuple_comes_back_as_a_list():
    assert in_child(lambda: (1, (2,))) == [1, [2]]


def test_the_function_runs_in_another_process():
    assert in_child(os.getpid) != os.getpid()
    assert in_child(os.getppid) == os.getpid()


def test_what_the_function_imports_and_changes_stays_in_the_child():
    changed = []

    def function():
        import this  # noqa: F401 - a module that nothing else imports

        changed.append(1)
        return [len(changed), "this" in sys.modules]

    with contextlib.redirect_stdout(io.StringIO()):
        assert in_child(function) == [1, True]
    assert changed == []
    assert "this" not in sys.modules


@pytest.mark.parametrize("size", [65_535, 65_536, 65_537, 5_000_000])
def test_a_result_that_no_pipe_holds_at_once_comes_back_whole(size):
    assert in_child(lambda: b"x" * size) == b"x" * size


def test_no_zombie_and_no_descriptor_is_left_after_any_outcome(capfd):
    before = descriptors()
    in_child(lambda: 1)
    for failing in (lambda: 1 / 0, lambda: os._exit(3), lambda: os.kill(os.getpid(), signal.SIGKILL)):
        with pytest.raises(ChildFailed):
            in_child(failing)
    assert no_children()
    assert descriptors() == before


def test_an_exception_in_the_child_is_told_to_the_parent_and_on_standard_error(capfd):
    with pytest.raises(ChildFailed, match=r"^the child process failed: ZeroDivisionError: division by zero$"):
        in_child(lambda: 1 / 0)
    line = capfd.readouterr().err
    assert line.startswith("child process ")
    assert line.endswith(": ZeroDivisionError: division by zero\n")


def test_a_failure_is_one_printable_line(capfd):
    def fail():
        raise RuntimeError("two\nlines\x1b[2J")

    with pytest.raises(ChildFailed, match=r"^the child process failed: RuntimeError: two\\nlines\\x1b\[2J$"):
        in_child(fail)
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("exception", [SystemExit(0), KeyboardInterrupt(), MemoryError()])
def test_no_exception_of_the_child_unwinds_the_stack_of_its_parent(exception, capfd):
    def fail():
        raise exception

    with pytest.raises(ChildFailed, match=type(exception).__name__):
        in_child(fail)


@pytest.mark.parametrize("result", [object(), {1, 2}, 2**70, "\udc80"])
def test_a_result_that_is_no_plain_value_is_a_failure_with_a_name(result, capfd):
    with pytest.raises(ChildFailed, match=r"^the child process failed: \w+Error"):
        in_child(lambda: result)


def test_a_child_that_is_killed_is_a_failure_that_names_the_signal():
    with pytest.raises(ChildFailed, match=r"^the child process was killed by signal 9$"):
        in_child(lambda: os.kill(os.getpid(), signal.SIGKILL))


@pytest.mark.parametrize("status", [0, 3])
def test_a_child_that_ends_without_a_result_is_a_failure_that_names_its_status(status):
    with pytest.raises(ChildFailed, match=rf"^the child process ended with status {status} and no result$"):
        in_child(lambda: os._exit(status))


@pytest.mark.parametrize("garbage", [b"\xc1", b"\x92\xc3", b"\x01", b"\x93\xc3\x01\x01", b"\x92\x01\x01", b"\xc0"])
def test_a_child_that_writes_something_else_than_a_result_is_a_failure(garbage):
    before = set(descriptors())

    def function():
        (pipe,) = set(descriptors()) - before
        os.write(pipe, garbage)
        os._exit(0)

    with pytest.raises(ChildFailed, match="no result"):
        in_child(function)


def test_a_standard_error_that_is_full_does_not_hold_up_the_child_or_the_parent():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while True:
            os.write(writer, b"x" * 4096)
    except BlockingIOError:
        os.set_blocking(writer, True)
    saved = os.dup(2)
    os.dup2(writer, 2)
    try:
        with pytest.raises(ChildFailed, match="ZeroDivisionError"):
            in_child(lambda: 1 / 0)
    finally:
        os.dup2(saved, 2)
        for descriptor in (saved, reader, writer):
            os.close(descriptor)


def test_a_standard_error_that_is_closed_does_not_hide_why_the_child_failed():
    def fail():
        os.close(2)
        raise ValueError("why")

    with pytest.raises(ChildFailed, match="ValueError: why"):
        in_child(fail)


def test_signals_on_the_way_do_not_break_the_result(sigalrm):
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    assert in_child(lambda: b"x" * 20_000_000) == b"x" * 20_000_000
    assert sigalrm


def test_an_exception_while_the_result_is_read_leaves_no_child_that_writes_for_ever(monkeypatch):
    def interrupted(_descriptor):
        raise InterruptedError("stop")

    monkeypatch.setattr(forked, "_read_to_end", interrupted)
    with pytest.raises(InterruptedError):
        in_child(lambda: b"x" * 5_000_000)
    assert no_children()


def test_the_result_counts_where_the_kernel_reaps_the_children():
    previous = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        assert in_child(lambda: "whole") == "whole"
        with pytest.raises(ChildFailed, match="no result"):
            in_child(lambda: os._exit(1))
    finally:
        signal.signal(signal.SIGCHLD, previous)


def test_a_fork_that_is_refused_is_a_failure_and_leaves_no_descriptor(monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    before = descriptors()
    with pytest.raises(ChildFailed, match="a child process can't be started: Resource temporarily unavailable"):
        in_child(lambda: 1)
    assert descriptors() == before


def test_a_lack_of_descriptors_is_a_failure(monkeypatch):
    def refuse():
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", refuse)
    with pytest.raises(ChildFailed, match="no pipe to a child process: Too many open files"):
        in_child(lambda: 1)


def test_the_values_of_a_reading_come_back():
    assert read_in_child(lambda: Loaded({"a": {"b": [b"c"]}}, [], [], {})) == ({"a": {"b": [b"c"]}}, ())


def test_the_warnings_of_a_reading_come_back_with_its_values():
    warnings = (Problem("f", "a", "b"), Problem("g", "", "c"))
    assert read_in_child(lambda: Loaded({}, [], [], {}, warnings)) == ({}, ("f: a: b", "g: c"))


def test_the_problems_of_a_reading_come_back_as_an_error_with_their_lines():
    problems = [Problem("f", "a", "1", "2"), Problem("g\udc80", "", "no such file")]
    with pytest.raises(ConfigError) as caught:
        read_in_child(lambda: Loaded({}, problems, [], {}))
    assert caught.value.problems == ["f: a: expected 2, found 1", r"g\udc80: no such file"]
    assert str(caught.value) == "f: a: expected 2, found 1\n" + r"g\udc80: no such file"
