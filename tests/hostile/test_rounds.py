"""Either half is killed or stopped amid a kill, again and again: no other process dies, and none is forgotten."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bustd_protocol.messages import Outcome, Signal
from tests.support import victims
from tests.support.dialogue import peer, stranger
from tests.support.honest import request_for
from tests.support.killer import killer

ROUNDS = int(os.environ.get("BUSTD_ROUNDS", "8"))
"""In a figure for a release: 200."""


@pytest.mark.parametrize("who", ["killer", "monitor"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_no_wrong_process_dies_and_none_is_forgotten(
    place: Path, bystander: subprocess.Popen[bytes], who: str, number: signal.Signals
) -> None:
    chance = random.Random(f"{who} {number}")
    for _ in range(max(1, ROUNDS // 4)):
        with victims.victim(20, ignore_term=True) as victim:
            with killer(place, grace="term_ms = 200") as daemon, stranger() as monitor:
                monitor.connect(daemon.socket_path)
                monitor.greet()
                monitor.say(request_for(victim.pid, signal=chance.choice(list(Signal))))
                time.sleep(chance.random() * 0.01)
                hit = daemon.process if who == "killer" else monitor.process
                hit.send_signal(number)
                time.sleep(chance.random() * 0.05)
                if number is signal.SIGSTOP:
                    hit.send_signal(signal.SIGCONT)
                    assert victims.exits_within(victim, 10)
            with killer(place) as again, peer(again.socket_path) as successor:
                if victims.is_alive(victim):
                    assert successor.ask(request_for(victim.pid)).outcome is Outcome.SIGNALLED
                assert victims.exits_within(victim, 10)
                assert victims.is_alive(bystander)
                assert again.process.poll() is None
