"""What must go on in calm, without a reading: signals, pings, the watchdog, and a killer that leaves or comes back."""

import itertools
import signal
import socket
import statistics
from contextlib import suppress

import pytest

from bustd_monitor.client import Client
from bustd_monitor.loop import EXIT_KILLER_GONE, EXIT_STOPPED
from bustd_protocol.messages import Bye, Farewell, MonitorHello, Ping
from tests.unit.monitor import test_calm
from tests.unit.monitor.calm_machine import FRESH, FULL_CACHE
from tests.unit.monitor.test_client_reconnect import Killer

calm = test_calm.calm


def test_a_signal_to_read_the_configuration_again_is_served_at_once(calm):
    it = calm()
    it.idles(20)
    it.forget()
    signal.raise_signal(signal.SIGHUP)
    it.loop.turn()
    assert (it.reloads, it.sensor.read_at_ms) == (1, [])
    it.loop.turn()
    assert len(it.sensor.read_at_ms) == 1, "and the next turn judges by it"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_stop_is_served_at_once(calm, number):
    it = calm()
    it.idles(20)
    signal.raise_signal(number)
    assert it.loop.turn() == EXIT_STOPPED


def test_pings_keep_their_interval(calm):
    it = calm(killer={"ping_seconds": 45})
    heard = it.idles(300)
    assert {type(message) for message in heard.values()} == {Ping}
    times = list(heard)
    assert len(times) >= 6
    assert {later - before for before, later in itertools.pairwise(times)} == {45_000}


@pytest.mark.parametrize("has", [FRESH, FULL_CACHE])
def test_the_watchdog_is_fed_by_quick_looks_in_time_and_no_more_often_than_it_must_be(calm, tmp_path, has):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{tmp_path}/notify")
        manager.setblocking(False)
        it = calm(has, environment={"NOTIFY_SOCKET": f"{tmp_path}/notify", "WATCHDOG_USEC": "20000000"})
        fed_ms, until_ms = [it.now_ms], it.now_ms + 300_000
        while it.now_ms < until_ms:
            began_ms = it.now_ms
            it.idles(0.001)
            with suppress(BlockingIOError):
                while b"WATCHDOG=1" in manager.recv(4096):
                    fed_ms.append(began_ms)
    apart = [later - before for before, later in itertools.pairwise(fed_ms)][2:]
    assert max(apart) <= 10_000
    assert statistics.median(apart) > 10_000 - max(it.sleeps), "by the last look before it is due, or a whole turn"
    assert len(apart) > 30
    assert len(it.sensor.read_at_ms) < 10


def test_a_killer_that_does_not_answer_a_ping_is_noticed_at_its_deadline(calm):
    it = calm(killer={"ping_seconds": 45})
    (pinged_ms,) = it.idles(50, answers=False)
    while it.loop.turn() is None:
        assert it.now_ms <= pinged_ms + 30_000
    assert it.now_ms == pinged_ms + 30_000
    assert any("the killer does not answer" in line for line in it.said)


@pytest.mark.parametrize("says_bye", [False, True])
def test_a_killer_of_a_pair_that_leaves_is_noticed_at_once(calm, says_bye):
    it = calm()
    it.idles(20)
    if says_bye:
        it.says(Bye(0, Farewell.SHUTDOWN))
    else:
        it.killer.close()
    assert it.loop.turn() is None
    assert it.loop.turn() == EXIT_KILLER_GONE


def test_a_killer_that_comes_back_is_connected_to_and_calm_goes_on(calm, tmp_path):
    path = str(tmp_path / "killer.sock")
    killer = Killer(path)
    it = calm(client=Client(path), greets=False, killer={"ping_seconds": 86_400})
    it.loop.turn()
    killer.accept_hello()
    it.loop.turn()
    it.loop.turn()
    it.idles(20)
    killer.close()
    it.forget()
    it.loop.turn()
    assert any(line.startswith("lost the killer") for line in it.said)
    it.idles(120)
    assert len(it.sensor.read_at_ms) < len(it.sleeps), "without a killer too"
    (tmp_path / "killer.sock").unlink()
    killer = Killer(path)
    it.forget()
    while it.client.fileno() < 0:
        it.loop.turn()
    assert it.now_ms - it.slept_at_ms[0] <= 10_000
    assert isinstance(killer.accept_hello(), MonitorHello)
    it.loop.turn()
    assert it.said == ["connected to the killer 640"]
    it.loop.turn()
    it.forget()
    it.idles(50)
    assert it.said == []
    assert len(it.sensor.read_at_ms) <= 2
    killer.close()
