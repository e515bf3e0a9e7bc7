"""The readers of events, over real sockets: what each gets, who is dropped, and that none keeps the loop busy."""

import errno
import os
import resource
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from bustd_monitor import readers as readers_module
from bustd_monitor.readers import MOST_KEPT, MOST_KEPT_BYTES, MOST_READERS, PAUSE_MS, Readers
from bustd_monitor.reporting.events import DECIDED, NOT_PROTECTED, READ_AGAIN, READY, STARTED, VERBOSE
from bustd_shared.daemon.packets import AF_UNIX, SOCK_SEQPACKET, Socket
from tests.unit.shared.forked import in_child

NOW_MS = 1000
MANY = 100


class Reader:
    """The other end of a connection."""

    def __init__(self, path: Path) -> None:
        self.link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.link.setblocking(False)
        self.link.connect(str(path))

    def heard(self) -> list[bytes]:
        """What it was told since the last time; the last is b"" if the monitor has hung up."""
        packets: list[bytes] = []
        try:
            while not packets or packets[-1]:
                packets.append(self.link.recv(1 << 16))
        except BlockingIOError:
            pass
        except ConnectionResetError:
            packets.append(b"")
        return packets

    @property
    def is_in(self) -> bool:
        """Whether the monitor has not hung up; what it was told is read."""
        return b"" not in self.heard()


class Hall:
    """Readers, and who knocks."""

    def __init__(self, path: Path) -> None:
        self.path, self.stack = path, ExitStack()
        self.listener = Socket(AF_UNIX, SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(MANY)
        self.readers = Readers(self.listener)
        self.now_ms = NOW_MS

    def knock(self) -> Reader:
        made = Reader(self.path)
        self.stack.callback(made.link.close)
        return made

    def enter(self) -> Reader:
        """One that has been looked for."""
        made = self.knock()
        self.look()
        return made

    def look(self) -> None:
        self.now_ms += PAUSE_MS
        self.readers.welcome(self.now_ms)


@pytest.fixture
def hall(tmp_path) -> Iterator[Hall]:
    made = Hall(tmp_path / "events")
    yield made
    made.stack.close()
    made.readers.close()
    await_the_child()


def await_the_child() -> None:
    """Each that closes connections, if there were any to close."""
    with suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)


# --- what a reader gets


def test_every_reader_is_told_each_event_in_its_turn(hall):
    one, other = hall.enter(), hall.enter()
    hall.readers.tell(DECIDED, b"a")
    hall.readers.tell(VERBOSE, b"b")
    assert one.heard() == other.heard() == [b"a", b"b"]


def test_a_new_reader_first_gets_what_holds_and_the_last_events_oldest_first_and_none_twice(hall):
    tell = hall.readers.tell
    tell(STARTED, b"started")
    tell(NOT_PROTECTED, b"no killer")
    tell(READY, b"ready")
    assert hall.enter().heard() == [b"started", b"no killer", b"ready"]
    for number in range(MOST_KEPT):
        tell(DECIDED, b"%d" % number)
    assert hall.enter().heard() == [b"started", b"ready", *(b"%d" % number for number in range(MOST_KEPT))]
    tell(READ_AGAIN, b"read again")
    heard = hall.enter().heard()
    assert heard[0] == b"ready", "what started says does not hold any more"
    assert heard[1:] == [*(b"%d" % number for number in range(1, MOST_KEPT)), b"read again"]
    for number in range(MOST_KEPT):
        tell(DECIDED, b"%d" % number)
    assert hall.enter().heard()[:3] == [b"ready", b"read again", b"0"]


def test_what_is_kept_is_bounded_in_bytes(hall):
    packet = b"x" * 8000
    for _ in range(9):
        hall.readers.tell(DECIDED, packet[:])
    assert hall.enter().heard() == [packet] * (MOST_KEPT_BYTES // 8000)


def test_verbose_events_are_for_those_who_listen_now(hall):
    hall.readers.tell(DECIDED, b"a kill")
    for _ in range(MOST_KEPT + 1):
        hall.readers.tell(VERBOSE, b"a reading")
    assert hall.enter().heard() == [b"a kill"]


# --- who is dropped


def test_a_reader_that_does_not_keep_up_is_dropped_and_the_others_are_told(hall):
    slow, other = hall.enter(), hall.enter()
    for number in range(1000):
        hall.readers.tell(DECIDED, b"%04d" % number + b"x" * 4000)
        assert [packet[:4] for packet in other.heard()] == [b"%04d" % number]
    heard = slow.heard()
    assert 1 < len(heard) < 500 and heard[-1] == b"", "it was told so much, and then the monitor hung up"
    assert [packet[:4] for packet in heard[:-1]] == [b"%04d" % number for number in range(len(heard) - 1)]


def test_a_reader_that_is_gone_does_not_disturb_the_others(hall):
    gone, other = hall.enter(), hall.enter()
    gone.link.close()
    hall.readers.tell(DECIDED, b"a")
    hall.readers.tell(DECIDED, b"b")
    assert other.heard() == [b"a", b"b"]


def test_what_a_reader_sends_wakes_nothing_up_and_is_not_read(hall):
    reader = hall.enter()
    hall.now_ms += PAUSE_MS
    sent = 0
    with pytest.raises(BlockingIOError):
        while True:
            sent += reader.link.send(b"do something" * 100)
    assert sent > 0
    assert select.select([hall.readers.fileno(hall.now_ms)], [], [], 0)[0] == []
    hall.readers.tell(DECIDED, b"a")
    assert reader.heard() == [b"a"]


def test_there_are_sixteen_at_most_and_the_seats_of_those_that_left_are_free(hall):
    inside = [hall.enter() for _ in range(MOST_READERS)]
    late = hall.enter()
    assert not late.is_in
    assert all(reader.is_in for reader in inside)
    inside[3].link.close()
    inside[9].link.close()
    assert hall.enter().is_in and hall.enter().is_in
    assert not hall.enter().is_in


@pytest.fixture
def user(monkeypatch) -> Callable[[int], None]:
    """Whose connections are accepted from now on."""

    def is_now(uid: int) -> None:
        monkeypatch.setattr(readers_module, "_uid_of", lambda _: uid)

    return is_now


def test_one_user_can_not_keep_the_others_out(hall, user):
    user(1000)
    greedy = [hall.enter() for _ in range(MOST_READERS)]
    user(1001)
    others = [hall.enter() for _ in range(MOST_READERS)]
    assert [reader.is_in for reader in others] == [True] * 8 + [False] * 8
    assert [reader.is_in for reader in greedy] == [True] * 8 + [False] * 8, "the latest had to go"
    user(0)
    assert hall.enter().is_in
    assert sum(reader.is_in for reader in greedy + others) == MOST_READERS - 1


def test_users_with_one_reader_each_do_not_drop_each_other_but_root_gets_in(hall, user):
    inside = []
    for uid in range(1000, 1000 + MOST_READERS):
        user(uid)
        inside.append(hall.enter())
    user(2000)
    assert not hall.enter().is_in
    assert all(reader.is_in for reader in inside)
    user(0)
    root = [hall.enter() for _ in range(3)]
    assert [reader.is_in for reader in root] == [True, False, False], "nobody has more than root any more"
    assert sum(reader.is_in for reader in inside) == MOST_READERS - 1


def test_the_uid_is_what_the_kernel_says(hall):
    hall.knock()
    link = hall.listener.accept()
    assert readers_module._uid_of(link) == os.geteuid()
    link.close()


# --- nothing keeps the loop busy


def test_after_a_look_the_next_one_is_half_a_second_later(hall):
    assert hall.readers.due_ms() is None
    assert hall.readers.fileno(NOW_MS) == hall.listener.fileno()
    hall.readers.welcome(NOW_MS)
    assert hall.readers.due_ms() == NOW_MS + PAUSE_MS
    assert hall.readers.fileno(NOW_MS + PAUSE_MS - 1) == -1
    assert hall.readers.fileno(NOW_MS + PAUSE_MS) == hall.listener.fileno()
    assert hall.readers.due_ms() is None


def test_a_look_takes_no_more_connections_than_there_are_seats(hall):
    waiting = [hall.knock() for _ in range(MANY)]
    hall.look()
    hall.readers.tell(DECIDED, b"a")
    assert [reader.heard() for reader in waiting] == [[b"a"]] * MOST_READERS + [[]] * (MANY - MOST_READERS)
    hall.look()
    refused = waiting[MOST_READERS : 2 * MOST_READERS]
    assert not any(reader.is_in for reader in refused)


def test_connections_that_come_and_go_leave_nothing(hall):
    hall.readers.tell(STARTED, b"started")
    for _ in range(3 * MOST_READERS):
        hall.knock().link.close()
        hall.look()
    assert len(hall.readers._readers) <= MOST_READERS
    assert hall.enter().heard() == [b"started"]


def test_without_a_free_descriptor_nobody_gets_in_until_there_is_one(hall):
    reader = hall.knock()

    def without_descriptors() -> tuple[int, int | None]:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hall.listener.fileno() + 1, 4096))
        with pytest.raises(OSError, match="Too many open files") as caught:
            while True:
                os.dup(hall.listener.fileno())
        hall.look()
        return caught.value.errno, hall.readers.due_ms()

    assert in_child(without_descriptors) == (errno.EMFILE, hall.now_ms + 2 * PAUSE_MS)
    hall.look()
    hall.readers.tell(DECIDED, b"a")
    assert reader.heard() == [b"a"]


def test_without_a_socket_there_are_no_readers():
    none = Readers(None)
    none.tell(DECIDED, b"a")
    assert (bool(none), none.fileno(NOW_MS), none.due_ms()) == (False, -1, None)
    none.close()
