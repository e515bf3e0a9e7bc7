"""The lock of the pair that serves the whole machine, on a file of the test's own."""

import grp
import os
import select
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import prctl
import pytest

from bustd_shared.kernel import machine_lock
from bustd_shared.kernel.machine_lock import AlreadyServed, held_by_another, in_words, take
from tests.unit.shared.forked import in_child

NO_GROUP = "no such group here"

HOLDER = """
import os, sys
from bustd_shared.kernel import machine_lock
lock = machine_lock.take(sys.argv[1], "no such group here")
{then}
print("taken", flush=True)
sys.stdin.read()
"""
EXECUTE = """
os.set_inheritable(lock, True)
os.execv(sys.executable, [sys.executable, "-c", "print('taken', flush=True); import sys; sys.stdin.read()"])
"""
FORK = """
if os.fork() == 0:
    os.read(0, 1)  # until the test closes it: the descriptor of the lock stays open until then
    os._exit(0)
"""


@pytest.fixture
def path(tmp_path) -> str:
    """As root's stage 1 or tmpfiles.d has made it."""
    os.mkfifo(tmp_path / "lock", 0o600)
    return str(tmp_path / "lock")


@contextmanager
def holder(path: str, then: str = "") -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-c", HOLDER.format(then=then), path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            assert process.stdout.readline() == b"taken\n"
            yield process
        finally:
            process.kill()


def taken(path: str) -> bool:
    """Whether this process can take it; it lets it go again."""
    os.close(take(path, NO_GROUP))
    return True


def test_the_second_is_told_who_is_first(path):
    with holder(path) as first:
        with pytest.raises(AlreadyServed, match=f"a pair protects this machine already, with the killer {first.pid}: "):
            take(path, NO_GROUP)
        assert f"with the killer {first.pid}: " in held_by_another(path)


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_the_next_has_it_as_soon_as_the_first_has_ended(path, end):
    with holder(path) as first:
        getattr(first, end)()
        first.wait()
        assert held_by_another(path) == ""
        assert taken(path)


def test_an_execve_keeps_it(path):
    with holder(path, EXECUTE) as first, pytest.raises(AlreadyServed, match=f"killer {first.pid}: "):
        take(path, NO_GROUP)


def test_a_child_with_the_descriptor_does_not_keep_it(path):
    """A captured killer may start one that outlives it."""
    with holder(path, FORK) as first:
        assert held_by_another(path)
        first.kill()
        first.wait()
        assert select.select([first.stdout], [], [], 0)[0] == [], "the child has not ended"
        assert taken(path)


@pytest.mark.root
@pytest.mark.parametrize("mask", [0o000, 0o077, 0o777])
def test_root_makes_what_is_missing_for_itself_and_the_group_alone(tmp_path, mask):
    path = tmp_path / "run/bustd/lock"
    path.parent.parent.mkdir()
    before = os.umask(mask)
    try:
        os.close(take(str(path), "daemon"))
    finally:
        os.umask(before)
    found = path.stat()
    assert stat.S_ISFIFO(found.st_mode)
    assert (found.st_mode & 0o7777, found.st_uid) == (0o660, 0)
    assert found.st_gid == machine_lock.grp.getgrnam("daemon").gr_gid
    assert path.parent.stat().st_mode & 0o7777 == 0o755


@pytest.mark.root
def test_root_closes_one_that_others_could_open(tmp_path):
    """What another user can open, it can hold."""
    path = tmp_path / "lock"
    os.mkfifo(path)
    path.chmod(0o666)
    os.close(take(str(path), NO_GROUP))
    assert path.stat().st_mode & 0o7777 == 0o600


FOREIGN = 59_999
"""No group of this machine has this number."""


@pytest.mark.root
@pytest.mark.parametrize("mode", [0o660, 0o666])
def test_a_group_that_has_no_name_here_stays_and_others_are_shut_out(tmp_path, mode):
    """A container that shares the host's /run/bustd: the host's killer must still be able to open the file."""
    path = tmp_path / "lock"
    os.mkfifo(path)
    os.chown(path, 0, FOREIGN)
    path.chmod(mode)
    os.close(take(str(path), "daemon"))
    assert (path.stat().st_gid, path.stat().st_mode & 0o7777) == (FOREIGN, 0o660)


@pytest.mark.root
def test_a_group_of_this_machine_that_is_not_the_killers_is_replaced(tmp_path):
    path = tmp_path / "lock"
    os.mkfifo(path)
    os.chown(path, 0, grp.getgrnam("mail").gr_gid)
    os.close(take(str(path), "daemon"))
    assert path.stat().st_gid == grp.getgrnam("daemon").gr_gid


@pytest.mark.root
@pytest.mark.parametrize("group", ["root", "mail"])
def test_root_that_may_not_change_the_group_has_it_for_itself_alone(tmp_path, group):
    """In a container without CAP_CHOWN."""
    path = tmp_path / "lock"
    os.mkfifo(path)
    os.chown(path, 0, grp.getgrnam(group).gr_gid)

    def without_chown() -> int:
        prctl.cap_effective.chown = False
        os.close(take(str(path), "daemon"))
        return path.stat().st_mode & 0o7777

    assert in_child(without_chown) == 0o600


@pytest.mark.parametrize("what", ["file", "link", "nothing"])
def test_what_is_no_fifo_is_no_lock(tmp_path, monkeypatch, what):
    """A captured killer that holds a file open could fill its file system."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # who does not make one
    path = tmp_path / "lock"
    if what == "file":
        path.write_text("")
    elif what == "link":
        os.mkfifo(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError):
        take(str(path), NO_GROUP)
    assert held_by_another(str(path)) == ""


@pytest.mark.parametrize(
    ("cgroup", "in_pid_file", "how"),
    [
        (
            "/bustd.slice/bustd-killer.service",
            "",
            "it is bustd-killer.service, and `systemctl stop bustd-killer.service`",
        ),
        ("/user.slice/user-0.slice/session-3.scope", "77\n", "`bustd` has started it in the background, and `kill 77`"),
        (
            "/user.slice/user-0.slice/session-3.scope",
            "78\n",
            "`bustd -n` has started it in session-3.scope, and `kill 77`",
        ),
        (
            "/user.slice/user-1.slice/user@1.service/a.service",
            "",
            "`bustd -n` has started it in user@1.service, and `kill",
        ),
        ("/", "", "`bustd -n` has started it, and `kill 77`"),
    ],
)
def test_the_sentence_says_how_it_was_started_and_how_it_is_ended(tmp_path, cgroup, in_pid_file, how):
    (tmp_path / "77").mkdir()
    (tmp_path / "77/cgroup").write_text(f"0::{cgroup}\n")
    (tmp_path / "bustd.pid").write_text(in_pid_file)
    said = in_words(77, str(tmp_path), str(tmp_path / "bustd.pid"))
    assert said.startswith(f"a pair protects this machine already, with the killer 77: {how}")


def test_a_holder_in_another_pid_namespace_has_no_number():
    assert in_words(0) == "a pair that can't be seen from here protects this machine already"
