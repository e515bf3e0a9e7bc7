"""The log: whole lines, nothing in them that could disturb a terminal, and never a wait for the reader."""

import os
import re
import resource
import socket

import pytest

from bustd_shared.daemon import log as log_module
from bustd_shared.daemon.log import Log, syslog_socket, where
from bustd_shared.daemon.packets import Socket
from tests.unit.shared.forked import in_child

STAMPED = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d bustd-test: (.*)\n")


def filled(log: Log) -> int:
    """Write until a line is dropped; returns how many were written."""
    for count in range(100_000):
        log("x" * 500)
        if log.dropped:
            return count
    raise AssertionError("it takes everything: nothing was ever dropped")


def drained(fileno: int) -> bytes:
    os.set_blocking(fileno, False)
    read = b""
    try:
        while chunk := os.read(fileno, 65536):
            read += chunk
    except BlockingIOError:
        pass
    return read


def test_a_file_gets_a_stamped_line_for_each_sentence(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        log = Log("bustd-test", file.fileno())
        log("one")
        log("two")
        assert log.fileno == file.fileno()
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    assert [STAMPED.fullmatch(line)[1] for line in lines] == [b"one", b"two"]


def test_a_sentence_can_not_forge_a_second_line_or_disturb_a_terminal(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        Log("bustd-test", file.fileno())("victim \x1b[31mred\nbustd-killer: all is well\r\x85\u2028\x00")
    (line,) = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    assert STAMPED.fullmatch(line)[1] == (rb"victim \x1b[31mred\nbustd-killer: all is well\r\x85\u2028\x00")


def test_a_full_disk_costs_lines_and_not_the_daemon(tmp_path):
    """RLIMIT_FSIZE stands for the disk: what is written beyond it fails (setrlimit(2))."""

    def log_to_a_file_that_can_not_grow():
        with (tmp_path / "log").open("ab") as file:
            log = Log("bustd-test", file.fileno())
            log("one")
            limits = resource.getrlimit(resource.RLIMIT_FSIZE)
            resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(file.fileno()).st_size, limits[1]))
            log("two")
            log("three")
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            log("here again")

    in_child(log_to_a_file_that_can_not_grow)
    lines = (tmp_path / "log").read_bytes().splitlines(keepends=True)
    said = [STAMPED.fullmatch(line)[1] for line in lines]
    assert said == [b"one", b"here again (2 lines before this one were dropped)"]


def test_a_full_pipe_costs_a_line_and_not_a_wait():
    def log_to_a_pipe():
        reader, writer = os.pipe()
        log = Log("bustd-test", writer)
        written = filled(log)
        log("y" * 500)
        whole = drained(reader)
        log("here again")
        after = drained(reader)
        log("and on")
        return written, whole, after, drained(reader), os.get_blocking(writer)

    written, whole, after, last, is_blocking = in_child(log_to_a_pipe)
    assert written > 10
    assert whole.count(b"\n") == written
    assert b"y" not in whole
    assert STAMPED.fullmatch(after)[1] == b"here again (2 lines before this one were dropped)"
    assert STAMPED.fullmatch(last)[1] == b"and on"
    assert is_blocking, "the descriptor is shared with others, who expect it to block"


def test_a_terminal_that_nobody_reads_costs_a_line_and_not_a_wait():
    def log_to_a_terminal():
        master, slave = os.openpty()
        log = Log("bustd-test", slave)
        written = filled(log)
        return written, os.get_blocking(slave), master

    written, is_blocking, _ = in_child(log_to_a_terminal)
    assert written > 0
    assert is_blocking


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_SEQPACKET, socket.SOCK_DGRAM])
def test_a_socket_that_nobody_reads_costs_a_line_and_not_a_wait(kind):
    def log_to_a_socket():
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        log = Log("bustd-test", theirs.fileno())
        written = filled(log)
        first = ours.recv(512)
        return written, first, os.get_blocking(theirs.fileno())

    written, first, is_blocking = in_child(log_to_a_socket)
    assert written > 0
    assert first.startswith(b"bustd-test: xxx"), "the reader of a socket stamps the lines itself"
    assert is_blocking


def test_a_reader_that_has_gone_costs_a_line_and_not_the_daemon():
    def log_to_nobody():
        dropped = []
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        for fileno, close in ((writer, lambda: os.close(reader)), (theirs.fileno(), ours.close)):
            log = Log("bustd-test", fileno)
            close()
            log("into the void")
            dropped.append(log.dropped)
        return dropped

    assert in_child(log_to_nobody) == [1, 1]


def test_a_line_of_which_only_a_part_could_be_written_counts_as_dropped():
    def log_too_much():
        reader, writer = os.pipe()
        log = Log("bustd-test", writer)
        log("x" * 1_000_000)
        return log.dropped, len(drained(reader))

    dropped, length = in_child(log_too_much)
    assert dropped == 1
    assert length < 1_000_000


def test_a_pipe_that_does_not_block_already_is_used_as_it_is():
    def make():
        _, writer = os.pipe2(os.O_NONBLOCK)
        return Log("bustd-test", writer).fileno == writer

    assert in_child(make)


@pytest.mark.root
def test_a_pipe_that_may_not_be_opened_anew_is_used_as_it_is():
    def make():
        reader, writer = os.pipe()
        os.seteuid(65534)
        log = Log("bustd-test", writer)
        log("all the same")
        os.seteuid(0)
        return log.fileno == writer, drained(reader)

    is_same, read = in_child(make)
    assert is_same
    assert STAMPED.fullmatch(read)[1] == b"all the same"


@pytest.mark.root
@pytest.mark.parametrize("make", [os.pipe, os.openpty])
def test_nor_does_it_wait_for_the_reader_of_a_pipe_or_terminal_that_may_not_be_opened_anew(make):
    def log_to_it():
        reader, writer = make()
        os.seteuid(65534)
        log = Log("bustd-test", writer)
        written, blocks = filled(log), os.get_blocking(log.fileno)
        os.seteuid(0)
        return log.fileno == writer, blocks, written, STAMPED.match(drained(reader).replace(b"\r\n", b"\n"))[1]

    is_same, blocks, written, first = in_child(log_to_it)
    assert (is_same, blocks) == (True, True), "otherwise this shows nothing"
    assert written > 0
    assert first == b"x" * 500


def test_a_child_inherits_a_descriptor_that_does_not_block():
    def make():
        _, writer = os.pipe()
        log = Log("bustd-test", writer)
        return log.fileno != writer, os.get_blocking(log.fileno), os.get_inheritable(log.fileno)

    assert in_child(make) == (True, False, False)


def test_the_system_log_gets_a_notice_of_a_daemon(tmp_path, monkeypatch):
    path = str(tmp_path / "log")
    monkeypatch.setattr(log_module, "_SYSLOG_SOCKET", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system_log:
        system_log.bind(path)

        def log_there():
            log = Log("bustd-test", syslog=syslog_socket())
            log("to the\nsystem")
            pid, record = os.getpid(), system_log.recv(500)
            return pid, record, filled(log)

        pid, record, written = in_child(log_there)
    assert record == b"<29>bustd-test[%d]: to the\\nsystem" % pid
    assert written > 0


def test_without_a_system_log_the_lines_go_where_they_would_have_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(log_module, "_SYSLOG_SOCKET", str(tmp_path / "missing"))
    with (tmp_path / "log").open("wb") as file:
        Log("bustd-test", file.fileno(), syslog=syslog_socket())("here then")
    assert STAMPED.fullmatch((tmp_path / "log").read_bytes())[1] == b"here then"


def test_a_connection_to_the_system_log_outlives_the_program_that_made_it(tmp_path, monkeypatch):
    """The serving killer inherits it: its sandbox lets it open none."""
    monkeypatch.setattr(log_module, "_SYSLOG_SOCKET", str(tmp_path / "log"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system_log:
        system_log.bind(str(tmp_path / "log"))

        def log_there():
            inherited = Socket(fileno=syslog_socket().detach())
            (tmp_path / "log").unlink()
            Log("bustd-test", syslog=inherited)("here")
            return system_log.recv(500)

        assert in_child(log_there).endswith(b": here")


def test_the_place_of_an_error_is_where_it_was_raised():
    def failing():
        raise ValueError

    try:
        failing()
    except ValueError as error:
        assert where(error) == f"{__file__}:{failing.__code__.co_firstlineno + 1}"
    assert where(ValueError("never raised")) == "an unknown place"
