"""/proc/PID/stat and status: what becomes of names that try to look like the rest of the line, and of the dead."""

import os
from pathlib import Path

import pytest

from bustd_shared.kernel.procfs import PF_KTHREAD, Stat, parse_stat, parse_status
from tests.fakes.procfs import stat_line, status_text
from tests.unit.shared.forked import in_child

NASTY_NAMES = [
    b"leak",
    b"a b  c",
    b"foo) Z 1 1 1",
    b") R 1 1 (",
    b"((((",
    b"))))",
    b"new\nline",
    b"tab\tbell\x07",
    b"\xff\xfe\x80",
    b")",
    b" ",
]


@pytest.mark.parametrize("comm", NASTY_NAMES)
def test_a_name_never_passes_for_another_field(comm):
    line = stat_line(812, comm, state=b"R", parent=7, group=8, flags=0x40, threads=3, start_ticks=48210)
    assert parse_stat(line) == Stat(comm, b"R", 7, 8, 8, 0x40, 3, 48210)


@pytest.mark.parametrize("comm", [name for name in NASTY_NAMES if len(name) <= 15])
def test_a_real_process_with_such_a_name_is_read_as_it_is(comm):
    def read_self():
        Path("/proc/self/comm").write_bytes(comm)
        stat = parse_stat(Path("/proc/self/stat").read_bytes())
        return stat, (os.getppid(), os.getpgrp(), os.getsid(0))

    stat, (parent, group, session) = in_child(read_self)
    assert (stat.comm, stat.state, stat.threads) == (comm, b"R", 1)
    assert (stat.parent, stat.group, stat.session) == (parent, group, session)
    assert stat.start_ticks > 0
    assert not stat.is_kernel_thread


def test_a_kernel_thread_is_known_by_its_flag_and_not_by_its_name():
    assert parse_stat(stat_line(2, b"kthreadd", flags=0x208040)).is_kernel_thread
    assert not parse_stat(stat_line(2, b"kthreadd", flags=0x208040 & ~PF_KTHREAD)).is_kernel_thread


def test_the_kernels_own_thread_2_is_a_kernel_thread_where_it_can_be_seen():
    path = Path("/proc/2/stat")
    if not path.exists():
        pytest.skip("a container does not show the kernel's threads")
    assert parse_stat(path.read_bytes()).is_kernel_thread


@pytest.mark.parametrize(
    ("state", "threads", "is_dead"),
    [(b"Z", 1, True), (b"Z", 0, True), (b"Z", 2, False), (b"X", 3, True), (b"x", 1, True), (b"D", 1, False)],
)
def test_a_zombie_is_dead_unless_other_threads_of_it_live_on(state, threads, is_dead):
    assert parse_stat(stat_line(5, state=state, threads=threads)).is_dead is is_dead


def test_the_group_of_a_process_that_is_being_reaped_is_minus_one():
    assert parse_stat(stat_line(5, state=b"X", group=-1)).group == -1


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"812",
        b"812 (leak",
        b"812 leak) S 1 1",
        b") S 1 1 1 0 (",
        b"(leak) " + stat_line(812).partition(b") ")[2],  # no PID before the name
        b"812 (leak) S " + b"0 " * 18,  # one field too few
        stat_line(812).replace(b" 1000 ", b" x ", 1),
        stat_line(812).replace(b" 1000 ", b" -1 ", 1),
        stat_line(812).replace(b" 1000 ", b" %d " % 2**63, 1),
        stat_line(812).replace(b" 1000 ", b" 1_000 ", 1),
        stat_line(812, flags=0x40).replace(b" 64 ", b" 0x40 ", 1),
    ],
)
def test_a_stat_file_that_makes_no_sense_is_none(data):
    assert parse_stat(data) is None


def test_a_name_may_be_empty():
    assert parse_stat(stat_line(812, b"")).comm == b""


def test_held_bytes_are_anonymous_memory_swap_and_page_tables_and_not_what_is_shared():
    status = parse_status(status_text(uid=1000, anonymous_kib=100, swap_kib=23, tables_kib=7, shared_kib=999_999))
    assert (status.uid, status.held_bytes, status.shared_bytes) == (1000, 130 * 1024, 999_999 * 1024)


def test_swap_that_is_not_told_counts_as_none():
    without_swap = b"\n".join(line for line in status_text(anonymous_kib=7).splitlines() if b"VmSwap" not in line)
    assert parse_status(without_swap).held_bytes == 7 * 1024


def test_a_process_without_memory_holds_none_which_is_not_zero():
    assert parse_status(status_text(anonymous_kib=None)).held_bytes is None
    assert parse_status(status_text(anonymous_kib=0)).held_bytes == 0


def test_the_effective_uid_counts():
    data = status_text().replace(b"Uid:\t1000\t1000", b"Uid:\t1000\t0", 1)
    assert (parse_status(data).uid, parse_status(data).uids) == (0, (1000, 0, 1000, 1000))


def test_a_name_can_not_pass_for_a_uid_or_for_memory():
    status = parse_status(status_text(b"x\nUid:\t0\t0\nRssAnon: 9 kB", uid=1000, anonymous_kib=5))
    assert (status.uid, status.held_bytes) == (1000, 5 * 1024)


def test_ones_own_status_is_read_as_it_is():
    status = parse_status(Path("/proc/self/status").read_bytes())
    assert status.uid == os.geteuid()
    assert 2**20 < status.held_bytes < 2**34


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"Name:\tleak\n",
        b"Name:\tleak\nUid:",
        b"Name:\tleak\nUid:\t1000\n",
        b"Name:\tleak\nUid:\t0\t0\t0\n",
        b"Name:\tleak\nUid:\tx\ty\tz\tx\n",
        b"Name:\tleak\nUid:\t0\t0\t0\tx\n",
        b"Name:\tleak\nUid:\t-1\t-1\t-1\t-1\n",
        b"Name:\tleak\nUid:\t0\t4294967296\t0\t0\n",
        b"Name:\tleak\nUid:\t0\t0\t0\t4294967296\n",
    ],
)
def test_a_status_file_without_a_uid_that_makes_sense_is_none(data):
    assert parse_status(data) is None
