"""Connecting to a listening killer, and again when it is lost: at once, and then with growing delay."""

import errno
import os
import socket

import pytest

from bustd_monitor import client as client_module
from bustd_monitor.client import Client, Lost
from bustd_protocol import codec, limits
from bustd_shared.daemon.packets import Socket
from tests.unit.monitor.making import killer_hello

DELAYS_MS = [0, 100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]


class Killer:
    """A listening socket, and the connection that was accepted last."""

    def __init__(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(1)
        self.link: socket.socket | None = None

    def meet(self, client: Client) -> None:
        """Accept the client, hear its Hello and answer it."""
        self.hang_up()
        self.link = self.listener.accept()[0]
        hello = codec.decode(self.link.recv(4096))
        self.link.send(codec.encode(killer_hello(hello.id)))
        assert client.receive() == killer_hello(hello.id)

    def accept_hello(self) -> object:
        """Accept whatever client comes, and answer its Hello."""
        self.hang_up()
        self.link = self.listener.accept()[0]
        hello = codec.decode(self.link.recv(4096))
        self.link.send(codec.encode(killer_hello(hello.id)))
        return hello

    def hang_up(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None

    def close(self) -> None:
        self.hang_up()
        self.listener.close()


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "killer.sock")


@pytest.fixture
def killer(path):
    made = Killer(path)
    yield made
    made.close()


@pytest.fixture
def client(path):
    made = Client(path)
    yield made
    made.lose(0, "the test is over")


def lost(client: Client) -> None:
    with pytest.raises(Lost):
        client.receive()


def test_it_connects_and_says_hello_and_nothing_of_it_blocks_or_is_inherited(client, killer):
    assert client.keep(0) == ""
    killer.meet(client)
    assert client.is_ready
    assert not client.is_pair
    assert not os.get_blocking(client.fileno())
    assert not os.get_inheritable(client.fileno())


def test_without_a_killer_the_reason_and_the_next_attempt_are_said(client, path):
    assert client.keep(0) == f"{path}: No such file or directory (next attempt in 0 ms)"
    assert client.keep(0) == f"{path}: No such file or directory (next attempt in 100 ms)"
    assert (client.fileno(), client.is_ready) == (-1, False)


def test_the_delay_between_attempts_grows_up_to_ten_seconds(client):
    now_ms, delays_ms = 1000, []
    for _ in DELAYS_MS:
        assert client.keep(now_ms) != "", "an attempt, and it failed"
        delays_ms.append(client.due_ms() - now_ms)
        if delays_ms[-1]:
            assert client.keep(client.due_ms() - 1) == "", "not before its time"
        now_ms = client.due_ms()
    assert delays_ms == DELAYS_MS


def test_a_killer_that_comes_up_later_is_found(client, path):
    assert client.keep(0) != ""
    killer = Killer(path)
    assert client.keep(0) == ""
    killer.meet(client)
    assert client.is_ready
    killer.close()


def test_after_a_connection_that_lasted_the_next_attempt_is_made_at_once(client, killer):
    for now_ms in (0, 60_000, 120_000):
        assert client.keep(now_ms) == ""
        killer.meet(client)
        killer.hang_up()
        lost(client)
        assert client.lose(now_ms + 59_999, "gone") == "gone (next attempt in 0 ms)"


def test_a_killer_that_says_hello_and_hangs_up_is_not_called_without_a_pause(client, killer):
    now_ms, delays_ms = 0, []
    for _ in range(6):
        assert client.keep(now_ms) == ""
        killer.meet(client)
        killer.hang_up()
        lost(client)
        client.lose(now_ms, "gone")
        delays_ms.append(client.due_ms() - now_ms)
        now_ms = client.due_ms()
    assert delays_ms == DELAYS_MS[:6]


def test_a_killer_that_accepts_and_never_answers_is_not_called_without_a_pause(client, killer):
    now_ms = 0
    for delay_ms in DELAYS_MS[:3]:
        assert client.keep(now_ms) == ""
        due_ms = client.due_ms()
        assert due_ms == now_ms + 30_000
        assert client.keep(due_ms) == f"it did not answer Hello (next attempt in {delay_ms} ms)"
        now_ms = client.due_ms()
        killer.listener.accept()[0].close()


def test_a_killer_whose_backlog_is_full_is_not_waited_for(client, killer, path):
    others = []
    for _ in range(10):
        other = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        other.setblocking(False)
        others.append(other)
        if other.connect_ex(path) != 0:
            break
    assert "temporarily unavailable" in client.keep(0)
    for other in others:
        other.close()


def test_a_socket_of_another_kind_is_a_failure_as_any_other(client, path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        stream.bind(path)
        stream.listen()
        assert "wrong type" in client.keep(0)


def test_a_path_that_is_too_long_is_a_failure_as_any_other():
    client = Client("/" + "x" * 200)
    assert "too long" in client.keep(0)
    assert client.fileno() == -1


def test_a_new_connection_begins_a_new_session(client, killer):
    client.keep(0)
    killer.meet(client)
    client.lose(0, "gone")
    assert not client.is_ready
    assert client.keep(client.due_ms()) == ""
    assert not client.is_ready
    killer.meet(client)
    assert client.is_ready


def test_when_memory_gets_short_the_next_attempt_is_a_tenth_of_a_second_away_at_most(tmp_path):
    client, now_ms = Client(str(tmp_path / "nobody-listens")), 0
    for _ in DELAYS_MS:
        now_ms = client.due_ms()
        client.keep(now_ms)
    assert client.due_ms() == now_ms + 10_000
    client.hurry(now_ms)
    assert client.due_ms() == now_ms + 100
    client.hurry(now_ms + 50)
    assert client.due_ms() == now_ms + 100


def test_while_memory_stays_short_the_attempts_to_connect_become_rarer_and_a_second_apart_at_most(tmp_path):
    client, now_ms, delays_ms = Client(str(tmp_path / "nobody-listens")), 0, []
    for _ in range(12):
        client.hurry(now_ms)  # as the loop does at each reading
        now_ms = client.due_ms()
        client.keep(now_ms)
        client.hurry(now_ms)
        delays_ms.append(client.due_ms() - now_ms)
    assert delays_ms[-6:] == [1000] * 6
    assert max(delays_ms[:3]) <= 400


def test_a_socket_that_it_may_not_connect_to_and_a_lack_of_descriptors_are_said_as_what_they_are(tmp_path, monkeypatch):
    client = Client(str(tmp_path / "socket"))

    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Socket, "connect", refuse)
    assert "Permission denied: it is there, and only peer.user of killer.toml may connect" in client.keep(0)

    def exhausted(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(client_module, "Socket", exhausted)
    assert client.keep(client.due_ms()).startswith("no socket to call it with: Too many open files")


def test_what_a_killer_owed_another_need_not_answer(client, killer):
    client.keep(0)
    killer.meet(client)
    client.ping(0, 100)
    client.ping(100, 100)
    assert client.due_ms() == 100 + limits.VERDICT_DEADLINE_MS
    assert client.is_overdue(100 + limits.VERDICT_DEADLINE_MS)
    client.lose(5000, "it does not answer")
    client.keep(5000)
    killer.meet(client)
    assert not client.is_overdue(10**9)
    assert client.due_ms() is None
