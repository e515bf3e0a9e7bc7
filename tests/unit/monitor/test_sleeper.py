"""What ends the monitor's sleep. A sleep that nothing ends would fail the test by its length: none is waited out."""

import os
import select
import signal
import socket

import pytest

from bustd_monitor.deciding.events import Warned
from bustd_monitor.sensing.triggers import Triggers
from bustd_monitor.sleeper import Sleeper
from tests.support.signals import handlers_restored

FOR_EVER_MS = 600_000
STOPS = (signal.SIGTERM, signal.SIGINT)


@pytest.fixture
def waking():
    """Made with the descriptors of PSI triggers; what it says is in `said`."""
    made = []

    def make(*triggers, said=None):
        made.append(Sleeper(Triggers(triggers, "some"), (said if said is not None else []).append))
        return made[-1]

    with handlers_restored():
        yield make
    for one in made:
        one.close()


@pytest.fixture
def connection():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        yield ours, theirs


def test_a_word_of_the_killer_ends_it_and_is_told(waking, connection):
    ours, theirs = connection
    it = waking()
    it.listen(ours.fileno())
    assert not it.sleep(1) and not it.killer_speaks
    theirs.send(b"word")
    assert it.sleep(FOR_EVER_MS) and it.killer_speaks
    assert ours.recv(9) == b"word"
    assert not it.sleep(1) and not it.killer_speaks


def test_a_killer_that_hangs_up_ends_it_and_is_told(waking, connection):
    ours, theirs = connection
    it = waking()
    it.listen(ours.fileno())
    theirs.close()
    assert it.sleep(FOR_EVER_MS) and it.killer_speaks


def test_without_a_killer_there_is_no_word_of_it(waking, connection):
    ours, theirs = connection
    it = waking()
    assert not it.sleep(1) and not it.killer_speaks
    it.listen(ours.fileno())
    theirs.send(b"word")
    it.listen(-1)
    assert not it.sleep(1) and not it.killer_speaks


def test_the_next_connection_is_listened_to_and_the_last_one_is_not(waking, connection):
    ours, theirs = connection
    it = waking()
    it.listen(ours.fileno())
    theirs.send(b"word")
    later, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with later, its_end:
        it.listen(later.fileno())
        assert not it.sleep(1) and not it.killer_speaks
        its_end.send(b"word")
        assert it.sleep(FOR_EVER_MS) and it.killer_speaks
        it.listen(-1)


def test_what_is_polled_is_made_once_and_changes_with_the_connection_alone(waking, connection, monkeypatch):
    ours, _ = connection
    it = waking()
    it.listen(ours.fileno())
    monkeypatch.setattr(select, "poll", None)
    it.listen(ours.fileno())
    assert not it.sleep(1)
    it.listen(-1)
    assert not it.sleep(1)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_once_and_is_remembered_until_it_is_asked_for(waking, number):
    it = waking()
    signal.raise_signal(number)
    assert it.sleep(FOR_EVER_MS) and not it.killer_speaks
    assert not select.select([it._pipe[0]], [], [], 0)[0], "the next sleep is a whole one"
    assert not it.received(*({signal.SIGTERM, signal.SIGINT, signal.SIGHUP} - {number}))
    assert it.received(*STOPS, signal.SIGHUP)
    assert not it.received(*STOPS, signal.SIGHUP)


def test_a_descriptor_without_a_trigger_is_dropped_and_said(waking):
    """The end of a pipe that nobody reads stands for it: POLLERR, at once and for ever."""
    reader, writer = os.pipe()
    os.close(reader)
    said = []
    it = waking(writer, said=said)
    assert it.sleep(FOR_EVER_MS) and not it.killer_speaks
    assert said == [Warned("a PSI trigger has stopped working: polling instead")]
    assert not it.sleep(1)
    assert len(said) == 1
    os.close(writer)


def test_a_reader_that_knocks_ends_it_and_is_told_apart_from_the_killer(waking, connection):
    ours, theirs = connection
    it = waking()
    it.listen(-1, ours.fileno())
    assert not it.sleep(1) and not it.reader_knocks
    theirs.send(b"knock")
    assert it.sleep(FOR_EVER_MS) and it.reader_knocks and not it.killer_speaks
    it.listen(-1, -1)
    assert not it.sleep(1) and not it.reader_knocks
