"""What ends the monitor's sleep. A sleep that nothing ends would fail the test by its length: none is waited out."""

import os
import select
import signal
import socket

import pytest

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
    assert it.sleep(1, ours.fileno()) is False
    theirs.send(b"word")
    assert it.sleep(FOR_EVER_MS, ours.fileno()) is True


def test_without_a_killer_nobody_speaks(waking):
    assert waking().sleep(1, -1) is False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_once_and_is_remembered_until_it_is_asked_for(waking, number):
    it = waking()
    signal.raise_signal(number)
    assert it.sleep(FOR_EVER_MS, -1) is False
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
    assert it.sleep(FOR_EVER_MS, -1) is False
    assert said == ["a PSI trigger has stopped working: polling instead"]
    assert it.sleep(1, -1) is False
    assert len(said) == 1
    os.close(writer)
