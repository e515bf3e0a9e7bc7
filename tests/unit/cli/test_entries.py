"""Events as they are read back from the journal and from the socket."""

from __future__ import annotations

from io import BytesIO

import pytest

from bustd_monitor.cli.entries import LONGEST_FIELD_BYTES, BrokenEntry, entries
from bustd_monitor.event_log import entry
from bustd_monitor.reporting.events import ENDED, Told


def test_what_the_monitor_sends_is_read_back() -> None:
    sent = entry("bustd-monitor", "two\nlines", Told(ENDED, "", (("VICTIM_COMM", b"a=b\xff"), ("VICTIM_PID", 12))))
    (read,) = entries(BytesIO(sent))
    assert read.kind is ENDED
    assert read.message == "two\nlines"
    assert read.own("VICTIM_COMM") == "a=b\\xff"
    assert read.own_number("VICTIM_PID") == 12


def test_entries_are_apart_by_an_empty_line() -> None:
    read = list(entries(BytesIO(b"__REALTIME_TIMESTAMP=5\nBUSTD_X=1\nBUSTD_X=2\n\nMESSAGE=b\n\n")))
    assert [one.time_us for one in read] == [5, 0]
    assert read[0].all_own("X") == ["1", "2"]
    assert read[1].kind is None


def test_what_is_no_number_is_none() -> None:
    (read,) = entries(BytesIO("A=-1\nB=x\nC=²\nD=\n".encode()))
    assert [read.number(name) for name in "ABCDE"] == [None] * 5


@pytest.mark.parametrize(
    "broken",
    [
        b"MESSAGE=no end",
        b"MESSAGE\n" + (5).to_bytes(8, "little") + b"ab\n",
        b"MESSAGE\n" + (2).to_bytes(8, "little") + b"abc\n",
        b"MESSAGE\n" + (LONGEST_FIELD_BYTES + 1).to_bytes(8, "little"),
        b"A=" + b"x" * LONGEST_FIELD_BYTES + b"\n",
    ],
)
def test_broken_bytes_are_an_error(broken: bytes) -> None:
    with pytest.raises(BrokenEntry):
        list(entries(BytesIO(broken)))
