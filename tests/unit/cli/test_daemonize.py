"""The lock of `bustd run` in the background; the rest is in tests/integration/test_daemonize.py."""

import fcntl
import os
import socket
from pathlib import Path

import pytest

from bustd_monitor.cli import daemonize
from bustd_monitor.cli.daemonize import CannotDaemonize
from tests.unit.shared.forked import in_child

NOBODY = 65534


@pytest.mark.root
@pytest.mark.parametrize("left_by_an_older_one", [True, False])
def test_no_other_user_can_hold_the_lock_before_bustd_does(tmp_path, left_by_an_older_one):
    path = tmp_path / "bustd.pid"
    for directory in tmp_path.parents[:-2]:
        directory.chmod(0o755)
    tmp_path.chmod(0o755)
    if left_by_an_older_one:
        path.write_text("1\n")
        path.chmod(0o644)
    os.close(daemonize._locked(str(path)))

    def as_nobody() -> str:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        try:
            fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX)
        except PermissionError:
            return "refused"
        return "held"

    assert in_child(as_nobody) == "refused"


FLAGS = [os.O_RDWR, os.O_WRONLY | os.O_APPEND]


def plant(what: str, path: Path) -> None:
    target = path.with_name("target")
    target.write_text("precious")
    if what == "link":
        path.symlink_to(target)
    elif what == "dangling link":
        path.symlink_to(path.with_name("not there"))
    elif what == "second name":
        path.hardlink_to(target)
    elif what == "FIFO":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(path))
    else:
        path.mkdir()


@pytest.mark.parametrize("flags", FLAGS)
@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("link", "it is a symbolic link"),
        ("dangling link", "it is a symbolic link"),
        ("second name", "it has a second name"),
        ("FIFO", "it is no regular file"),
        ("socket", "it is no regular file"),
        ("directory", "Is a directory"),
    ],
)
def test_nothing_but_a_file_of_its_own_is_opened_in_the_place_of_its_files(tmp_path, flags, what, why):
    path = tmp_path / "file"
    plant(what, path)
    with pytest.raises(CannotDaemonize, match=f"^{path}: {why}$"):
        daemonize._opened(str(path), flags)
    assert (tmp_path / "target").read_text() == "precious"
    assert not (tmp_path / "not there").exists()


@pytest.mark.parametrize("flags", FLAGS)
def test_a_fifo_that_a_process_reads_is_none_either(tmp_path, flags):
    path = tmp_path / "file"
    plant("FIFO", path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(CannotDaemonize, match="it is no regular file"):
        daemonize._opened(str(path), flags)
    os.close(reader)


@pytest.mark.parametrize("flags", FLAGS)
def test_a_file_that_is_there_is_opened_as_it_is_and_one_that_is_not_is_made(tmp_path, flags):
    (tmp_path / "there").write_text("before\n")
    for name in ("there", "new"):
        os.close(daemonize._opened(str(tmp_path / name), flags))
    assert (tmp_path / "there").read_text() == "before\n"
    assert (tmp_path / "new").stat().st_mode & 0o137 == 0
