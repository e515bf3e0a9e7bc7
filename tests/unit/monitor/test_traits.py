"""What the status of a process tells of its memory, and of what SIGTERM does to it."""

import os
import signal
from pathlib import Path

import pytest

from bustd_monitor.sensing.processes import read_process
from bustd_monitor.sensing.traits import Traits, parse_traits
from tests.fakes.procfs import FakeProc, status_text

SIGTERM_ALONE, ALL_BUT_SIGTERM = 0x4000, 0x7FFF_FFFF_FFFF_BFFF


@pytest.mark.parametrize(
    ("signals", "ignores"),
    [
        ({}, False),
        ({"ignored": SIGTERM_ALONE}, True),
        ({"ignored": ALL_BUT_SIGTERM}, False),
        ({"pids": (4711, 1)}, True),
        ({"pids": (4711, 1), "caught": SIGTERM_ALONE}, False),
        ({"pids": (4711, 1), "caught": ALL_BUT_SIGTERM}, True),
        ({"pids": (4711, 12, 1)}, True),
        ({"pids": (4711, 12)}, False),
        ({"pids": (1,)}, False),
    ],
)
def test_sigterm_can_not_end_a_process_that_ignores_it_or_an_init_without_a_handler(signals, ignores):
    assert parse_traits(status_text(**signals)).ignores_sigterm is ignores


def test_where_the_kernel_does_not_tell_signals_sigterm_is_tried():
    told = status_text(ignored=SIGTERM_ALONE)
    for line in (b"SigIgn", b"SigCgt"):
        lines = [each for each in told.splitlines(keepends=True) if not each.startswith(line)]
        assert parse_traits(b"".join(lines)).ignores_sigterm is (line != b"SigIgn")


def test_this_process_and_one_that_ignores_sigterm_are_told_apart():
    before = signal.getsignal(signal.SIGTERM)
    try:
        for handler, ignores in ((signal.SIG_DFL, False), (signal.SIG_IGN, True)):
            signal.signal(signal.SIGTERM, handler)
            assert parse_traits(Path("/proc/self/status").read_bytes()).ignores_sigterm is ignores
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_text_of_its_program_is_told():
    assert parse_traits(status_text(program_kib=2800)).program_bytes == 2800 * 1024
    assert parse_traits(b"") == Traits()


STATUS = """Name:\tx
VmPeak:\t  23988 kB
VmHWM:\t  {hwm} kB
RssAnon:\t  20596 kB
VmSwap:\t      {swap} kB
Threads:\t1
"""


def memory_print(hwm: int = 21836, swap: int = 0, after: str = "") -> int:
    return parse_traits((STATUS.format(hwm=hwm, swap=swap) + after).encode()).memory_print


def test_every_line_on_memory_makes_the_print_and_no_other():
    assert memory_print() == memory_print(after="SigQ:\t0/1\n") > 0
    assert len({memory_print(), memory_print(hwm=21840), memory_print(swap=4), memory_print(swap=40)}) == 4


def test_without_these_lines_there_is_no_print():
    assert parse_traits(status_text(anonymous_kib=None)).memory_print == 0


def test_ones_own_print_is_another_than_that_of_ones_parent():
    own, parents = (parse_traits(Path(f"/proc/{pid}/status").read_bytes()) for pid in (os.getpid(), os.getppid()))
    assert own.memory_print != parents.memory_print
    assert own.program_bytes > 0


def test_of_a_zombie_leader_the_thread_that_lives_on_tells(tmp_path):
    proc = FakeProc(tmp_path)
    proc.process(10, state=b"Z", threads=3, anonymous_kib=None)
    proc.thread(10, 11, anonymous_kib=None)
    proc.thread(10, 12, anonymous_kib=1024)
    proc.write("10/task/12/status", status_text(tgid=10, anonymous_kib=1024, ignored=SIGTERM_ALONE))
    assert read_process(10, 666, proc.path).ignores_sigterm
