"""The thread that reads events: it connects again, for ever, and believes only a socket that root could have made."""

import os

import pytest

from bustd_monitor.cli.events_socket import NoEvents
from bustd_monitor.cli.notifying import following
from bustd_monitor.cli.notifying.following import LONGEST_PAUSE_S, Follower, Following, is_trusted, next_pause_s
from tests.support.victims import NOBODY
from tests.unit.cli.notifying.making import ended


class Pauses:
    """Stands for the event that ends the thread: it counts the pauses, and ends after so many."""

    def __init__(self, most):
        self.most, self.seconds = most, []

    def wait(self, seconds):
        self.seconds.append(seconds)
        return len(self.seconds) > self.most


def follow(tmp_path, *connections, lasting_s: tuple[int, ...] = ()):
    """What a follower tells, and its pauses; of each connection, what comes and how it ends, and how long it lasts."""
    left = list(connections)
    lengths = [*lasting_s, *[0] * len(connections)]
    clock = iter([second for length in lengths for second in (0, length)])

    def read(_path):
        came, end = left.pop(0)
        yield from came
        if end is not None:
            raise end

    woken = []
    follower = Follower(str(tmp_path / "events"), lambda: woken.append(1), read, lambda: next(clock))
    follower._is_over = Pauses(len(connections))
    follower.follow()
    told = follower.take()
    assert len(woken) == len(told)
    assert follower.take() == []
    return told, follower._is_over.seconds


def test_pauses_grow_to_a_minute_while_nothing_is_told(tmp_path):
    nothing = ((), NoEvents())
    _, pauses = follow(tmp_path, *[nothing] * 9)
    assert pauses == [0, 1, 2, 4, 8, 16, 32, LONGEST_PAUSE_S, LONGEST_PAUSE_S, LONGEST_PAUSE_S]


def test_after_a_connection_that_lasted_the_pause_is_short_again(tmp_path):
    refused, told = ((), NoEvents()), ((ended(7),), None)
    _, pauses = follow(tmp_path, refused, refused, told, refused, lasting_s=(0, 0, LONGEST_PAUSE_S))
    assert pauses == [0, 1, 2, 1, 2]


def test_a_monitor_that_drops_its_reader_again_and_again_is_not_asked_all_the_time(tmp_path):
    heard, pauses = follow(tmp_path, *[((ended(7),), None)] * 4, lasting_s=(59,) * 4)
    assert heard == [ended(7), Following.CONNECTION_ENDED] * 4
    assert pauses == [0, 1, 2, 4, 8]


@pytest.mark.parametrize("error", [None, OSError(), TimeoutError(), NoEvents("nonsense")])
def test_however_a_connection_ends_what_it_told_is_told(tmp_path, error):
    told, _ = follow(tmp_path, ((ended(7), ended(8)), error))
    assert told == [ended(7), ended(8), Following.CONNECTION_ENDED]


def test_an_untrusted_place_is_not_even_connected_to(tmp_path, monkeypatch):
    monkeypatch.setattr(following, "is_trusted", lambda _: False)
    told, pauses = follow(tmp_path, ((ended(7),), None), ((ended(7),), None))
    assert (told, pauses) == ([], [0, 1, 2])


def test_after_stop_it_connects_no_more(tmp_path):
    follower = Follower(str(tmp_path / "events"), lambda: None, lambda _: pytest.fail("it has connected"))
    follower.stop()
    follower.follow()


def test_a_pause_of_nothing_is_followed_by_the_shortest():
    assert next_pause_s(0, 0) == next_pause_s(0, LONGEST_PAUSE_S) == 1


@pytest.mark.parametrize(
    ("mode", "trusted"), [(0o755, True), (0o700, True), (0o775, False), (0o757, False), (0o1777, False)]
)
def test_a_directory_that_others_can_write_to_is_not_trusted(tmp_path, mode, trusted):
    folder = tmp_path / "bustd"
    folder.mkdir()
    folder.chmod(mode)
    assert is_trusted(str(folder / "events")) is trusted


@pytest.mark.root
def test_a_directory_of_another_user_is_not_trusted(tmp_path):
    folder = tmp_path / "bustd"
    folder.mkdir(mode=0o755)
    os.chown(folder, NOBODY.pw_uid, NOBODY.pw_gid)
    assert not is_trusted(str(folder / "events"))


def test_a_directory_that_is_not_there_is_not_trusted(tmp_path):
    assert not is_trusted(str(tmp_path / "gone" / "events"))
