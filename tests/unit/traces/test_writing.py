"""The file of a trace: whose it is, how large it gets, and what is in it when it can't be written any further."""

import resource
from contextlib import contextmanager

import pytest

from bustd_monitor.traces.writing import Full, TraceFile


@contextmanager
def opened(path, most_bytes=1000):
    file = TraceFile(str(path), most_bytes)
    try:
        yield file
    finally:
        file.close()


@contextmanager
def largest_file(size):
    """Real files can't grow beyond this, as if the disk were full: a part of a write may still fit."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_frame_is_in_the_file_as_soon_as_it_is_written(tmp_path):
    with opened(tmp_path / "trace") as file:
        file.write(b"one")
        assert (tmp_path / "trace").read_bytes() == b"one"
        file.write(b"two")
        assert (tmp_path / "trace").read_bytes() == b"onetwo"
        assert file.size == 6


def test_only_its_owner_may_read_it(tmp_path):
    with opened(tmp_path / "trace"):
        assert (tmp_path / "trace").stat().st_mode & 0o777 == 0o600


def test_it_replaces_no_other_file_and_follows_no_link(tmp_path):
    (tmp_path / "old").write_bytes(b"precious")
    (tmp_path / "link").symlink_to("new")
    for name in ("old", "link"):
        with pytest.raises(FileExistsError):
            TraceFile(str(tmp_path / name), 1000)
    assert (tmp_path / "old").read_bytes() == b"precious"
    assert not (tmp_path / "new").exists()


def test_it_does_not_grow_beyond_its_limit(tmp_path):
    with opened(tmp_path / "trace", most_bytes=7) as file:
        file.write(b"1234")
        with pytest.raises(Full):
            file.write(b"5678")
        file.write(b"567")
    assert (tmp_path / "trace").read_bytes() == b"1234567"


def test_where_a_frame_does_not_fit_on_the_disk_the_file_ends_with_the_one_before(tmp_path):
    with opened(tmp_path / "trace") as file:
        file.write(b"whole")
        with largest_file(8), pytest.raises(OSError, match="File too large"):
            file.write(b"does not fit")
        assert (tmp_path / "trace").read_bytes() == b"whole"
        assert file.size == 5
