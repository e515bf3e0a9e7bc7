"""Killer and monitor as separate services: either may stop and start again without the other."""

import os
import re
import signal

from tests.support import pair, victims
from tests.support.pair import ALWAYS, NEVER, PERMISSIVE


def test_a_monitor_that_comes_before_the_killers_socket_waits_for_it(crew, place):
    with crew.victim() as leak, pair.lone_monitor(crew, place) as monitor:
        monitor.await_line(r"no connection to the killer: .*killer.sock: No such file or directory \(next attempt in")
        monitor.await_line("MEMORY IS SHORT AND THE KILLER CAN'T BE REACHED")
        assert victims.is_alive(leak)
        with pair.lone_killer(crew, place) as killer:
            monitor.await_line(f"connected to the killer {killer.pid}")
            assert victims.exits_within(leak, 15), monitor.log()
            assert monitor.stop() == 0


def test_a_monitor_outlives_its_killer_and_comes_back_to_the_next_with_growing_delay(crew, place):
    with pair.lone_killer(crew, place) as first, pair.lone_monitor(crew, place) as monitor:
        monitor.await_line(f"connected to the killer {first.pid}")
        os.kill(first.pid, signal.SIGKILL)
        assert first.ends() == -signal.SIGKILL
        lost = monitor.await_line(r"lost the killer: .* \(next attempt in 0 ms\)").end()
        monitor.await_line(r"Connection refused \(next attempt in (800|1600|3200|6400) ms\)")
        # The same is said with growing pauses, so not each attempt has a line.
        delays = [int(text) for text in re.findall(r"next attempt in (\d+) ms", monitor.log()[lost:])]
        assert delays == sorted(set(delays))
        assert delays[0] == 100
        assert set(delays) <= {100 * 2**number for number in range(7)}
        with crew.victim() as leak, pair.lone_killer(crew, place) as second:
            monitor.await_line(f"connected to the killer {second.pid}")
            assert victims.exits_within(leak, 15), monitor.log()
            second.await_line(rf"signalled SIGTERM to {leak.pid} \(leak")


def test_a_killer_that_stops_says_so_and_the_monitor_waits_for_the_next(crew, place):
    with pair.lone_monitor(crew, place, policy=NEVER) as monitor:
        with pair.lone_killer(crew, place):
            monitor.await_line("connected to the killer")
        monitor.await_line("lost the killer: it said Bye: shutdown")
        with pair.lone_killer(crew, place) as second:
            monitor.await_line(f"connected to the killer {second.pid}")


def test_a_killer_that_hangs_is_given_up_and_serves_again_when_it_runs_again(crew, place):
    with pair.lone_monitor(crew, place) as monitor, pair.lone_killer(crew, place) as killer:
        monitor.await_line("connected to the killer")
        os.kill(killer.pid, signal.SIGSTOP)
        with crew.victim() as leak:
            monitor.await_line("lost the killer: the killer does not answer")
            os.kill(killer.pid, signal.SIGCONT)
            assert victims.exits_within(leak, 15), monitor.log() + killer.log()


def test_a_monitor_that_comes_back_waits_for_the_kill_that_is_in_flight(crew, place):
    rules = {**PERMISSIVE, "grace.term_ms": 60_000}
    with (
        crew.victim(48, ignore_term=True) as leak,
        crew.victim(24, name=b"other") as other,
        pair.lone_killer(crew, place, rules=rules) as killer,
    ):
        with pair.lone_monitor(crew, place, log="first") as first:
            first.await_line("the killer: signalled 1 in")
            os.kill(first.pid, signal.SIGKILL)
            assert first.ends() == -signal.SIGKILL
        with pair.lone_monitor(crew, place, "--verbose", log="second") as second:
            seen = second.await_line(f"the killer has {leak.pid} in flight")
            for _ in range(5):  # time enough to ask
                seen = second.await_line("adaptive-sleep", after=seen.end())
            assert "the killer: " not in second.log(), "it has asked, and it knows of the kill in flight"
            assert victims.is_alive(leak)
            assert victims.is_alive(other)
            leak.kill()
            second.await_line(r"the victim is gone after \d+ ms")
            assert victims.exits_within(other, 15), second.log()
        order = re.findall(r"bustd-killer: (signalled SIGTERM to \d+|\d+ is gone)", killer.log())
        assert order == [
            f"signalled SIGTERM to {leak.pid}",
            f"{leak.pid} is gone",
            f"signalled SIGTERM to {other.pid}",
            f"{other.pid} is gone",
        ]


def test_a_second_monitor_waits_until_the_first_has_gone(crew, place):
    with pair.lone_killer(crew, place) as killer:
        with pair.lone_monitor(crew, place, policy=NEVER, log="first") as first:
            first.await_line("connected to the killer")
            with pair.lone_monitor(crew, place, policy=NEVER, log="second") as second:
                second.await_line("memory is")
                assert "connected" not in second.log()
                assert first.stop() == 0
                second.await_line("connected to the killer")
        served = [int(pid) for pid in re.findall(r"serving the monitor (\d+)", killer.log())]
        assert served == [first.pid, second.pid]


def test_both_ways_to_start_agree_on_what_they_log_at_start(crew, place):
    with pair.lone_killer(crew, place) as killer, pair.lone_monitor(crew, place, policy=ALWAYS) as monitor:
        monitor.await_line("connected to the killer")
        killer.await_line(r"memory is (not )?locked")
        monitor.await_line(r"memory is (not )?locked")
        monitor.await_line(r"PSI triggers with a window of 2 s|no PSI triggers, polling instead")
