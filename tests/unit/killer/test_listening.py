"""Where the listening socket comes from: a path of its own, or the one descriptor that systemd passed."""

import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import prctl
import pytest

from bustd_killer.stage1.listening import SocketError, at_path, for_readers
from bustd_shared.daemon.packets import AF_UNIX, SOCK_SEQPACKET, Socket
from tests.unit.shared.forked import in_child

NOBODY = 65534
ACTIVATED = """
import os, sys
from bustd_killer.stage1 import listening
try:
    listener = listening.from_systemd()
except listening.SocketError as error:
    print(f"SocketError: {error}")
else:
    print(listener.getsockname(), listener.getblocking(), os.get_inheritable(listener.fileno()))
"""


def connects(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        return caller.connect_ex(str(path)) == 0


def test_the_socket_listens_does_not_block_and_is_for_its_owner_alone(tmp_path):
    path, mask = tmp_path / "killer.sock", os.umask(0)
    try:
        listener = at_path(str(path), os.geteuid())
        assert os.umask(0) == 0, "the mask is what it was"
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert connects(path)
    assert not listener.getblocking()
    assert not os.get_inheritable(listener.fileno())
    listener.accept().close()
    with pytest.raises(BlockingIOError):
        listener.accept()
    listener.close()


@pytest.mark.root
def test_the_socket_belongs_to_the_monitors_user(tmp_path):
    listener = at_path(str(tmp_path / "killer.sock"), NOBODY)
    assert (tmp_path / "killer.sock").stat().st_uid == NOBODY
    listener.close()


@pytest.mark.root
def test_root_that_may_not_give_it_away_says_what_that_takes(tmp_path):
    """Root in a container has only the capabilities that were given to it."""

    def without_chown() -> str:
        prctl.cap_effective.chown = False
        with pytest.raises(SocketError) as refused:
            at_path(str(tmp_path / "killer.sock"), NOBODY)
        return str(refused.value)

    said = in_child(without_chown)
    why = "(Operation not permitted: it takes CAP_CHOWN)"
    assert said.endswith(f"/killer.sock can't be given to uid {NOBODY}, the monitor's {why}")


def test_a_socket_that_nobody_serves_any_more_is_replaced(tmp_path):
    path = tmp_path / "killer.sock"
    at_path(str(path), os.geteuid()).close()
    assert not connects(path)
    listener = at_path(str(path), os.geteuid())
    assert connects(path)
    listener.close()


def test_a_socket_that_another_killer_serves_is_not(tmp_path):
    path = tmp_path / "killer.sock"
    listener = at_path(str(path), os.geteuid())
    with pytest.raises(SocketError, match=f"{path}.* is served by another bustd"):
        at_path(str(path), os.geteuid())
    assert connects(path)
    listener.close()


def test_a_socket_whose_queue_is_full_is_served_and_is_not_waited_for(tmp_path):
    path = tmp_path / "killer.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as busy:
        busy.bind(str(path))
        busy.listen(0)
        callers = [socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(3)]
        for caller in callers:
            caller.setblocking(False)
            full = caller.connect_ex(str(path)) == errno.EAGAIN
        assert full
        with pytest.raises(SocketError, match="is served by another bustd"):
            at_path(str(path), os.geteuid())
        for caller in callers:
            caller.close()
    assert path.exists()


def test_a_socket_that_another_program_serves_is_left_alone(tmp_path):
    path = tmp_path / "killer.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(SocketError, match="Protocol wrong type for socket"):
            at_path(str(path), os.geteuid())
    assert path.exists()


@pytest.fixture
def roots(tmp_path: Path) -> Path:
    """A directory that only root can write to, as are all above it except /tmp, which is sticky."""
    made = tmp_path / "above" / "directory"
    made.mkdir(parents=True)
    return made


@pytest.mark.root
@pytest.mark.parametrize("which", ["above", "directory"])
@pytest.mark.parametrize("how", ["another's", "a group's", "everybody's"])
def test_root_makes_no_socket_where_another_user_could_put_something_in_its_place(roots, which, how):
    other = {"directory": roots, "above": roots.parent}[which]
    if how == "another's":
        os.chown(other, NOBODY, -1)
    mode = {"another's": 0o755, "a group's": 0o775, "everybody's": 0o777}[how]
    other.chmod(mode)
    with pytest.raises(SocketError, match=f"nobody else can write to; {other} has mode {mode:04o} and owner uid "):
        at_path(str(roots / "killer.sock"), NOBODY)
    assert list(roots.iterdir()) == []


@pytest.mark.root
def test_a_sticky_directory_is_good_enough_above_but_not_for_the_socket(roots):
    roots.parent.chmod(0o1777)
    at_path(str(roots / "killer.sock"), NOBODY).close()
    roots.chmod(0o1777)
    with pytest.raises(SocketError, match="nobody else can write to"):
        at_path(str(roots / "other.sock"), NOBODY)


@pytest.mark.root
def test_a_link_to_a_directory_of_another_user_is_looked_through(roots, tmp_path):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, NOBODY, -1)
    (roots / "link").symlink_to(theirs)
    with pytest.raises(SocketError, match=f"{theirs} has mode 0755 and owner uid {NOBODY}"):
        at_path(str(roots / "link" / "killer.sock"), NOBODY)


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "killer.sock"
    path.write_text("mine")
    with pytest.raises(SocketError, match=f"{path}: Address already in use"):
        at_path(str(path), os.geteuid())
    assert path.read_text() == "mine"


def test_a_path_whose_directory_is_missing_is_a_clear_error(tmp_path):
    with pytest.raises(SocketError, match="No such file"):
        at_path(str(tmp_path / "missing/killer.sock"), os.geteuid())


def test_a_path_through_a_file_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SocketError, match="Not a directory"):
        at_path(str(tmp_path / "file/killer.sock"), os.geteuid())


def test_a_path_that_is_too_long_for_a_socket_is_a_clear_error(tmp_path):
    with pytest.raises(SocketError, match="too long"):
        at_path(str(tmp_path / ("x" * 200)), os.geteuid())


@pytest.mark.root
def test_a_directory_that_may_not_be_written_to_is_a_clear_error_and_leaves_nothing_open():
    def without_power():
        os.seteuid(NOBODY)
        before = len(list(Path("/proc/self/fd").iterdir()))
        try:
            at_path("/killer.sock", NOBODY)
        except SocketError as error:
            return str(error), len(list(Path("/proc/self/fd").iterdir())) - before
        finally:
            os.seteuid(0)

    assert in_child(without_power) == ("/killer.sock: Permission denied", 0)


# LISTEN_FDS is looked at by the process that it names, so a real one has to be started with it.


def activated(*passed: socket.socket | int, count: str | None = "1", is_for_us: bool = True) -> str:
    """What a killer that systemd starts with these descriptors makes of them."""
    reader = subprocess.PIPE
    exports = f"LISTEN_FDS={count}" if count is not None else "X=1"
    shell = f'export {exports}; export LISTEN_PID={"$$" if is_for_us else 1}; exec "$0" -c "$1"'
    for_child = [one if isinstance(one, int) else one.fileno() for one in passed]

    def arrange():
        high = [os.dup2(descriptor, 100 + at) for at, descriptor in enumerate(for_child)]
        for at, descriptor in enumerate(high):
            os.dup2(descriptor, 3 + at)

    done = subprocess.run(
        ["/bin/sh", "-c", shell, sys.executable, ACTIVATED],
        stdout=reader,
        stderr=subprocess.STDOUT,
        text=True,
        close_fds=False,
        preexec_fn=arrange,
        check=False,
    )
    return done.stdout.strip()


@pytest.fixture
def listener(tmp_path):
    made = Socket(AF_UNIX, SOCK_SEQPACKET)
    made.bind(str(tmp_path / "killer.sock"))
    made.listen(1)
    yield made
    made.close()


def test_the_one_listening_socket_that_systemd_passed_is_taken(listener, tmp_path):
    assert activated(listener) == f"{tmp_path}/killer.sock False False"


@pytest.mark.parametrize("count", ["0", "2", "", "one"])
def test_any_other_number_of_sockets_is_refused(listener, count):
    said = activated(listener, count=count)
    assert said.startswith(f"SocketError: systemd passed {count} sockets instead of one")


@pytest.mark.parametrize("how", [{"count": None}, {"is_for_us": False}])
def test_without_a_socket_for_this_very_process_it_says_how_to_get_one(listener, how):
    said = activated(listener, **how)
    assert said.startswith("SocketError: no socket: start it through bustd-killer.socket or `bustd run`")


@pytest.mark.parametrize(
    ("family", "kind", "listens"),
    [
        (socket.AF_UNIX, socket.SOCK_SEQPACKET, False),
        (socket.AF_UNIX, socket.SOCK_STREAM, True),
        (socket.AF_UNIX, socket.SOCK_DGRAM, False),
        (socket.AF_INET, socket.SOCK_STREAM, True),
    ],
)
def test_a_socket_of_another_kind_is_refused(tmp_path, family, kind, listens):
    with socket.socket(family, kind) as wrong:
        wrong.bind(str(tmp_path / "socket") if family is socket.AF_UNIX else ("127.0.0.1", 0))
        if listens:
            wrong.listen()
        said = activated(wrong)
    assert said == "SocketError: systemd passed a socket that is not a listening AF_UNIX SOCK_SEQPACKET one"


def test_a_descriptor_that_is_no_socket_is_refused(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    said = activated(descriptor)
    os.close(descriptor)
    assert said == "SocketError: systemd passed something that is no socket"


# --- for readers of events


def test_everybody_may_connect_to_the_socket_for_readers_and_its_directory_is_made(tmp_path):
    path, mask = tmp_path / "bustd" / "events", os.umask(0o077)
    try:
        listener = for_readers(str(path))
        assert os.umask(0) == 0o077, "the mask is what it was"
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert connects(path)
    assert not listener.getblocking()
    with pytest.raises(SocketError, match="is served by another bustd"):
        for_readers(str(path))
    listener.close()
    for_readers(str(path)).close()


def test_a_directory_that_is_there_stays_as_it_is(tmp_path):
    tmp_path.chmod(0o711)
    for_readers(str(tmp_path / "events")).close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o711


def test_where_no_directory_can_be_made_there_is_no_socket(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SocketError, match="Not a directory"):
        for_readers(str(tmp_path / "file" / "bustd" / "events"))
    with pytest.raises(SocketError, match="No such file"):
        for_readers(str(tmp_path / "a" / "b" / "events"))


@pytest.mark.root
def test_root_makes_no_socket_for_readers_where_another_user_can_write(roots):
    roots.chmod(0o777)
    with pytest.raises(SocketError, match="nobody else can write to"):
        for_readers(str(roots / "events"))
    assert list(roots.iterdir()) == []
