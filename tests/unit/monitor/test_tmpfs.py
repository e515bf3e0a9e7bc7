"""What files of tmpfs and segments of System V hold: which mounts are asked, and what each segment counts."""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from bustd_monitor.sensing.tmpfs import Tmpfs, parse_mounts, parse_segments
from tests.fakes.procfs import FakeProc

MIB = 2**20
MOUNTS = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
25 24 0:23 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw,size=24684092k
29 27 0:27 / /mnt/a\040b\134c rw,relatime shared:9 master:3 - tmpfs none rw
30 27 0:28 / /net rw,relatime - nfs4 server:/net rw
31 30 0:29 / /net/cache rw,relatime - tmpfs tmpfs rw
32 27 0:30 / /netto rw,relatime - tmpfs tmpfs rw
33 27 0:23 /x /srv/shm rw,relatime - tmpfs tmpfs rw
34 27 0:31 / /run/user/1000/doc rw - fuse.portal portal rw
"""
SEGMENTS = b"""  key  shmid perms    size  cpid  lpid nattch   uid   gid  cuid  cgid  atime  dtime  ctime  rss   swap
         0          1   600    4194304   100   101      2     0     0     0     0      1      0      1 3145728  4096
      4711          2  1600    8388608   100   101      2     0     0     0     0      1      0      1 8388608     0
        12          3  2644    1048576   100   101      0     0     0     0     0      1      0      1   65536     0
"""


def test_each_tmpfs_is_asked_once_wherever_it_is_mounted():
    assert parse_mounts(MOUNTS) == [
        (b"/dev/shm", os.makedev(0, 23)),
        (b"/mnt/a b\\c", os.makedev(0, 27)),
        (b"/netto", os.makedev(0, 30)),
    ]


def test_a_tmpfs_below_a_file_system_that_may_never_answer_is_not_asked():
    assert b"/net/cache" not in [point for point, _ in parse_mounts(MOUNTS)]
    fuse = b"1 1 0:5 / /f rw - fuse.sshfs s rw\n2 1 0:6 / /f/g/t rw - tmpfs t rw\n"
    assert parse_mounts(fuse) == []
    assert parse_mounts(fuse.replace(b"fuse.sshfs", b"xfs")) == [(b"/f/g/t", os.makedev(0, 6))]


def test_a_tmpfs_that_its_user_has_covered_with_one_that_may_never_answer_is_not_asked():
    """What lies on it, and not over it, is in nobody's way."""
    users = b"1 1 0:5 / /run/user/9 rw - tmpfs t rw\n2 1 0:6 / /run/user/9%s rw - fuse.hangs h rw\n"
    assert parse_mounts(users % b"") == []
    assert parse_mounts(users % b"/doc") == [(b"/run/user/9", os.makedev(0, 5))]


HUGE = b"1 2 0:99999999999 / /t rw - tmpfs t rw\n"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"- - -", b"1 2 x:y / /t rw - tmpfs t rw\n", HUGE, b"\xff" * 100])
def test_mounts_that_make_no_sense_are_none(data):
    assert parse_mounts(data) == []


def test_a_backslash_before_what_is_not_octal_is_one():
    assert parse_mounts(rb"1 2 0:5 / /t\080\12 rw - tmpfs t rw") == [(rb"/t\080\12", os.makedev(0, 5))]


def test_no_segment_takes_from_the_sum_of_the_others():
    assert parse_segments(SEGMENTS.replace(b"  65536 ", b" -65536 ")) == 3 * MIB


def test_a_segment_counts_what_of_it_is_in_memory_unless_it_goes_with_its_processes():
    assert parse_segments(SEGMENTS) == 3145728 + 65536


@pytest.mark.parametrize("data", [b"", SEGMENTS.partition(b"\n")[0], b"key\n1 2 3\n", b"key\n" + b"x " * 16])
def test_segments_that_make_no_sense_hold_nothing(data):
    assert parse_segments(data) == 0


def test_a_file_in_a_tmpfs_counts_and_a_memfd_does_not(tmp_path):
    held = Tmpfs()
    try:
        before = held.held_bytes()
        file = Path("/dev/shm") / f"bustd-test-{os.getpid()}"
        if not Path("/dev/shm").is_dir() or shutil.disk_usage("/dev/shm").free < 64 * MIB:
            pytest.skip("there is no /dev/shm with room")
        try:
            file.write_bytes(bytes(16 * MIB))
            assert 14 * MIB <= held.held_bytes() - before <= 40 * MIB
            assert Path(os.fsdecode(held.fullest)).is_mount()
        finally:
            file.unlink(missing_ok=True)
        assert held.held_bytes() - before < 12 * MIB
        memfd = os.memfd_create("bustd-test")
        try:
            os.write(memfd, bytes(16 * MIB))
            assert held.held_bytes() - before < 12 * MIB
        finally:
            os.close(memfd)
    finally:
        held.close()


def test_a_mount_that_its_path_does_not_lead_to_is_not_asked(tmp_path):
    proc = FakeProc(tmp_path)
    (tmp_path / "t").mkdir()
    proc.write("self/mountinfo", b"1 1 0:6 / %s rw - tmpfs t rw\n" % bytes(tmp_path / "t"))
    held = Tmpfs(proc.path)
    try:
        assert held.held_bytes() == 0
    finally:
        held.close()


def test_the_fullest_is_the_one_that_holds_most_now(tmp_path, monkeypatch):
    used = {b"/a": 2, b"/b": 3}
    found = Tmpfs(str(tmp_path))
    found._points = list(used)
    monkeypatch.setattr(os, "statvfs", lambda at: SimpleNamespace(f_blocks=used[at], f_bfree=0, f_frsize=4096))
    assert (found.held_bytes(), found.fullest) == (5 * 4096, b"/b")
    used |= {b"/b": 1}
    assert (found.held_bytes(), found.fullest) == (3 * 4096, b"/a")
    used |= {b"/a": 0, b"/b": 0}
    assert (found.held_bytes(), found.fullest) == (0, b"")
    found.close()


def test_without_any_of_these_files_nothing_is_known(tmp_path):
    held = Tmpfs(str(tmp_path))
    assert (held.held_bytes(), held.fullest) == (0, b"")
    held.close()
