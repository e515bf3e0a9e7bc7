"""The lock of `bustd run` in the background; the rest is in tests/integration/test_daemonize.py."""

import fcntl
import os

import pytest

from bustd_monitor.cli import daemonize
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
