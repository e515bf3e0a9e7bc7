"""What the monitor of a pair says, on its way to root's log: a line a packet, escaped, and so many in a second."""

import array
import os
import re
import select
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bustd_killer.monitor_log import LINE_BYTES, LINES_PER_SECOND, MonitorLog
from bustd_shared.daemon.lines import Lines
from bustd_shared.daemon.packets import Socket

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d "


class Copied:
    """The monitor's end, and what comes of it in a file."""

    def __init__(self, file: int, path: Path) -> None:
        link, self.monitor = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.monitor.setblocking(False)
        self._link = Socket(fileno=link.detach())
        self.log = MonitorLog(self._link, Lines("bustd-monitor", file), now_ms=0)
        self.path = path

    def says(self, *packets: bytes) -> None:
        for packet in packets:
            self.monitor.send(packet)

    def copies(self, now_ms: int = 0) -> list[str]:
        """Everything that may be copied at this moment: the log's new lines without their stamps."""
        before = len(self.path.read_text().splitlines())
        while self.log.copy(now_ms):
            pass
        lines = self.path.read_text().splitlines()[before:]
        assert all(re.match(STAMP, line) for line in lines)
        return [re.sub(f"^{STAMP}", "", line) for line in lines]

    def waits(self, now_ms: int = 0) -> tuple[bool, int | None]:
        """Whether poll(2) would end because of it, and when it is to be looked at in any case."""
        poll = select.poll()
        due_ms = self.log.watch(poll, now_ms)
        return bool(poll.poll(0)), due_ms

    def close(self) -> None:
        self.monitor.close()
        self._link.close()


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[Copied]:
    path = tmp_path / "log"
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    made = Copied(file, path)
    yield made
    made.close()
    os.close(file)


def test_a_line_looks_as_if_the_monitor_had_written_it_to_the_log_itself(copied: Copied) -> None:
    copied.says(b"bustd-monitor: memory is locked\n")
    assert copied.waits() == (True, None)
    assert copied.copies() == ["bustd-monitor: memory is locked"]
    assert copied.waits() == (False, None)


def test_what_it_says_by_another_name_is_the_monitors_all_the_same(copied: Copied) -> None:
    copied.says(b"bustd-killer: signalled SIGKILL to 1\n", b"", b"after the end")
    assert copied.copies() == ["bustd-monitor: bustd-killer: signalled SIGKILL to 1"]


@pytest.mark.parametrize(
    ("packet", "line"),
    [
        (b"one\n2026-01-01 00:00:00 bustd-killer: two\n", r"one\n2026-01-01 00:00:00 bustd-killer: two"),
        (b"\x1b]0;title\x07\r\x00", r"\x1b]0;title\x07\r\x00"),
        (b"\xff\xfe \xc3\xa4", r"\xff\xfe ä"),
        ("\u202e\U0001f600".encode(), r"\u202e😀"),
        (b"\n", ""),
    ],
)
def test_no_packet_is_more_than_one_line_or_disturbs_a_terminal(copied: Copied, packet: bytes, line: str) -> None:
    copied.says(packet)
    assert copied.copies() == [f"bustd-monitor: {line}"]


def test_a_line_that_is_too_long_is_cut_off_and_says_so(copied: Copied) -> None:
    copied.says(b"x" * (LINE_BYTES + 1), b"y" * LINE_BYTES)
    assert copied.copies() == [f"bustd-monitor: {'x' * LINE_BYTES} (cut off)", f"bustd-monitor: {'y' * LINE_BYTES}"]


def test_no_more_lines_than_that_are_copied_in_a_second_and_the_rest_waits(copied: Copied) -> None:
    copied.says(*(b"line %d\n" % number for number in range(3 * LINES_PER_SECOND)))
    assert len(copied.copies(0)) == LINES_PER_SECOND
    assert copied.waits(0) == (False, 1000 // LINES_PER_SECOND)
    assert copied.copies(0) == []
    assert copied.copies(50) == [f"bustd-monitor: line {LINES_PER_SECOND}"]
    assert len(copied.copies(1000)) == LINES_PER_SECOND - 1
    assert copied.copies(60_000)[-1] == f"bustd-monitor: line {3 * LINES_PER_SECOND - 1}"


def test_only_what_is_copied_counts(copied: Copied) -> None:
    for _ in range(2 * LINES_PER_SECOND):
        assert not copied.log.copy(0)
    copied.says(*[b"line"] * LINES_PER_SECOND)
    assert len(copied.copies(0)) == LINES_PER_SECOND


def test_when_no_process_has_the_other_end_what_is_left_is_copied_and_nothing_watched(copied: Copied) -> None:
    copied.says(b"the last line")
    copied.monitor.close()
    assert copied.copies() == ["bustd-monitor: the last line"]
    assert copied.waits() == (False, None)
    assert not copied.log.copy(0)


def test_descriptors_that_come_with_a_line_are_not_taken(copied: Copied, tmp_path: Path) -> None:
    with (tmp_path / "passed").open("w") as passed:
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [passed.fileno()]).tobytes())
        copied.monitor.sendmsg([b"take this"], [rights])
        before = opened()
        assert copied.copies() == ["bustd-monitor: take this"]
        assert opened() == before


def opened() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}
