"""What swap can still relieve: of compressed swap in memory only what it would bring, from trees of files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bustd_monitor.sensing.held_file import HeldFile
from bustd_monitor.sensing.meminfo import Unfreeable, parse_swappable, parse_unfreeable
from bustd_monitor.sensing.swaps import (
    Device,
    MmStat,
    Swaps,
    parse_mm_stat,
    parse_swaps,
    usable_bytes,
    zram_name,
)
from tests.unit.monitor.making import GIB, MIB

HEADER = b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"
KIB = 1024


def line(path: str, size: float, used: float, priority: int = -2, kind: str = "partition") -> bytes:
    return (
        f"{path}                              {kind}\t{int(size) // KIB}\t\t{int(used) // KIB}\t\t{priority}\n".encode()
    )


class Tree:
    """/proc/swaps and /sys/block, as a machine would have them."""

    def __init__(self, directory: Path) -> None:
        self.proc, self.sys = directory / "proc", directory / "sys"
        self.proc.mkdir()
        self.sys.mkdir()

    def swaps(self, *lines: bytes) -> None:
        (self.proc / "swaps").write_bytes(HEADER + b"".join(lines))

    def mm_stat(self, name: str, stored: float, taken: float, limit: float = 0) -> None:
        path = self.sys / "block" / name
        path.mkdir(parents=True, exist_ok=True)
        numbers = (int(stored), int(taken) - 4096, int(taken), int(limit), int(taken), 12, 0, 3, 3)
        (path / "mm_stat").write_text(" ".join(f"{number:8}" for number in numbers) + "\n")


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path)


@pytest.fixture
def opened(tree):
    """A function that makes Swaps on the tree as it is; all of them are closed at the end."""
    made: list[Swaps] = []

    def open_one() -> Swaps:
        made.append(Swaps(str(tree.proc), str(tree.sys)))
        return made[-1]

    yield open_one
    for swaps in made:
        swaps.close()


# The files


def test_the_devices_come_in_the_order_in_which_they_are_filled():
    data = (
        HEADER
        + line("/dev/sda2", 8 * GIB, GIB)
        + line("/dev/zram0", 4 * GIB, 0, 100)
        + line("/swap", GIB, 0, 5, "file")
    )
    assert parse_swaps(data) == (
        Device(b"/dev/zram0", 4 * GIB, 0, 100),
        Device(b"/swap", GIB, 0, 5),
        Device(b"/dev/sda2", 8 * GIB, GIB, -2),
    )


@pytest.mark.parametrize(
    "data", [b"", HEADER, b"garbage\n", b"/a partition x 0 1\n", b"/a partition 5 -1 1\n", b"/a partition 5 1 --\n"]
)
def test_lines_that_make_no_sense_are_left_out(data):
    assert parse_swaps(data) == ()


def test_no_device_uses_more_than_it_has():
    assert parse_swaps(line("/a", GIB, 2 * GIB)) == (Device(b"/a", GIB, GIB, -2),)


@pytest.mark.parametrize(
    ("path", "name"),
    [(b"/dev/zram0", "zram0"), (b"/dev/zram12", "zram12"), (b"/dev/zram", ""), (b"/zramfile", ""), (b"", "")],
)
def test_a_zram_device_is_known_by_its_name(path, name):
    assert zram_name(path) == name


@pytest.mark.parametrize("data", [b"", b"1 2 3\n", b"1 2 x 4\n", b"-1 2 3 4\n"])
def test_an_mm_stat_that_makes_no_sense_is_none(data):
    assert parse_mm_stat(data) is None


def test_of_mm_stat_the_original_the_memory_that_it_takes_and_the_limit_count():
    assert parse_mm_stat(b"  1000   300   400   5000   400  1  2  3  4\n") == MmStat(1000, 400, 5000)
    assert parse_mm_stat(b"1000 300 400 0\n") == MmStat(1000, 400, 0)


# What they can relieve

ZRAM, DISK = Device(b"/dev/zram0", 4 * GIB, 0, 100), Device(b"/dev/sda2", 4 * GIB, 0, -2)


@pytest.mark.parametrize(
    ("stat", "relief"),
    [
        (MmStat(GIB, GIB // 4, 0), 3 * GIB),
        (MmStat(GIB, GIB // 2, 0), 2 * GIB),
        (MmStat(GIB, GIB, 0), 0),
        (MmStat(GIB, 2 * GIB, 0), 0),
        (MmStat(0, 0, 0), 2 * GIB),
        (MmStat(31 * MIB, MIB, 0), 2 * GIB),
        (None, 2 * GIB),
    ],
)
def test_zram_relieves_what_is_stored_less_what_that_takes(stat, relief):
    """Nothing is known of the ratio while little is stored: then the kernel's own 2:1 is assumed."""
    assert usable_bytes((ZRAM,), {ZRAM.path: stat}, 64 * GIB) == relief


@pytest.mark.parametrize(
    ("limit", "relief"), [(GIB, GIB // 2), (GIB // 2, 0), (GIB // 4, 0), (4 * GIB, 2 * GIB), (0, 2 * GIB)]
)
def test_a_limit_on_its_memory_bounds_what_zram_can_hold(limit, relief):
    assert usable_bytes((ZRAM,), {ZRAM.path: MmStat(GIB, GIB // 2, limit)}, 64 * GIB) == relief


def test_no_more_can_be_swapped_out_than_there_is_and_the_first_device_takes_it():
    stats = {ZRAM.path: MmStat(GIB, GIB // 2, 0)}
    assert usable_bytes((ZRAM, DISK), stats, 64 * GIB) == 2 * GIB + 4 * GIB
    assert usable_bytes((ZRAM, DISK), stats, 5 * GIB) == 2 * GIB + GIB
    assert usable_bytes((DISK, ZRAM), stats, 5 * GIB) == 4 * GIB + GIB // 2
    assert usable_bytes((ZRAM, DISK), stats, 0) == 0


def test_what_is_used_of_a_device_is_no_relief_any_more():
    assert usable_bytes((DISK._replace(used=3 * GIB),), {}, 64 * GIB) == GIB


@given(
    st.lists(st.tuples(st.integers(0, 2**44), st.integers(0, 2**44), st.booleans()), max_size=4),
    st.one_of(st.none(), st.builds(MmStat, *[st.integers(0, 2**44)] * 3)),
    st.integers(0, 2**44),
)
def test_the_relief_is_never_negative_nor_more_than_what_can_be_swapped_out_or_stored(sizes, stat, swappable):
    devices = tuple(Device(b"/%d" % at, size, min(used, size), 0) for at, (size, used, _) in enumerate(sizes))
    stats = {one.path: stat for one, (_, _, is_zram) in zip(devices, sizes, strict=True) if is_zram}
    free = sum(one.size - one.used for one in devices)
    assert 0 <= usable_bytes(devices, stats, swappable) <= min(free, swappable)


# The readers


def test_where_there_is_no_zram_the_smaller_of_free_swap_and_what_can_be_swapped_counts(tree, opened):
    tree.swaps(line("/dev/sda2", 8 * GIB, GIB))
    swaps = opened()
    assert swaps.usable_bytes(8 * GIB, 7 * GIB, 64 * GIB) == 7 * GIB
    assert swaps.usable_bytes(8 * GIB, 7 * GIB, 2 * GIB) == 2 * GIB


def test_zram_is_looked_at_with_each_reading(tree, opened):
    tree.swaps(line("/dev/zram0", 4 * GIB, GIB, 100))
    tree.mm_stat("zram0", GIB, GIB // 3)
    swaps = opened()
    assert swaps.usable_bytes(4 * GIB, 3 * GIB, 64 * GIB) == pytest.approx(2 * GIB, rel=0.01)
    tree.mm_stat("zram0", GIB, GIB)
    assert swaps.usable_bytes(4 * GIB, 3 * GIB, 64 * GIB) == 0
    tree.swaps(line("/dev/zram0", 4 * GIB, 4 * GIB, 100))
    tree.mm_stat("zram0", GIB, GIB // 3)
    assert swaps.usable_bytes(4 * GIB, 0, 64 * GIB) == 0


def test_zram_and_disk_are_added(tree, opened):
    tree.swaps(line("/dev/zram0", 4 * GIB, 0, 100), line("/dev/sda2", 8 * GIB, 0))
    tree.mm_stat("zram0", GIB, GIB // 4)
    assert opened().usable_bytes(12 * GIB, 12 * GIB, 64 * GIB) == 3 * GIB + 8 * GIB


def test_the_memory_that_all_zram_devices_take_is_told(tree, opened):
    tree.swaps(line("/dev/zram0", 4 * GIB, GIB, 100), line("/dev/zram1", 4 * GIB, GIB, 90))
    tree.mm_stat("zram0", GIB, GIB // 2)
    tree.mm_stat("zram1", GIB, GIB // 4)
    swaps = opened()
    swaps.usable_bytes(8 * GIB, 6 * GIB, 64 * GIB)
    assert swaps.taken_bytes == GIB // 2 + GIB // 4
    tree.swaps(line("/dev/sda2", 3 * GIB, GIB))
    swaps.usable_bytes(3 * GIB, 2 * GIB, 64 * GIB)
    assert swaps.taken_bytes == 0, "a disk takes none"


def test_swap_that_is_added_or_removed_is_found_at_the_next_reading(tree, opened):
    tree.swaps()
    swaps = opened()
    tree.swaps(line("/dev/zram0", 4 * GIB, 0, 100))
    tree.mm_stat("zram0", GIB, GIB // 2)
    assert swaps.usable_bytes(4 * GIB, 4 * GIB, 64 * GIB) == 2 * GIB
    tree.swaps(line("/dev/sda2", 3 * GIB, 0))
    assert swaps.usable_bytes(3 * GIB, 3 * GIB, 64 * GIB) == 3 * GIB
    tree.swaps(line("/dev/sda2", 3 * GIB, 0), line("/dev/zram1", 4 * GIB, 0, 100))
    tree.mm_stat("zram1", GIB, GIB // 4)
    assert swaps.usable_bytes(7 * GIB, 7 * GIB, 64 * GIB) == 6 * GIB


def test_a_zram_device_that_does_not_tell_is_taken_at_the_usual_ratio(tree, opened):
    tree.swaps(line("/dev/zram0", 4 * GIB, 0, 100))
    assert opened().usable_bytes(4 * GIB, 4 * GIB, 64 * GIB) == 2 * GIB


def test_swap_of_which_proc_swaps_once_said_nothing_is_asked_for_again(tree, opened):
    tree.swaps()
    swaps = opened()
    assert swaps.usable_bytes(4 * GIB, 4 * GIB, 64 * GIB) == 4 * GIB
    tree.swaps(line("/dev/zram0", 4 * GIB, 0, 100))
    assert swaps.usable_bytes(4 * GIB, 4 * GIB, 64 * GIB) == 2 * GIB


def test_without_proc_swaps_there_is_only_meminfo_to_go_by(opened):
    assert opened().usable_bytes(4 * GIB, 3 * GIB, 2 * GIB) == 2 * GIB


def test_this_machines_own_swap_can_be_looked_at():
    swaps = Swaps()
    assert 0 <= swaps.usable_bytes(GIB, GIB, GIB) <= GIB
    swaps.close()


# What can be swapped, and what no death frees

MEMINFO = b"""MemTotal:       16000 kB
Active:          9999 kB
Active(anon):    1000 kB
Inactive(anon):  2000 kB
Unevictable:      700 kB
AnonPages:       3000 kB
Shmem:            500 kB
ShmemHugePages:     7 kB
Hugetlb:         4096 kB
"""


def test_what_the_kernel_has_on_its_list_can_be_swapped_out():
    assert parse_swappable(MEMINFO) == 3000 * KIB


@pytest.mark.parametrize("missing", [b"Active(anon):    1000 kB\n", b"Inactive(anon):  2000 kB\n"])
def test_without_that_list_it_is_anonymous_and_shared_memory_less_what_is_locked(missing):
    assert parse_swappable(MEMINFO.replace(missing, b"")) == (3000 + 500 - 700) * KIB
    assert parse_swappable(MEMINFO.replace(missing, b"").replace(b" 700 kB", b"9700 kB")) == 0


def test_tmpfs_and_huge_pages_are_told_and_are_nothing_where_the_kernel_does_not_tell():
    assert parse_unfreeable(MEMINFO) == Unfreeable(500 * KIB, 4096 * KIB, 0, 0, 0)
    assert parse_unfreeable(b"MemTotal: 5 kB\n") == Unfreeable(0, 0, 0, 0, 0)
    assert parse_swappable(b"") == 0


# A file that is held open


def test_a_file_that_is_held_is_read_again_and_again_through_one_descriptor(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    held = HeldFile(str(path), 2)
    assert (held.is_open, held.trouble, held.read()) == (True, "", b"on")
    path.write_bytes(b"2")
    assert held.read() == b"2"
    held.close()
    assert (held.is_open, held.read()) == (False, b"")
    held.close()


def test_a_file_that_is_not_there_or_can_not_be_read_says_so(tmp_path):
    missing = HeldFile(str(tmp_path / "missing"), 9)
    assert (missing.is_open, missing.read()) == (False, b"")
    assert missing.trouble == f"{tmp_path}/missing: No such file or directory"
    directory = HeldFile(str(tmp_path), 9)
    assert (directory.is_open, directory.trouble, directory.read()) == (True, "", b"")
    assert directory.trouble == f"{tmp_path}: Is a directory"
    directory.close()
