"""The memory of a control group: limits of its own and of those above it, and what it can still have."""

import errno
import os
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from bustd_shared.kernel.cgroup_memory import NO_LIMIT, GroupFiles, Level, combined, parse_amount, parse_stat
from bustd_shared.kernel.procfs import Meminfo
from tests.fakes.cgroupfs import FakeHierarchy
from tests.fakes.procfs import FakeProc

MIB, GIB = 2**20, 2**30
RAM = 16 * GIB
MACHINE = Meminfo(RAM, 8 * GIB, 12 * GIB, 2 * GIB, 4 * GIB, 3 * GIB)
PAGE = os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def tree(tmp_path):
    """A machine of 16 GiB with 4 GiB of swap, and the group /a/b of 1 GiB on it."""
    proc = FakeProc(tmp_path)
    swap = {"swap_total_kib": 4 * 2**20, "swap_free_kib": 3 * 2**20}
    proc.meminfo(total_kib=16 * 2**20, available_kib=12 * 2**20, **swap)
    made = FakeHierarchy(tmp_path)
    made.memory("/a")
    made.memory("/a/b", limit=GIB, current=600 * MIB, anon=400 * MIB, inactive_file=150 * MIB)
    return made


@pytest.fixture
def opened(tree):
    with closing(GroupFiles(tree.path, "/a/b", str(tree.directory.parent / "proc"))) as files:
        yield files


# Parsers


@pytest.mark.parametrize(
    ("data", "amount"),
    [(b"0\n", 0), (b"1073741824\n", GIB), (b"max\n", NO_LIMIT), (b"9" * 20, NO_LIMIT), (b"", None), (b"-1\n", None)],
)
def test_an_amount_is_a_number_of_bytes_or_max(data, amount):
    assert parse_amount(data) == amount


def test_of_memory_stat_the_lines_are_taken_by_their_whole_names():
    stat = parse_stat(
        b"anon 1\nfile 999\nshmem 2\ninactive_anon 10\nactive_anon 20\ninactive_file 100\nactive_file 200\n"
        b"slab_reclaimable 3\nslab 999\nworkingset_refault_anon 4\nworkingset_refault_file 5\npgsteal 6\npgsteal_x 9\n"
    )
    assert stat == (1, 2, 300, 3, 30, 4 * PAGE, 5 * PAGE, 6 * PAGE)


def test_an_older_kernel_counts_refaults_of_files_alone():
    assert parse_stat(b"anon 1\nworkingset_refault 5\n").refaults_file == 5 * PAGE


@pytest.mark.parametrize("data", [b"", b"file 1\n", b"anon\n", b"anon x\n", b"anon_thp 5\n"])
def test_a_stat_without_anonymous_memory_is_none(data):
    assert parse_stat(data) is None


# What is available


def test_the_page_cache_and_slab_that_can_be_reclaimed_are_available():
    assert Level(GIB, 900 * MIB, 300 * MIB).available == GIB - 600 * MIB


def test_above_memory_high_nothing_is_available_and_never_more_than_the_limit():
    assert Level(GIB, GIB + 100 * MIB, 50 * MIB).available == 0
    assert Level(GIB, 10 * MIB, 300 * MIB).available == GIB


def test_the_limit_that_counts_is_that_of_the_level_where_the_least_is_left():
    own, above = Level(4 * GIB, GIB, 0), Level(8 * GIB, 7 * GIB + 512 * MIB, 0)
    memory = combined((own, above), GIB, MACHINE)
    assert (memory.total, memory.free, memory.available) == (8 * GIB, 512 * MIB, 512 * MIB)
    assert memory.anonymous == GIB


def test_of_swap_counts_what_no_level_forbids():
    levels = Level(GIB, 0, 0, 2 * GIB, GIB), Level(GIB, 0, 0, GIB, 900 * MIB)
    memory = combined(levels, 0, MACHINE)
    assert (memory.swap_total, memory.swap_free) == (GIB, 124 * MIB)
    memory = combined((Level(GIB, 0),), 0, MACHINE)
    assert (memory.swap_total, memory.swap_free) == (4 * GIB, 3 * GIB)
    assert combined((Level(GIB, 0, 0, 0, 0),), 0, MACHINE)[4:] == (0, 0)


# Readings


def test_a_reading_is_of_the_group_and_not_of_the_machine(opened):
    memory = opened.read()
    assert memory.meminfo[:4] == (GIB, 424 * MIB, 574 * MIB, 400 * MIB)
    assert (memory.stat.anonymous, memory.pressure.some_avg10) == (400 * MIB, 0.0)


def test_memory_high_is_a_limit_like_memory_max(tree, opened):
    tree.memory("/a/b", limit=GIB, high=700 * MIB, current=600 * MIB)
    assert opened.read().meminfo[:3] == (700 * MIB, 100 * MIB, 100 * MIB)


def test_a_group_that_may_have_nothing_has_a_total_that_shares_can_be_taken_of(tree, opened):
    tree.memory("/a/b", limit=0, current=MIB, anon=MIB)
    meminfo = opened.read().meminfo
    assert (meminfo.total, meminfo.free, meminfo.available, meminfo.user_space) == (1, 0, 0, 1)


def test_a_limit_that_changes_under_way_counts_at_the_next_reading(tree, opened):
    assert opened.read().meminfo.total == GIB
    tree.memory("/a/b", limit=2 * GIB, current=600 * MIB)
    assert opened.read().meminfo.total == 2 * GIB
    tree.memory("/a/b", current=600 * MIB)
    assert opened.read().meminfo.total == RAM


def test_a_limit_above_counts_with_all_that_is_used_below_it(tree, opened):
    tree.memory("/a", limit=2 * GIB, current=1900 * MIB, anon=1900 * MIB, inactive_file=48 * MIB)
    memory = opened.read()
    assert (memory.meminfo.total, memory.meminfo.available) == (2 * GIB, 196 * MIB)
    assert memory.stat.anonymous == 400 * MIB, "the rest is its siblings'"


def test_what_a_group_above_without_a_limit_uses_does_not_count(tree, opened):
    tree.memory("/a", current=RAM - 100 * MIB, anon=15 * GIB, swap_limit=GIB, swap_current=1000 * MIB)
    memory = opened.read()
    assert memory.meminfo.available == 574 * MIB
    assert memory.meminfo.swap_free == 24 * MIB, "but its limit of swap does"


def test_while_much_is_not_used_at_all_nothing_else_is_read(tree, opened):
    (tree.directory / "a/b/memory.stat").write_text("garbage")
    memory = opened.read(40)
    assert (memory.stat, memory.pressure) == (None, None)
    assert memory.meminfo == (GIB, 424 * MIB, 424 * MIB, 600 * MIB, 0, 0)
    assert opened.read(42) is None, "so little is not enough: then everything must make sense"


def test_a_limit_above_that_is_nearly_used_up_has_everything_read(tree, opened):
    tree.memory("/a", limit=2 * GIB, current=1900 * MIB, anon=1900 * MIB)
    assert opened.read(40).stat is not None


def test_no_descriptor_is_needed_for_a_reading(opened, monkeypatch):
    def refuse(*_args, **_how):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "open", refuse)
    memory = opened.read()
    monkeypatch.undo()
    assert memory.meminfo.total == GIB


def test_pressure_that_can_not_be_read_is_none(tree, opened):
    (tree.directory / "a/b/memory.pressure").write_text("")
    assert opened.read().pressure is None


def test_a_group_that_goes_is_no_reading_and_one_of_its_name_is_found_when_it_comes(tree, opened, monkeypatch):
    real, gone = os.pread, True

    def pread(fileno, size, offset):  # what the kernel says on the old descriptors (kernfs)
        if gone and "/a/b/" in str(Path(f"/proc/self/fd/{fileno}").readlink()):
            raise OSError(errno.ENODEV, "No such device")
        return real(fileno, size, offset)

    monkeypatch.setattr(os, "pread", pread)
    shutil.rmtree(tree.directory / "a/b")
    assert opened.read() is None
    assert not opened.is_there
    gone = False
    tree.memory("/a/b", limit=3 * GIB)
    assert opened.read().meminfo.total == 3 * GIB
    assert opened.is_there


def test_a_meminfo_that_makes_no_sense_says_nothing_of_the_group(tree, opened):
    (tree.directory.parent / "proc/meminfo").write_text("garbage")
    assert opened.read() is None
    assert opened.is_there
